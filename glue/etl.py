"""Raw lines to the lake: one arrival day of one table, each line is read once and counted in the ledger.

    spark-submit glue/etl.py --table TABLE --day YYYY-MM-DD --database DB --data_path s3://BUCKET/data --lookback_days 3
        --sql s3://…/glue/sql [--compression zstd|zlib|snappy] [--file_mb 64]

It overwrites what arrived on the day: the table's partitions of that arrival day, the rejected lines, and the ledger
row, each by pointing the catalog at complete files. It reads what earlier days wrote, as far as a line of the day may
repeat it, and never changes it. So days must run in order. `docs/lake.md` defines the terms. `glue/scala/etl.scala`
runs the same SQL.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

from awsglue.utils import getResolvedOptions
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from lake import files, measure, session
from lake.arguments import one_of, whole_number
from lake.days import day_keys, partition_path, read_day
from lake.error_objects import count_events
from lake.partition import ArrivalDay, Partition, delete_replaced, new_run
from lake.table import EventTable

SETTINGS = {
    # This rule removes parts of a plan that have no rows, together with what is counted there.
    "spark.sql.adaptive.optimizer.excludedRules": "org.apache.spark.sql.execution.adaptive.AQEPropagateEmptyRelation",
    # Each task writes one file per event day, so the number of tasks is the number of files. Coalescing would change
    # it.
    "spark.sql.adaptive.coalescePartitions.enabled": "false",
}

# Bytes of the lake per byte of gzipped raw lines: ids, which are random, take 16 bytes in ORC and about 20 in gzip.
STORED_OF_RAW = 2 / 3

HOURS = {f"hour={hour:02}" for hour in range(24)}
FATES = ("kept", "repeats", "rejected", "late")


@dataclass(frozen=True)
class Arguments:
    """The job's arguments. `day` is the arrival day."""

    table: str
    day: date
    database: str
    data_path: str
    lookback_days: int
    sql: str
    compression: str
    file_mb: int


@measure.job
def main(argv: list[str]) -> int:
    """Runs the job; returns the number of the day's raw lines. Raises `ValueError` for bad arguments, `RuntimeError`
    when raw is gone but the lake is not."""
    arguments = parse_arguments(argv)
    spark = session.start(f"etl {arguments.table} {arguments.day}")
    for name, value in SETTINGS.items():
        spark.conf.set(name, value)
    result = run(spark, arguments)
    print(json.dumps({"table": arguments.table, "day": str(arguments.day), **result}))
    return result["raw"]


def parse_arguments(argv: list[str]) -> Arguments:
    """Reads `--name value` pairs as Glue and spark-submit pass them. Raises `ValueError`, or Glue's own error for a
    missing one."""
    names = ["table", "day", "database", "data_path", "lookback_days", "sql"]
    names += [name for name in ("compression", "file_mb") if f"--{name}" in argv]
    options = getResolvedOptions(argv, names)
    return Arguments(
        table=options["table"],
        day=read_day("day", options["day"]),
        database=options["database"],
        data_path=options["data_path"].rstrip("/"),
        lookback_days=whole_number("lookback_days", options["lookback_days"], least=0),
        sql=options["sql"].rstrip("/"),
        compression=one_of("compression", options.get("compression", "zstd"), session.COMPRESSIONS),
        file_mb=whole_number("file_mb", options.get("file_mb", "64"), least=1),
    )


def run(spark: SparkSession, arguments: Arguments) -> dict[str, Any]:
    """Writes what arrived on the day; returns the ledger row, `balanced`, and `nulled`: the invalid optional values by
    field."""
    started_at = datetime.now(UTC)
    table = EventTable.from_catalog(spark, arguments.database, arguments.table)
    day = Day(spark, arguments, table)
    arrived = ArrivalDay(spark, arguments.database, table.name, arguments.day)
    rejected, books = (
        Partition(spark, arguments.database, name, {"table_name": table.name, **day_keys(arguments.day)})
        for name in ("rejected", "ledger")
    )
    # Before raw, so that lines taken back in the meantime are counted twice rather than never.
    undelivered = day.count_undelivered()
    hours = day.hours()
    if not hours and any(arrived.partition(event_day).has_rows() for event_day in arrived.event_days()):
        raise RuntimeError(
            f"{day.raw} holds no lines of {arguments.day}, but the lake does: is raw expired? Refusing to empty the lake's partitions"
        )
    run_path = f"{arrived.folder()}/{new_run()}"
    counts = day.fill(hours, run_path)

    # Until the new row is published the day has none, so that nobody takes an incomplete day's books for closed.
    old_books = books.drop()
    arrived.publish(run_path)
    publish_rejected(rejected, f"{run_path}/event_day=rejected", counts["rejected"], table, arguments.compression)
    for aside in ("open", "rejected"):
        files.delete(spark, f"{run_path}/event_day={aside}")
    stored = spark.table(f"{arguments.database}.{table.name}").where(f"arrived = '{arguments.day}'").count()
    row = {name: counts[name] for name in ("raw", *FATES)} | {"stored": stored, "undelivered": undelivered}
    written = [f"CAST({count} AS bigint) AS {name}" for name, count in row.items()]
    times = {"started_at": started_at, "decided_at": datetime.now(UTC)}
    written += [f"TIMESTAMP '{time:%Y-%m-%d %H:%M:%S.%f}' AS {name}" for name, time in times.items()]
    new_books = books.write(spark.sql(f"SELECT {', '.join(written)}"), arguments.compression)
    books.publish(new_books)
    if old_books:
        delete_replaced(spark, old_books, new_books)
    balanced = row["raw"] == sum(row[fate] for fate in FATES) and row["kept"] == stored and not undelivered
    return row | {"balanced": balanced, "nulled": counts["nulled"]}


def publish_rejected(partition: Partition, staged: str, lines: int, table: EventTable, compression: str) -> None:
    """Publishes the table's partition of rejected lines, or drops it when there are none."""
    if not lines:
        if replaced := partition.drop():
            files.delete(partition.spark, replaced)
        return
    arrival = F.date_format("arrived_at", "'year='yyyy'/month='MM'/day='dd'/hour='HH'/'")
    source = F.concat(F.lit(f"{table.raw}/"), arrival, "_aside.file_name").alias("source")
    rows = partition.spark.read.orc(staged).select("_aside.reason", source, "_aside.line")
    partition.publish(partition.write(rows.sortWithinPartitions("source", "line"), compression))


@dataclass(frozen=True)
class Day:
    """The raw lines of a table and arrival day, on their way to a run's folder."""

    spark: SparkSession
    arguments: Arguments
    table: EventTable

    @property
    def raw(self) -> str:
        return f"{self.arguments.data_path}/{self.table.raw}"

    def hours(self) -> dict[str, int]:
        """The folders of the day's hours, with the bytes of their objects."""
        folder = f"{self.raw}/{partition_path(day_keys(self.arguments.day))}"
        names = (name for name in files.list_names(self.spark, folder) if name in HOURS)
        sizes = {f"{folder}/{name}": files.raw_bytes(self.spark, f"{folder}/{name}") for name in sorted(names)}
        return {path: size for path, size in sizes.items() if size}

    def count_undelivered(self) -> int:
        """The lines in the error objects of the day. A record or an object that can't be read counts as one."""
        path = f"{self.arguments.data_path}/raw-errors/{self.table.name}/processing-failed/{partition_path(day_keys(self.arguments.day))}"
        if not files.list_names(self.spark, path):
            return 0
        objects = self.spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(path)
        return objects.select("content").rdd.map(lambda row: count_events(row.content)).sum()

    def fill(self, hours: dict[str, int], run: str) -> dict[str, Any]:
        """Writes the run's files; returns the number of lines by fate."""
        if not hours:
            return dict.fromkeys(("raw", *FATES), 0) | {"nulled": {}}
        tasks = max(1, math.ceil(sum(hours.values()) * STORED_OF_RAW / (self.arguments.file_mb * 2**20)))
        self.spark.conf.set("spark.sql.maxConcurrentOutputFileWriters", str(self.arguments.lookback_days + 8))
        self.read_lines(list(hours)).createOrReplaceTempView("lines")
        self.spark.table(f"{self.arguments.database}.{self.table.name}").createOrReplaceTempView("lake")
        events, read = self.observe(
            self.sql("events", first_day=self.arguments.day - timedelta(days=self.arguments.lookback_days)),
            raw="count(1)",
            rejected="count_if(fate = 'rejected')",
            late="count_if(fate = 'late')",
            **{f"nulled {name}": f"count_if(`nulled {name}`)" for name in self.table.optional},
        )
        events.where("fate IS NULL OR fate <> 'late'").createOrReplaceTempView("events")
        first = self.write(self.sql("fates", open_before=self.arguments.day), run, tasks)
        counts = read.get | first
        if first["open"]:
            self.spark.read.orc(f"{run}/event_day=open").createOrReplaceTempView("open")
            oldest = date.fromisoformat(first["oldest"]) - timedelta(days=1)
            self.sql("open", oldest=oldest).createOrReplaceTempView("events")
            share = first["open"] / max(1, counts["raw"])
            second = self.write(self.sql("fates", open_before=""), run, max(1, round(tasks * share)))
            counts |= {fate: first[fate] + second[fate] for fate in ("kept", "repeats")}
        nulled = {name: counts[f"nulled {name}"] for name in self.table.optional if counts[f"nulled {name}"]}
        return {name: counts[name] for name in ("raw", *FATES)} | {"nulled": nulled}

    @cached_property
    def shared_values(self) -> dict[str, str]:
        """The values that all statements of glue/sql share."""
        return json.loads(files.read_text(self.spark, f"{self.arguments.sql}/values.json"))

    def sql(self, name: str, **values: Any) -> DataFrame:
        """The result of a statement of glue/sql."""
        day = self.arguments.day
        values = self.shared_values | {"day": day, "day_before": day - timedelta(days=1)} | values
        text = files.read_text(self.spark, f"{self.arguments.sql}/{name}.sql")
        return self.spark.sql(self.table.render(text, **values))

    def observe(self, frame: DataFrame, **counts: str) -> tuple[DataFrame, Observation]:
        """The frame, and counts that Spark makes while it is written."""
        observation = Observation()
        return frame.observe(observation, *(F.expr(count).alias(name) for name, count in counts.items())), observation

    def write(self, decided: DataFrame, run: str, tasks: int) -> dict[str, Any]:
        """Adds the rows to the run's folders, one for each event day, and one each for those that are open and rejected."""
        rows, fates = self.observe(
            decided,
            kept="count_if(fate = 'kept')",
            repeats="count_if(fate = 'repeat')",
            open="count_if(fate = 'open')",
            oldest="min(CASE WHEN fate = 'open' THEN dated END)",
        )
        rows = rows.where("fate <> 'repeat'").drop("fate", "dated").sortWithinPartitions(*self.table.sort)
        options = {"compression": self.arguments.compression, **session.ORC_OPTIONS}
        self.spark.conf.set("spark.sql.shuffle.partitions", str(tasks))
        rows.write.mode("append").partitionBy("event_day").options(**options).orc(run)
        return fates.get

    def read_lines(self, hours: list[str]) -> DataFrame:
        """All lines of the hours' objects: line, file_name, arrived_at."""
        schema = "value string, year int, month int, day int, hour int"
        read = self.spark.read.schema(schema).option("basePath", self.raw).option("lineSep", "\n").text(hours)
        arrived_at = "timestamp_seconds((unix_date(make_date(year, month, day)) * 24L + hour) * 3600) AS arrived_at"
        return read.selectExpr("value AS line", "_metadata.file_name AS file_name", arrived_at)


if __name__ == "__main__":
    main(sys.argv)
