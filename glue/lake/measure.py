"""Publishes how long a job took, how many rows it worked on, and whether it failed, as metrics of CloudWatch.

    @measure.job
    def main(argv: list[str]) -> int | None: …    # returns the number of rows

Namespace `Warehouse/Lake`, dimensions `Stack` (`--stack`) and `Job` (`--JOB_NAME`, which Glue passes by itself);
without them nothing is published:

    JobTime      Milliseconds, from the start of `main` to its end
    JobRows      Count. Not there when the job counts none, or failed
    JobFailures  Count: 1 when it failed, else 0

Glue has metrics of its own, but only for a script that makes a GlueContext, and none for runs under 30 seconds:
https://repost.aws/knowledge-center/glue-job-metrics-cloudwatch. The endpoint comes from AWS_ENDPOINT_URL, if set. On AWS
each job that imports this needs it in `--extra-py-files`.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from typing import Any

import boto3
from awsglue.utils import getResolvedOptions

NAMESPACE = "Warehouse/Lake"


def job(main: Callable[[list[str]], int | None]) -> Callable[[list[str]], None]:
    """Wraps a job's `main`, which returns the number of rows that it worked on. Exceptions pass through."""

    @functools.wraps(main)
    def measured(argv: list[str]) -> None:
        started = time.monotonic()
        rows, failed = None, True
        try:
            rows = main(argv)
            failed = False
        finally:
            publish(argv, time.monotonic() - started, rows, failed)

    return measured


def publish(argv: list[str], seconds: float, rows: int | None, failed: bool) -> None:
    """Never raises: a job that did its work must not run again for a metric, and one that failed raises its own
    error."""
    if "--stack" not in argv or "--JOB_NAME" not in argv:
        return
    figures = [("JobTime", seconds * 1000, "Milliseconds"), ("JobFailures", int(failed), "Count")]
    if rows is not None:
        figures.append(("JobRows", rows, "Count"))
    try:
        options = getResolvedOptions(argv, ["stack", "JOB_NAME"])
        dimensions = [{"Name": "Stack", "Value": options["stack"]}, {"Name": "Job", "Value": options["JOB_NAME"]}]
        data: list[dict[str, Any]] = [
            {"MetricName": name, "Dimensions": dimensions, "Value": value, "Unit": unit}
            for name, value, unit in figures
        ]
        boto3.client("cloudwatch").put_metric_data(Namespace=NAMESPACE, MetricData=data)
    except Exception as error:
        print(f"failed to publish the job's metrics: {error}", file=sys.stderr)
