"""Closes the books of one arrival day: publishes them as metrics, and fails when they don't balance.

    spark-submit glue/ledger.py --database DB --stack NAME --day YYYY-MM-DD [--metric_namespace Warehouse/Lake] \
        [--realtime_namespace Warehouse/Advertising]

Metrics, in `Count` where nothing else is said, with the dimensions `Stack` and `Table`:

    RawLines, Kept, Repeats, Rejected, Late   dated at the start of the arrival day (UTC). Every run of the day adds a
                                              sample there, so read them as the Maximum of a day: lines are only ever
                                              added to a day's books. A day that CloudWatch no longer takes is left out
    Unbalanced                                dated now: 0 when all is well, 1 when not, or when the row is missing
    Undelivered                               dated now: lines that Firehose set aside, until they are taken back
    RealTimeDivergence                        dated now, in `Percent`: by how much the raw lines of the day and what the
                                              metrics sink counted of them differ. Needs --realtime_namespace, and a day
                                              that is over

The endpoint comes from AWS_ENDPOINT_URL, if set. Prints a line of JSON a table. On AWS it needs `--extra-py-files
s3://…/glue/measure.py`.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
from awsglue.utils import getResolvedOptions
from pyspark.sql import SparkSession

import measure

TABLES = ("impressions", "clicks")

# The figures of a ledger row, by the metric that tells them.
METRICS = {"RawLines": "raw", "Kept": "kept", "Repeats": "repeats", "Rejected": "rejected", "Late": "late"}

DEFAULT_NAMESPACE = "Warehouse/Lake"

# What the metrics sink counts of a table: together, every line.
REALTIME_METRICS = {
    "impressions": ("Impressions", "MalformedImpressions"),
    "clicks": ("Clicks", "MalformedClicks"),
}

# How long after its end a day's last lines may reach S3: the longest buffering of Firehose.
# https://docs.aws.amazon.com/firehose/latest/dev/buffering-hints.html
LAST_DELIVERY = timedelta(minutes=15)

# CloudWatch takes data of the last two weeks; an hour is left for the call itself.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
OLDEST_DATA = timedelta(days=14) - timedelta(hours=1)


class BooksDontBalance(Exception):
    """A ledger row is missing, or its figures contradict each other."""


@measure.job
def main(argv: list[str]) -> None:
    """Runs the job. Raises `BooksDontBalance`, after the metrics are published."""
    optional = ("metric_namespace", "realtime_namespace")
    names = ["database", "stack", "day"] + [name for name in optional if f"--{name}" in argv]
    options = getResolvedOptions(argv, names)
    day = datetime.strptime(options["day"], "%Y-%m-%d").replace(tzinfo=timezone.utc)
    spark = SparkSession.builder.appName(f"ledger {day:%Y-%m-%d}").enableHiveSupport().getOrCreate()
    rows = read_rows(spark, options["database"], day)
    faults = {table: find_fault(rows.get(table), options["day"]) for table in TABLES}

    now = datetime.now(timezone.utc)
    stack = options["stack"]
    data = metric_data(stack, rows, faults, day, now)
    cloudwatch = boto3.client("cloudwatch")
    if (counted_in := options.get("realtime_namespace")) and now >= day + timedelta(days=1) + LAST_DELIVERY:
        data += divergence(cloudwatch, counted_in, stack, rows, day, now)
    namespace = options.get("metric_namespace") or DEFAULT_NAMESPACE
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)
    for table in TABLES:
        print(json.dumps({"table": table, "day": options["day"], **rows.get(table, {}), "fault": faults[table]}))
    found = [f"{table}: {fault}" for table, fault in faults.items() if fault]
    if found:
        raise BooksDontBalance(f"the books of {options['day']} don't balance. {'; '.join(found)}")


def read_rows(spark: SparkSession, database: str, day: datetime) -> dict[str, dict[str, int | None]]:
    """The day's ledger rows by table; a table whose ETL has not run has none."""
    rows = spark.table(f"{database}.ledger").where(f"year = '{day:%Y}' AND month = '{day:%m}' AND day = '{day:%d}'")
    figures = [name for name in rows.columns if name not in ("table_name", "year", "month", "day")]
    found = {row["table_name"]: {name: row[name] for name in figures} for row in rows.collect()}
    for row in found.values():
        # A row that was written before there was this column has null there.
        row["undelivered"] = row.get("undelivered") or 0
    return found


def find_fault(row: dict[str, int | None] | None, day: str) -> str | None:
    """What is wrong with a table's books, for people; nothing when they balance.

    The ETL writes a row for a day without lines too, so a missing one tells that it did not run.
    """
    if row is None:
        return "no row: run the ETL of the day"
    if missing := [name for name, figure in row.items() if figure is None]:
        return f"no figure for {', '.join(missing)}: run the ETL of the day"
    faults = []
    fates = row["kept"] + row["repeats"] + row["rejected"] + row["late"]
    if row["raw"] != fates:
        faults.append(f"{row['raw']} raw lines, but kept + repeats + rejected + late = {fates}")
    in_lake = row["stored"] + row["pending"]
    if row["kept"] != in_lake:
        faults.append(
            f"{row['kept']} kept lines, but stored + pending = {in_lake}: "
            "run the ETL of the event days before it, then of this day"
        )
    if row["undelivered"]:
        faults.append(
            f"{row['undelivered']} acknowledged lines were set aside by Firehose and are missing from raw: run "
            f"`cargo dataless replay --undelivered --day {day}`, on AWS glue/undelivered.py (docs/pipeline.md), then the "
            "batch of the days that it names"
        )
    return "; ".join(faults) or None


def metric_data(
    stack: str, rows: dict[str, dict[str, int | None]], faults: dict[str, str | None], day: datetime, now: datetime
) -> list[dict[str, Any]]:
    """The metrics as PutMetricData takes them."""
    figures = [
        metric(stack, name, table, row[figure], day)
        for table, row in rows.items()
        for name, figure in METRICS.items()
        if now - day <= OLDEST_DATA and row[figure] is not None
    ]
    undelivered = [metric(stack, "Undelivered", table, row["undelivered"], now) for table, row in rows.items()]
    unbalanced = [metric(stack, "Unbalanced", table, int(fault is not None), now) for table, fault in faults.items()]
    return figures + undelivered + unbalanced


def divergence(
    cloudwatch: Any, namespace: str, stack: str, rows: dict[str, dict[str, int | None]], day: datetime, now: datetime
) -> list[dict[str, Any]]:
    """By how many percent of the greater one raw and real time differ, whichever is greater."""
    data = []
    for table, row in rows.items():
        if row["raw"] is None:
            continue
        counted = sum(count_realtime(cloudwatch, namespace, stack, name, day) for name in REALTIME_METRICS[table])
        greater = max(row["raw"], counted)
        percent = 100 * abs(row["raw"] - counted) / greater if greater else 0.0
        data.append(metric(stack, "RealTimeDivergence", table, percent, now, unit="Percent"))
    return data


def count_realtime(cloudwatch: Any, namespace: str, stack: str, name: str, day: datetime) -> float:
    """The sum of a metric over a day. By the hour: CloudWatch keeps minutes for 15 days, hours for 15 months."""
    answer = cloudwatch.get_metric_statistics(
        Namespace=namespace,
        MetricName=name,
        Dimensions=[{"Name": "Stack", "Value": stack}],
        StartTime=day,
        EndTime=day + timedelta(days=1),
        Period=3600,
        Statistics=["Sum"],
    )
    return sum(point["Sum"] for point in answer["Datapoints"])


def metric(stack: str, name: str, table: str, value: float, at: datetime, unit: str = "Count") -> dict[str, Any]:
    return {
        "MetricName": name,
        "Dimensions": [{"Name": "Stack", "Value": stack}, {"Name": "Table", "Value": table}],
        "Timestamp": at,
        "Value": value,
        "Unit": unit,
    }


if __name__ == "__main__":
    main(sys.argv)
