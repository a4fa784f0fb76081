"""The real-time dashboard shows exactly the events that were sent, in a real Chromium."""

import datetime
import json
import os
import subprocess
import time

import pytest

from served import NAMESPACE, ROOT, required

CLICKTHROUGH = 0.3
# For a load of two minutes, run pytest tests/dashboard/test_live.py with DATALESS_LOAD_SECONDS=120.
LOAD_SECONDS = int(os.environ.get("DATALESS_LOAD_SECONDS", "20"))
CHART = "Impressions, clicks and clickthrough rate by minute"
COUNTS = ("Impressions", "Clicks")


def minutes(cloudwatch, name):
    """Returns a metric's sum for each minute of the last three hours, by the start of the minute."""
    now = datetime.datetime.now(datetime.UTC)
    answer = cloudwatch.get_metric_statistics(
        Namespace=NAMESPACE,
        MetricName=name,
        Dimensions=[{"Name": "Stack", "Value": os.environ.get("DATALESS_STACK", "dataless")}],
        StartTime=now - datetime.timedelta(hours=3),
        EndTime=now + datetime.timedelta(minutes=2),
        Period=60,
        Statistics=["Sum"],
    )
    return {
        f"{point['Timestamp'].astimezone(datetime.UTC):%Y-%m-%d %H:%M}": point["Sum"] for point in answer["Datapoints"]
    }


def send(target):
    """Runs the load generator. Returns the numbers of accepted impressions and clicks."""
    printed = subprocess.run(
        [
            *(required("DATALESS_LOADGEN"), "run", "--json", "--config", ROOT / "load-generator/config.yaml"),
            *("--base-url", target.base_url, "--duration", f"{LOAD_SECONDS}s", "--seed", "7"),
            *("--clickthrough", str(CLICKTHROUGH), "--rate", "300/s"),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    report = json.loads(printed)
    return {name: report["events"][name.lower()]["acknowledged"] for name in COUNTS}


def widget(page, title):
    return page.get_by_role("region", name=title, exact=True)


def number(text):
    return None if text == "–" else float(text.replace(",", ""))


def rows(page, title):
    """Returns the data of a chart by time, from its accessible table."""
    table = widget(page, title).locator("table")
    head = table.locator("thead th").all_inner_texts()
    # One script reads the whole table, because the page refreshes automatically.
    body = table.evaluate(
        "table => [...table.tBodies[0].rows].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return {row[0]: dict(zip(head[1:], map(number, row[1:]), strict=True)) for row in body}


@pytest.fixture(scope="module")
def sent(target, cloudwatch):
    """Returns the numbers of accepted events, the increase of the metrics, and the metrics before."""
    before = {name: minutes(cloudwatch, name) for name in COUNTS}
    accepted = send(target)
    ends = time.monotonic() + target.delivery_seconds + 60 * (not target.is_emulator)
    while True:
        after = {name: minutes(cloudwatch, name) for name in COUNTS}
        gained = {name: sum(after[name].values()) - sum(before[name].values()) for name in COUNTS}
        if gained == accepted or time.monotonic() > ends:
            return accepted, gained, before
        time.sleep(1)


def test_the_sums_of_all_minutes_are_the_accepted_events(sent):
    accepted, gained, _ = sent
    assert accepted["Impressions"] > 100 * LOAD_SECONDS
    assert gained == accepted


def test_the_chart_shows_what_was_sent(sent, page, cloudwatch):
    accepted, _, before = sent
    chart = widget(page, CHART)
    chart.get_by_role("button", name="show the data").click()
    shown = rows(page, CHART)
    for name in COUNTS:
        expected = {at: value for at, value in minutes(cloudwatch, name).items() if at in shown}
        assert {at: row[name] for at, row in shown.items() if row[name] is not None} == expected
    gained = {name: sum(row[name] or 0 for row in shown.values()) - sum(before[name].values()) for name in COUNTS}
    assert gained == accepted
    assert abs(gained["Clicks"] / gained["Impressions"] - accepted["Clicks"] / accepted["Impressions"]) < 0.02
    assert abs(accepted["Clicks"] / accepted["Impressions"] - CLICKTHROUGH) < 0.02
    for at, row in shown.items():
        if row["Impressions"]:
            assert row["Clickthrough rate"] == pytest.approx((row["Clicks"] or 0) / row["Impressions"], rel=1e-3), at


def test_the_chart_is_drawn_with_an_axis_for_the_rate(sent, page):
    chart = widget(page, CHART)
    canvas = chart.locator("canvas")
    canvas.wait_for()
    drawn = canvas.evaluate(
        """canvas => {
          const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          const near = (at, colour) => colour.every((value, index) => Math.abs(pixels[at + index] - value) < 24);
          const count = colour => { let found = 0; for (let at = 0; at < pixels.length; at += 4) found += near(at, colour); return found; };
          return { impressions: count([0x1f, 0x77, 0xb4]), clicks: count([0x2c, 0xa0, 0x2c]), rate: count([0xd6, 0x27, 0x28]) };
        }"""
    )
    assert all(pixels > 20 for pixels in drawn.values()), drawn
    legend = chart.locator(".u-legend th").all_inner_texts()
    assert [text for text in legend if text != "Time (UTC)"] == ["Impressions", "Clicks", "Clickthrough rate"]
    # The widget of the last hour shows the same three metrics.
    assert widget(page, "Last hour").locator("dt").all_inner_texts() == ["Impressions", "Clicks", "Clickthrough rate"]


def test_the_page_refreshes_by_itself(sent, page, target):
    widget(page, CHART).get_by_role("button", name="show the data").click()

    def total():
        return sum(row["Impressions"] or 0 for row in rows(page, CHART).values())

    before = total()
    event = {
        "ad_id": "6f2b0f6e-3c25-4f6e-9a55-0a8d3b1d4c21",
        "occurred_at": f"{datetime.datetime.now(datetime.UTC):%F %T}",
    }
    answer = page.request.post(
        f"{target.base_url}/impressions",
        data=json.dumps({"impressions": [event]}),
        headers={"content-type": "application/json"},
    )
    assert answer.json()["failed_count"] == 0
    ends = time.monotonic() + target.delivery_seconds
    while total() != before + 1 and time.monotonic() < ends:
        page.wait_for_timeout(250)
    assert total() == before + 1
