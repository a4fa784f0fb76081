"""The page with a keyboard, with a screen reader, in dark mode, and while the emulator is down."""

import json
import os
import re
import urllib.error
import urllib.request

import boto3
import pytest

from served import Served

OPS = "The warehouse at work"


@pytest.fixture(scope="module", autouse=True)
def invoked():
    """Invokes the metrics sink without records, because the emulator has metrics only of direct invocations."""
    (stack,) = boto3.client("cloudformation").describe_stacks(StackName=os.environ.get("DATALESS_STACK", "dataless"))[
        "Stacks"
    ]
    (function,) = [each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == "MetricsSinkFunction"]
    answer = boto3.client("lambda").invoke(
        FunctionName=function, Payload=json.dumps({"applicationArn": "a", "records": []})
    )
    assert json.load(answer["Payload"]) == {"records": []}


def open_ops(page):
    page.get_by_role("link", name=OPS).click()
    page.wait_for_selector(f"a[aria-current=page]:has-text('{OPS}')")
    page.get_by_role("heading", name=OPS).wait_for()


def test_the_page_shows_every_deployed_widget(page, served, cloudwatch):
    names = [each["DashboardName"] for each in cloudwatch.list_dashboards()["DashboardEntries"]]
    assert len(names) == 2
    for name in names:
        body = cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"]
        titles = re.findall(r'"title": ?"((?:[^"\\]|\\.)*)"', body)
        assert titles
        page.goto(f"{served.url}#{name}")
        page.get_by_role("heading", name=titles[-1], exact=True).wait_for()
        assert sorted(page.locator(".title h2").all_inner_texts()) == sorted(titles)
        assert page.locator(".message.failed").all_inner_texts() == []


def test_widgets_without_data_and_log_queries_show_a_message(page):
    open_ops(page)
    redshift = page.get_by_role("region", name="Disk in use (percent)", exact=True)
    assert redshift.locator(".message").inner_text() == "No data in this range."
    assert "AWS only" in page.get_by_role("region", name="Cold starts").locator(".message").inner_text()


def test_alarms_show_their_state(page, cloudwatch):
    open_ops(page)
    deployed = {alarm["AlarmName"] for alarm in cloudwatch.describe_alarms()["MetricAlarms"]}
    shown = page.get_by_role("region", name="Alarms", exact=True).locator("li").all_inner_texts()
    # The dashboard lists alarms on metric math, which no emulator supports.
    here = {text.split()[-1] for text in shown if "not deployed here" not in text}
    assert len(here) == len(shown) - 2
    assert here == deployed & {text.split()[-1] for text in shown}


def test_the_page_works_with_the_keyboard_alone(page):
    open_ops(page)
    page.keyboard.press("Tab")
    invocations = page.get_by_role("region", name="Invocations", exact=True)
    button = invocations.get_by_role("button")
    for _ in range(60):
        if button.evaluate("button => button === document.activeElement"):
            break
        page.keyboard.press("Tab")
    assert button.get_attribute("aria-pressed") == "false"
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    table = invocations.get_by_role("table")
    assert "Metrics sink" in table.locator("thead th[scope=col]").all_inner_texts()
    assert table.locator("tbody th[scope=row]").count() > 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Data of Invocations"


def test_a_screen_reader_gets_the_content_of_a_chart(page):
    open_ops(page)
    invocations = page.get_by_role("region", name="Invocations", exact=True)
    said = invocations.locator("p.hidden").inner_text()
    assert re.search(r"Metrics sink: [\d,]+ at \d{4}-\d\d-\d\d \d\d:\d\d, between [\d,]+ and [\d,]+\.", said), said
    assert invocations.locator(".plot").get_attribute("aria-hidden") == "true"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_follows_the_system_or_the_selection(page, theme):
    luminance = """selector => {
      const channels = getComputedStyle(document.querySelector(selector)).backgroundColor.match(/\\d+/g).map(Number);
      return channels.reduce((sum, channel) => sum + channel, 0) / 3;
    }"""

    def is_dark():
        return page.evaluate(luminance, "body") < 60

    page.emulate_media(color_scheme=theme)
    assert is_dark() == (theme == "dark")
    other = "light" if theme == "dark" else "dark"
    page.get_by_label("Colours").select_option(other)
    assert is_dark() == (other == "dark")


def test_the_page_is_local_and_loads_nothing_from_other_hosts(served):
    with urllib.request.urlopen(served.url) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "http" not in answer.read().decode().replace("http-equiv", "")
    request = urllib.request.Request(served.url, headers={"Host": "warehouse.example"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{served.url}api/dashboards/other")


def test_ctrl_c_stops_the_command_and_an_open_page_reports_it(browser):
    own = Served()
    page = browser.new_context().new_page()
    page.goto(own.url)
    page.wait_for_selector("main[aria-busy=false]")
    assert own.interrupt() == 0
    page.get_by_role("button", name="Refresh now").click()
    page.locator("#status.failed", has_text="Not refreshed").wait_for()
    assert page.locator(".widget").count() > 5
    page.context.close()
