"""Closes the books of one arrival day: publishes them as metrics, and fails when they don't balance.

    spark-submit glue/ledger.py --database DB --stack NAME --day YYYY-MM-DD --lookback_days 3 \
        [--metric_namespace Warehouse/Lake] [--realtime_namespace Warehouse/Advertising]

It checks the books of each table of events that the catalog has. They balance for a day when raw = kept + repeats +
rejected + late, kept = stored and undelivered = 0, and when the day is not stale. A day is stale when an earlier day
that it depends on, up to `--lookback_days` + 1 days before it, was decided after its own run had started.

Metrics, in `Count` unless stated otherwise, with the dimensions `Stack` and `Table`:

    RawLines, Kept, Repeats, Rejected, Late   dated at the start of the arrival day (UTC). Every run of the day adds a
                                              sample there, so read them as the Maximum of a day: lines are only ever
                                              added to a day's books. A day that CloudWatch no longer takes is left out
    Unbalanced                                dated now: 0 when all is well, 1 when not, or when the row is missing
    Undelivered                               dated now: lines that Firehose set aside, until they are taken back
    RealTimeDivergence                        dated now, in `Percent`: by how much the raw lines of the day and what the
                                              metrics sink counted of them differ. Needs --realtime_namespace, and a day
                                              that is over

The endpoint comes from AWS_ENDPOINT_URL, if set. Prints a line of JSON for each table. On AWS it needs
`--extra-py-files s3://…/glue/lake.zip`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import boto3
from awsglue.utils import getResolvedOptions
from pyspark.sql import SparkSession

from lake import measure, session
from lake.arguments import whole_number
from lake.days import day_keys, days, keys_day, read_day
from lake.table import event_tables

# The columns of the ledger by the metrics that report them.
METRICS = {"RawLines": "raw", "Kept": "kept", "Repeats": "repeats", "Rejected": "rejected", "Late": "late"}

DEFAULT_NAMESPACE = "Warehouse/Lake"

# How late after its end a day's last lines may reach S3: the longest buffering of Firehose.
# https://docs.aws.amazon.com/firehose/latest/dev/buffering-hints.html
LAST_DELIVERY = timedelta(minutes=15)

# The limit of one call.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
MAX_METRICS = 1000

# CloudWatch takes data of the last two weeks; an hour is left for the call itself.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
OLDEST_DATA = timedelta(days=14) - timedelta(hours=1)


# A ledger row: its figures, and when the day was decided.
Row = dict[str, Any]


class BooksDontBalance(Exception):
    """A ledger row is missing, or its figures contradict each other."""


@measure.job
def main(argv: list[str]) -> None:
    """Runs the job. Raises `BooksDontBalance`, after the metrics are published."""
    optional = ("metric_namespace", "realtime_namespace")
    names = ["database", "stack", "day", "lookback_days"] + [name for name in optional if f"--{name}" in argv]
    options = getResolvedOptions(argv, names)
    day = read_day("day", options["day"])
    lookback_days = whole_number("lookback_days", options["lookback_days"], 1)
    now = datetime.now(UTC)
    spark = session.start(f"ledger {day}")
    tables = [table.name for table in event_tables(spark, options["database"])]
    if not tables:
        raise ValueError(f"the database {options['database']} has no table of events")
    known = read_rows(spark, options["database"], days(day - timedelta(days=lookback_days + 1), day))
    rows = {table: known[table][day] for table in tables if day in known.get(table, {})}
    faults = {table: find_fault(known.get(table, {}), day, lookback_days, now.date()) for table in tables}

    stack, start = options["stack"], datetime.combine(day, time(), UTC)
    data = metric_data(stack, rows, faults, start, now)
    cloudwatch = boto3.client("cloudwatch")
    if (counted_in := options.get("realtime_namespace")) and now >= start + timedelta(days=1) + LAST_DELIVERY:
        data += divergence(cloudwatch, counted_in, stack, rows, start, now)
    namespace = options.get("metric_namespace") or DEFAULT_NAMESPACE
    for first in range(0, len(data), MAX_METRICS):
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=data[first : first + MAX_METRICS])
    for table in tables:
        line = {"table": table, "day": options["day"], **rows.get(table, {}), "fault": faults[table]}
        print(json.dumps(line, default=datetime.isoformat))
    found = [f"{table}: {fault}" for table, fault in faults.items() if fault]
    if found:
        raise BooksDontBalance(f"the books of {day} don't balance. {'; '.join(found)}")


def read_rows(spark: SparkSession, database: str, wanted: Iterable[date]) -> dict[str, dict[date, Row]]:
    """The ledger rows of the days by table and day; a day whose ETL has not run has no row."""
    # Conditions on the keys alone, so that no other partition is read.
    keys = (" AND ".join(f"{key} = '{value}'" for key, value in day_keys(day).items()) for day in wanted)
    rows = spark.table(f"{database}.ledger").where(" OR ".join(f"({condition})" for condition in keys))
    names = [name for name in rows.columns if name not in ("table_name", "year", "month", "day")]
    found: dict[str, dict[date, Row]] = {}
    for row in rows.collect():
        found.setdefault(row["table_name"], {})[keys_day(row.asDict())] = {name: in_utc(row[name]) for name in names}
    return found


def in_utc(value: Any) -> Any:
    """Spark returns times in this process's time zone, without naming it."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def find_fault(rows: dict[date, Row], day: date, lookback_days: int, today: date) -> str | None:
    """A message about what is wrong with a table's books; None when they balance.

    The ETL also writes a row for a day without lines, so a missing row means that it did not run.
    """
    row = rows.get(day)
    if row is None:
        return "no row: run the ETL of the day"
    if missing := [name for name, figure in row.items() if figure is None]:
        return f"no figure for {', '.join(missing)}: run the ETL of the day"
    faults = []
    fates = row["kept"] + row["repeats"] + row["rejected"] + row["late"]
    if row["raw"] != fates:
        faults.append(f"{row['raw']} raw lines, but kept + repeats + rejected + late = {fates}")
    if row["kept"] != row["stored"]:
        faults.append(f"{row['kept']} kept lines, but stored = {row['stored']}: run the ETL of the day")
    if row["undelivered"]:
        faults.append(
            f"{row['undelivered']} acknowledged lines were set aside by Firehose and are missing from raw: run "
            f"`cargo dataless replay --undelivered --day {day}`, on AWS glue/undelivered.py (docs/pipeline.md), then the "
            "batch of the days that it names"
        )
    if first := first_stale(rows, day, lookback_days):
        # Later days depend on this one.
        last = max(day, min(day + timedelta(days=lookback_days + 1), today - timedelta(days=1)))
        faults.append(
            f"stale: a day before it was decided after its own run had started: run the ETL of {first} to {last} again, in order"
        )
    return "; ".join(faults) or None


def first_stale(rows: dict[date, Row], day: date, lookback_days: int) -> date | None:
    """The first day to run again so that no stale day is left up to this one; None when this one is not stale."""
    stale = [found for found in sorted(rows) if found <= day and is_stale(rows, found, lookback_days)]
    return stale[0] if day in stale else None


def is_stale(rows: dict[date, Row], day: date, lookback_days: int) -> bool:
    """Whether an earlier day that this one depends on was decided after this one's run had started."""
    started = rows[day]["started_at"]
    before = (rows.get(day - timedelta(days=back), {}).get("decided_at") for back in range(1, lookback_days + 2))
    return started is not None and any(decided and decided > started for decided in before)


def metric_data(
    stack: str, rows: dict[str, Row], faults: dict[str, str | None], day: datetime, now: datetime
) -> list[dict[str, Any]]:
    """The metrics in the form of PutMetricData."""
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
    cloudwatch: Any, namespace: str, stack: str, rows: dict[str, Row], day: datetime, now: datetime
) -> list[dict[str, Any]]:
    """The difference between raw and real time in percent of the greater one."""
    data = []
    for table, row in rows.items():
        if row["raw"] is None:
            continue
        counted = sum(count_realtime(cloudwatch, namespace, stack, name, day) for name in realtime_metrics(table))
        greater = max(row["raw"], counted)
        percent = 100 * abs(row["raw"] - counted) / greater if greater else 0.0
        data.append(metric(stack, "RealTimeDivergence", table, percent, now, unit="Percent"))
    return data


def realtime_metrics(table: str) -> tuple[str, str]:
    """The metrics sink's counters for a table of events: together they count every line. `order_items` is
    `OrderItems`."""
    name = "".join(word[:1].upper() + word[1:] for word in table.split("_"))
    return name, f"Malformed{name}"


def count_realtime(cloudwatch: Any, namespace: str, stack: str, name: str, day: datetime) -> float:
    """The sum of a metric over a day. In periods of an hour: CloudWatch keeps minutes for 15 days, hours for 15
    months."""
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
