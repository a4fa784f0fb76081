"""Measures how long it takes from an accepted event to a metric that can be read.

    eval "$(cargo dataless up --release)"
    python tools/realtime/latency.py --base-url "$BASE_URL" [--events 100] [--json]

Sends single impressions, one after the other, and asks CloudWatch for their sum until it has each. Needs boto3, such as
`.dataless/tools/spark` has. Nobody else may send events to the stack. The time starts with the beacon's answer.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import subprocess
import time
import urllib.request
import uuid
from typing import Any

import boto3

# The time limit of a metric. On AWS: the processor's buffer, the sink, CloudWatch.
LIMIT_SECONDS = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--namespace", default="Warehouse/Advertising")
    parser.add_argument("--stack", default="dataless", help="name of the stack, the dimension of its metrics")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    refuse_local_build(options.base_url)
    cloudwatch = boto3.client("cloudwatch")
    since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=2)
    seconds = []
    expected = count(cloudwatch, options.namespace, options.stack, since)
    for _ in range(options.events):
        send(options.base_url)
        accepted = time.monotonic()
        expected += 1
        while (found := count(cloudwatch, options.namespace, options.stack, since)) < expected:
            if time.monotonic() - accepted > LIMIT_SECONDS:
                raise SystemExit(f"an event was not counted within {LIMIT_SECONDS} s: {found} of {expected}")
            time.sleep(0.02)
        if found > expected:
            raise SystemExit("someone else sends events to this stack: their counts can't be separated")
        seconds.append(time.monotonic() - accepted)
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    report = {
        "events": len(seconds),
        "p50": round(cuts[49], 3),
        "p99": round(cuts[98], 3),
        "max": round(max(seconds), 3),
    }
    if options.json:
        print(json.dumps(report))
    else:
        print(
            f"accepted to readable, {report['events']} events: p50 {report['p50']} s, p99 {report['p99']} s, longest {report['max']} s"
        )


def refuse_local_build(base_url: str) -> None:
    """Only release builds are measured, as they run on AWS: `cargo dataless up --release`."""
    status = subprocess.run(
        ["cargo", "dataless", "status", "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    # Without a local warehouse the address is a remote one.
    warehouse = json.loads(status.stdout) if status.returncode == 0 else {}
    if warehouse.get("base_url") == base_url and warehouse["profile"] != "release":
        raise SystemExit(
            "this warehouse runs a local build of the functions: measure one of `cargo dataless up --release`"
        )


def send(base_url: str) -> None:
    now = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S}"
    event = {"impression_id": str(uuid.uuid4()), "ad_id": str(uuid.uuid4()), "occurred_at": now}
    body = json.dumps({"impressions": [event]}).encode()
    request = urllib.request.Request(f"{base_url}/impressions", data=body, headers={"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        if json.load(response)["failed_count"]:
            raise SystemExit("an event was not accepted")


def count(cloudwatch: Any, namespace: str, stack: str, since: datetime.datetime) -> float:
    answer = cloudwatch.get_metric_statistics(
        Namespace=namespace,
        MetricName="Impressions",
        Dimensions=[{"Name": "Stack", "Value": stack}],
        StartTime=since,
        EndTime=datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=2),
        Period=60,
        Statistics=["Sum"],
    )
    return sum(point["Sum"] for point in answer["Datapoints"])


if __name__ == "__main__":
    main()
