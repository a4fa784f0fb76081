"""Makes the pictures of both dashboards in docs/images.

    eval "$(cargo dataless up)"
    cargo dataless dashboard --port 8088 &
    .dataless/tools/tests/bin/python tools/realtime/screenshots.py --url http://127.0.0.1:8088/ --sample

Chromium is taken from DATALESS_CHROMIUM or the PATH. The emulator has no metrics of API Gateway, Firehose and the like,
so most of the ops dashboard is empty there. With --sample, each AWS metric on a dashboard gets made-up values, to show
what it looks like on AWS. Don't use it on a warehouse whose metrics matter.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import time
import zlib
from pathlib import Path

import boto3
from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
MAX_BYTES = 150_000
# How long the emulator may take for the metrics of a dashboard, and the page to draw them.
ANSWER_MS = 120_000
DRAWING_MS = 2_000

SIZE = {"width": 1400, "height": 740}

# What to show: the file, the place of its dashboard in the page's list, the range, the colours.
PICTURES = [
    ("real-time-advertising.png", 0, "-PT15M", "light"),
    ("real-time-advertising-dark.png", 0, "-PT15M", "dark"),
    ("ops.png", 1, "-PT15M", "light"),
    ("ops-dark.png", 1, "-PT15M", "dark"),
]


# The order of magnitude of the made-up values.
SIZES = {
    "5XXError": 0,
    "4XXError": 12,
    "Count": 1200,
    "Latency": 90,
    "IntegrationLatency": 70,
    "Duration": 40,
    "Errors": 0,
    "Throttles": 0,
    "ThrottledRecords": 0,
    "Success": 1,
    "DataFreshness": 280,
    "IncomingBytes": 9e6,
    "IncomingRecords": 110,
    "IncomingPutRequests": 60,
    "RecordsPerSecondLimit": 100_000,
    "PutRequestsPerSecondLimit": 1_000,
    "BytesPerSecondLimit": 1_048_576,
    "BucketSizeBytes": 4e9,
    "NumberOfObjects": 900,
    "ExecutionsFailed": 0,
    "ExecutionsTimedOut": 0,
    "ExecutionsAborted": 0,
    "ApproximateNumberOfMessagesVisible": 0,
    "numFailedTasks": 0,
    "elapsedTime": 60_000,
    "ReadThrottleEvents": 0,
    "WriteThrottleEvents": 0,
    "SuccessfulRequestLatency": 4,
}
# These don't vary.
STEADY = {"RecordsPerSecondLimit", "PutRequestsPerSecondLimit", "BytesPerSecondLimit", "Success"}


def spread(name: str, value: float) -> dict:
    """Metrics of requests have one value per request, others a single one."""
    if name == "Count":
        return {"Values": [1], "Counts": [round(value)]}
    if name in ("4XXError", "5XXError"):
        good = {"Values": [0], "Counts": [max(1, round(SIZES["Count"] - value))]}
        return {"Values": [0, 1], "Counts": [*good["Counts"], round(value)]} if round(value) else good
    if name.endswith(("Latency", "Duration")):
        return {"Values": [value * factor for factor in (0.6, 0.9, 1.1, 2.6)], "Counts": [25, 40, 32, 3]}
    return {"Value": value}


def put_sample(minutes: int = 60) -> None:
    """Made-up values for the last hour, for every metric of AWS on the dashboards."""
    cloudwatch = boto3.client("cloudwatch")
    if "127.0.0.1" not in cloudwatch.meta.endpoint_url:
        raise SystemExit("sample values are for the emulator only: set AWS_ENDPOINT_URL")
    now = int(time.time()) // 60 * 60
    for entry in cloudwatch.list_dashboards()["DashboardEntries"]:
        body = json.loads(cloudwatch.get_dashboard(DashboardName=entry["DashboardName"])["DashboardBody"])
        rows = [row for widget in body["widgets"] for row in widget["properties"].get("metrics", [])]
        for namespace, name, *dimensions in {
            tuple(each for each in row if isinstance(each, str)) for row in rows if isinstance(row[0], str)
        }:
            if not namespace.startswith(("AWS/", "Glue")):
                continue
            dice = random.Random(zlib.crc32("".join((name, *dimensions)).encode()))
            last = name.rsplit(".", 1)[-1]
            size = SIZES.get(last, 50) * (1 if last in STEADY else dice.uniform(0.7, 1.3))
            values = [
                size if last in STEADY else size * (1 + 0.25 * math.sin(minute / 9) + dice.gauss(0, 0.06))
                for minute in range(minutes)
            ]
            data = [
                {
                    "MetricName": name,
                    "Dimensions": [
                        {"Name": key, "Value": value}
                        for key, value in zip(dimensions[::2], dimensions[1::2], strict=True)
                    ],
                    "Timestamp": now - 60 * minute,
                    **spread(last, max(0.0, value)),
                }
                for minute, value in enumerate(values)
            ]
            cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True, help="where `cargo dataless dashboard` serves")
    parser.add_argument("--sample", action="store_true", help="make up what the emulator has no metrics of")
    options = parser.parse_args()
    if options.sample:
        put_sample()
    chromium = os.environ.get("DATALESS_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        raise SystemExit("no Chromium: install one or name it in DATALESS_CHROMIUM")
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, chromium_sandbox=os.geteuid() != 0)
        for name, place, reach, colours in PICTURES:
            page = browser.new_page(viewport=SIZE, color_scheme=colours)
            page.goto(options.url)
            page.wait_for_selector("main[aria-busy=false]")
            page.locator("#dashboards a").nth(place).click()
            page.locator("#dashboards li").nth(place).locator("[aria-current]").wait_for()
            with page.expect_response(lambda answer, start=f"start={reach}": start in answer.url, timeout=ANSWER_MS):
                page.get_by_label("Range").select_option(reach)
            page.wait_for_timeout(DRAWING_MS)
            path = IMAGES / name
            page.screenshot(path=path)
            page.close()
            if path.stat().st_size > MAX_BYTES:
                raise SystemExit(f"{path} has {path.stat().st_size} bytes, more than {MAX_BYTES}")
            print(path.relative_to(IMAGES.parents[1]), path.stat().st_size, "bytes")
        browser.close()


if __name__ == "__main__":
    main()
