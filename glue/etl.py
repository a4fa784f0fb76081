"""Raw lines to the lake: one arrival day of one table, each line read once and on the ledger.

    spark-submit glue/etl.py --table TABLE --day YYYY-MM-DD --database DB --data_path s3://BUCKET/data --lookback_days 3
        --sql s3://…/glue/sql [--compression zstd|zlib|snappy] [--file_mb 64]

It overwrites what arrived on the day: the table's partitions of that arrival day, the rejected lines, and the ledger row,
each by pointing the catalog at complete files. What other days wrote it reads, as far as a line of the day may repeat it,
and leaves alone. So days are run in order. `docs/lake.md` defines the words. `glue/scala/etl.scala` runs the same SQL.
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
    # It takes a part of a plan that has no rows for one that need not be run, and what was counted there with it.
    "spark.sql.adaptive.optimizer.excludedRules": "org.apache.spark.sql.execution.adaptive.AQEPropagateEmptyRelation",
    # Each task writes a file of an event day, so their number is that of the files. It would make fewer of them.
    "spark.sql.adaptive.coalescePartitions.enabled": "false",
}

# Of gzip'd raw lines about so much is left in the lake: ids, which are random, take 16 bytes in ORC and some 20 in gzip.
STORED_OF_RAW = 2 / 3


@dataclass(frozen=True)
class Arguments:
    """What the job was asked to do. `day` is the day of arrival."""

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
    """Runs the job; gives the day's raw lines. Raises `ValueError` for bad arguments, `RuntimeError` when raw is gone but the
    lake is not."""
    arguments = parse_arguments(argv)
    spark = session.start(f"etl {arguments.table} {arguments.day}")
    for name, value in SETTINGS.items():
        spark.conf.set(name, value)
    result = run(spark, arguments)
    print(json.dumps({"table": arguments.table, "day": str(arguments.day), **result}))
    return result["raw"]


def parse_arguments(argv: list[str]) -> Arguments:
    """Reads `--name value` pairs as Glue and spark-submit give them. Raises `ValueError`, or Glue's own error for a missing one."""
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
    """Writes what arrived on the day; returns the ledger row, `balanced`, and `nulled`: optional values that were no good, by field."""
    started_at = datetime.now(UTC)
    table = EventTable.from_catalog(spark, arguments.database, arguments.table)
    day = Day(spark, arguments, table)
    arrived = ArrivalDay(spark, arguments.database, table.name, arguments.day)
    rejected, books = (
        Partition(spark, arguments.database, name, {"table_name": table.name, **day_keys(arguments.day)})
        for name in ("rejected", "ledger")
    )
    # Before raw, so that lines taken back in between count twice rather than never.
    undelivered = day.count_undelivered()
    hours = day.hours()
    if not hours and any(arrived.partition(event_day).has_rows() for event_day in arrived.event_days()):
        raise RuntimeError(
            f"{day.raw} holds no lines of {arguments.day}, but the lake does: is raw expired? Refusing to empty the lake's partitions"
        )
    run_path = f"{arrived.folder()}/{new_run()}"
    counts = day.fill(hours, run_path)

    # Until the new row is there the day has none, so nobody takes the books of a torn day for closed.
    old_books = books.drop()
    arrived.publish(run_path)
    publish_rejected(rejected, f"{run_path}/event_day=rejected", counts["rejected"], table, arguments.compression)
    for aside in ("open", "rejected"):
        files.delete(spark, f"{run_path}/event_day={aside}")
    condition = f"arrived = '{arguments.day}'"
    stored = spark.table(f"{arguments.database}.{table.name}").where(condition).count()
    row = {
        **{name: counts[name] for name in ("raw", "kept", "repeats", "rejected", "late")},
        "stored": stored,
        "undelivered": undelivered,
    }
    written = [f"CAST({count} AS bigint) AS {name}" for name, count in row.items()]
    times = {"started_at": started_at, "decided_at": datetime.now(UTC)}
    written += [f"TIMESTAMP '{time:%Y-%m-%d %H:%M:%S.%f}' AS {name}" for name, time in times.items()]
    new_books = books.write(spark.sql(f"SELECT {', '.join(written)}"), arguments.compression)
    books.publish(new_books)
    if old_books:
        delete_replaced(spark, old_books, new_books)
    fates = row["kept"] + row["repeats"] + row["rejected"] + row["late"]
    balanced = row["raw"] == fates and row["kept"] == stored and not undelivered
    return row | {"balanced": balanced, "nulled": counts["nulled"]}


def publish_rejected(partition: Partition, staged: str, lines: int, table: EventTable, compression: str) -> None:
    """Makes the table's partition of the lines that were set aside, or takes it away when there are none."""
    spark = partition.spark
    if not lines:
        replaced = partition.drop()
        if replaced:
            files.delete(spark, replaced)
        return
    arrival = F.date_format("arrived_at", "'year='yyyy'/month='MM'/day='dd'/hour='HH'/'")
    rows = spark.read.orc(staged).select(
        "_aside.reason",
        F.concat(F.lit(f"{table.raw}/"), arrival, "_aside.file_name").alias("source"),
        "_aside.line",
    )
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
        """Writes the run's files; returns how many lines had which fate."""
        if not hours:
            return dict.fromkeys(("raw", "kept", "repeats", "rejected", "late"), 0) | {"nulled": {}}
        tasks = max(1, math.ceil(sum(hours.values()) * STORED_OF_RAW / (self.arguments.file_mb * 2**20)))
        self.spark.conf.set("spark.sql.maxConcurrentOutputFileWriters", str(self.arguments.lookback_days + 8))
        lines = self.read_lines(list(hours))
        lines.createOrReplaceTempView("lines")
        events, read = self.observe(
            self.sql("events", first_day=self.arguments.day - timedelta(days=self.arguments.lookback_days)),
            raw="count(1)",
            rejected="count_if(fate = 'rejected')",
            late="count_if(fate = 'late')",
            **{f"nulled {name}": f"count_if(`nulled {name}`)" for name in self.table.optional},
        )
        events.where("fate IS NULL OR fate <> 'late'").createOrReplaceTempView("events")
        self.known().createOrReplaceTempView("known")
        first = self.write(self.sql("fates", open_before=self.arguments.day), run, tasks)
        total = dict(first)
        if first["open"]:
            self.spark.read.orc(f"{run}/event_day=open").createOrReplaceTempView("open")
            self.spark.table(f"{self.arguments.database}.{self.table.name}").createOrReplaceTempView("lake")
            oldest = date.fromisoformat(first["oldest"]) - timedelta(days=1)
            self.sql("open", oldest=oldest).createOrReplaceTempView("events")
            self.known(none=True).createOrReplaceTempView("known")
            second = self.write(
                self.sql("fates", open_before=""), run, max(1, round(tasks * first["open"] / max(1, read.get["raw"])))
            )
            total = {name: first[name] + second[name] for name in ("kept", "repeats")}
        counted = read.get
        return {
            **{name: total[name] for name in ("kept", "repeats")},
            **{name: counted[name] for name in ("raw", "rejected", "late")},
            "nulled": {name: counted[f"nulled {name}"] for name in self.table.optional if counted[f"nulled {name}"]},
        }

    @cached_property
    def shared_values(self) -> dict[str, str]:
        """What all statements of glue/sql share."""
        return json.loads(files.read_text(self.spark, f"{self.arguments.sql}/values.json"))

    def sql(self, name: str, **values: Any) -> DataFrame:
        """What a statement of glue/sql makes of the views."""
        values = self.shared_values | {"day": self.arguments.day} | values
        text = files.read_text(self.spark, f"{self.arguments.sql}/{name}.sql")
        return self.spark.sql(self.table.render(text, **values))

    def observe(self, frame: DataFrame, **counts: str) -> tuple[DataFrame, Observation]:
        """The frame, and what SQL counts of it as it passes by."""
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

    def known(self, none: bool = False) -> DataFrame:
        """What was kept from the last hour of the day before: id_or_line, arrived_at."""
        before = self.arguments.day - timedelta(days=1)
        condition = "false" if none else f"arrived = '{before}' AND arrived_at >= TIMESTAMP '{before} 23:00:00'"
        return self.spark.sql(
            f"SELECT `{self.table.id}` AS id_or_line, arrived_at FROM `{self.arguments.database}`.`{self.table.name}` WHERE {condition}"
        )

    def read_lines(self, hours: list[str]) -> DataFrame:
        """All lines of the hours' objects: line, file_name, arrived_at."""
        schema = "value string, year int, month int, day int, hour int"
        read = self.spark.read.schema(schema).option("basePath", self.raw).option("lineSep", "\n").text(hours)
        hour = F.unix_date(F.make_date("year", "month", "day")).cast("bigint") * 24 + F.col("hour")
        return read.select(
            F.col("value").alias("line"),
            F.col("_metadata.file_name").alias("file_name"),
            F.timestamp_seconds(hour * 3600).alias("arrived_at"),
        )


HOURS = {f"hour={hour:02}" for hour in range(24)}

if __name__ == "__main__":
    main(sys.argv)
