"""Raw lines to the lake: one day of one table, exactly once, with every raw line on the ledger.

    spark-submit glue/etl.py --table impressions|clicks --day YYYY-MM-DD --database DB --data_path s3://BUCKET/data
        --lookback_days 3 [--compression zstd|zlib|snappy]

For the day D it overwrites three partitions, each by pointing the catalog at new files once they are complete:
the table's event day D, and the rejected lines and the ledger row of arrival day D. `docs/lake.md` defines the words.
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta, timezone

from awsglue.utils import getResolvedOptions
from pyspark.sql import Column, DataFrame, Observation, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

# The UUID fields of an event, its own id first. All are required; so is `occurred_at`.
ID_FIELDS = {
    "impressions": ("impression_id", "ad_id"),
    "clicks": ("click_id", "impression_id", "ad_id"),
}

# The results depend on these, so the job sets them itself. Everything else is the caller's (`spark-submit --conf`).
SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",
}

# An event may be dated this long after the end of the hour in which it arrived (Firehose tells arrival by the hour).
CLOCK_SKEW = timedelta(hours=1)

LINES_SCHEMA = T.StructType(
    [
        T.StructField("line", T.StringType()),
        T.StructField("file_name", T.StringType()),
        T.StructField("arrived_at", T.TimestampType()),
    ]
)

LEDGER_SCHEMA = T.StructType(
    [
        T.StructField(name, T.LongType())
        for name in ("raw", "kept", "repeats", "rejected", "late", "stored", "pending")
    ]
)

UUID = r"\A[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}\z"
OCCURRED_AT = r"\A[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3})?\z"
BLANK = r"\A\s*\z"
FLAT_OBJECT = r"\A\s*\{[^{}]*\}\s*\z"
OBJECT = r"\A\s*\{"

STRICT_JSON = {
    "mode": "PERMISSIVE",
    "columnNameOfCorruptRecord": "_malformed",
    "allowSingleQuotes": "false",
    "allowNonNumericNumbers": "false",
}


@dataclass(frozen=True)
class Arguments:
    """What the job was asked to do. `day` is an event day for the lake and an arrival day for the books."""

    table: str
    day: date
    database: str
    data_path: str
    lookback_days: int
    compression: str


@dataclass(frozen=True)
class Ledger:
    """The books of one table and arrival day; every figure counts lines.

    `stored` are the kept lines found in the lake, `pending` those whose event day has no lake partition yet.
    """

    raw: int
    kept: int
    repeats: int
    rejected: int
    late: int
    stored: int
    pending: int

    @property
    def balanced(self) -> bool:
        """Whether every raw line has one fate, and every kept line is a row of the lake."""
        fates = self.kept + self.repeats + self.rejected + self.late
        return self.raw == fates and self.kept == self.stored + self.pending


def main(argv: list[str]) -> None:
    """Runs the job. Raises `ValueError` for bad arguments, `RuntimeError` when raw is gone but the lake is not."""
    arguments = parse_arguments(argv)
    spark = SparkSession.builder.appName(f"etl {arguments.table} {arguments.day}").enableHiveSupport().getOrCreate()
    for name, value in SETTINGS.items():
        spark.conf.set(name, value)
    ledger = run(spark, arguments)
    print(json.dumps({"table": arguments.table, "day": str(arguments.day), **asdict(ledger), "balanced": ledger.balanced}))


def parse_arguments(argv: list[str]) -> Arguments:
    """Reads `--name value` pairs as Glue and spark-submit give them."""
    names = ["table", "day", "database", "data_path", "lookback_days"]
    names += [name for name in ("compression",) if f"--{name}" in argv]
    options = getResolvedOptions(argv, names)
    if options["table"] not in ID_FIELDS:
        raise ValueError(f"--table is {options['table']}: it must be one of {', '.join(ID_FIELDS)}")
    lookback_days = int(options["lookback_days"])
    if lookback_days < 0:
        raise ValueError(f"--lookback_days is {lookback_days}: it must not be negative")
    return Arguments(
        table=options["table"],
        day=datetime.strptime(options["day"], "%Y-%m-%d").date(),
        database=options["database"],
        data_path=options["data_path"].rstrip("/"),
        lookback_days=lookback_days,
        compression=options.get("compression") or "zstd",
    )


def run(spark: SparkSession, arguments: Arguments) -> Ledger:
    """Writes the day's lake partition, its rejected lines and its ledger row; returns that row."""
    table, day, lookback_days = arguments.table, arguments.day, arguments.lookback_days
    folder = f"{arguments.data_path}/raw/ad/{table}"
    source = f"raw/ad/{table}"
    hours = existing_hours(spark, folder, day - timedelta(days=lookback_days + 1), day + timedelta(days=lookback_days))
    window_start = datetime.combine(day, datetime.min.time()) - CLOCK_SKEW
    lake = Partition(spark, arguments.database, table, day_keys(day))
    if not any(hour >= window_start for hour in hours) and lake.has_rows():
        raise RuntimeError(
            f"{folder} holds no lines for {day}, but the lake does: is raw expired? Refusing to empty the lake's partition"
        )

    kept_and_repeats = Observation()
    events = transform(read_lines(spark, folder, hours), table, lookback_days)
    lake_files = lake.write(
        select_lake(events.observe(kept_and_repeats, *count_events(day, lookback_days)), table, day), arguments.compression
    )

    fates = Observation()
    parsed = parse_lines(read_lines(spark, folder, [hour for hour in hours if hour.date() == day]), table)
    rejected = Partition(spark, arguments.database, "rejected", {"table_name": table, **day_keys(day)})
    rejected_files = rejected.write(
        select_rejected(parsed.observe(fates, *count_lines(lookback_days)), source), arguments.compression
    )

    lake.publish(lake_files)
    rejected.publish(rejected_files)
    kept = {day - timedelta(days=age): kept_and_repeats.get[f"kept_{age + 1}"] for age in range(-1, lookback_days + 1)}
    stored = count_stored(spark, arguments.database, table, day, kept)
    ledger = Ledger(
        raw=fates.get["raw"],
        kept=sum(kept.values()),
        repeats=kept_and_repeats.get["repeats"],
        rejected=fates.get["rejected"],
        late=fates.get["late"],
        stored=sum(stored.values()),
        pending=sum(lines for event_day, lines in kept.items() if event_day not in stored),
    )
    books = Partition(spark, arguments.database, "ledger", {"table_name": table, **day_keys(day)})
    row = spark.createDataFrame([tuple(asdict(ledger).values())], LEDGER_SCHEMA).coalesce(1)
    books.publish(books.write(row, arguments.compression))
    return ledger


# --- pure: DataFrame to DataFrame ---


def transform(lines: DataFrame, table: str, lookback_days: int) -> DataFrame:
    """The events among `lines` (`LINES_SCHEMA`), each marked as a repeat or not.

    Columns: the table's ids (lower case), occurred_at timestamp, arrived_on date, event_day date, is_repeat boolean.
    A mark is exact for an event of day D when `lines` hold all that arrived from the last hour of D-1 up to the event.
    """
    events = parse_lines(lines, table).where(F.col("reason").isNull() & ~is_late(lookback_days))
    return mark_repeats(events, table)


def parse_lines(lines: DataFrame, table: str) -> DataFrame:
    """Every line with its fields, and the reason why it is no event of this table (null when it is one).

    Columns: those of `LINES_SCHEMA`, the table's ids (string), occurred_at timestamp, reason string. Unknown fields of
    a line are ignored, so that a new optional field needs no change here.
    """
    ids = ID_FIELDS[table]
    schema = ", ".join(f"{name} string" for name in (*ids, "occurred_at", "_malformed"))
    fields = F.from_json("line", schema, STRICT_JSON)
    with_fields = lines.withColumn("fields", fields)

    malformed = F.col("fields._malformed").isNotNull() | ~is_one_object(F.col("line"))
    occurred_at = F.try_to_timestamp(F.col("fields.occurred_at"))
    reason = F.when(F.col("line").rlike(BLANK), "blank").when(malformed, "malformed")
    for name in ids:
        value = F.col(f"fields.{name}")
        reason = reason.when(value.isNull(), f"missing {name}").when(~value.rlike(UUID), f"invalid {name}")
    written_time = F.col("fields.occurred_at")
    reason = (
        reason.when(written_time.isNull(), "missing occurred_at")
        .when(~written_time.rlike(OCCURRED_AT) | occurred_at.isNull(), "invalid occurred_at")
        .when(occurred_at >= F.col("arrived_at") + F.expr("INTERVAL 1 HOUR") + CLOCK_SKEW, "early")
    )
    return with_fields.select(
        "line",
        "file_name",
        "arrived_at",
        *(F.lower(f"fields.{name}").alias(name) for name in ids),
        occurred_at.alias("occurred_at"),
        reason.alias("reason"),
    )


def is_one_object(line: Column) -> Column:
    """Whether a line that starts with JSON's first value is one object and nothing after it.

    Spark's JSON reader takes the first value of a line and forgets the rest, so two events on one line would lose one.
    A line with no inner brace needs no second look. Any other must be one element of an array as well as one member
    of an object: what would close the one early is an error in the other.
    """
    one_element = F.json_array_length(F.concat(F.lit("["), line, F.lit("]"))) == 1
    one_member = F.size(F.json_object_keys(F.concat(F.lit('{"line":'), line, F.lit("}")))) == 1
    return F.when(line.rlike(FLAT_OBJECT), True).otherwise(
        line.rlike(OBJECT) & F.coalesce(one_element & one_member, F.lit(False))
    )


def is_late(lookback_days: int) -> Column:
    """Whether a line arrived after the last day on which its event day's partition is written."""
    return F.datediff("arrived_at", "occurred_at") > lookback_days


def mark_repeats(events: DataFrame, table: str) -> DataFrame:
    """Marks an event whose id arrived before, counting from the last hour before the event's own day.

    The line just before it has the latest arrival of all lines before it, so that one decides.
    """
    own_id, *other_ids = ID_FIELDS[table]
    by_arrival = Window.partitionBy(own_id).orderBy("arrived_at", "file_name", "occurred_at", *other_ids)
    window_start = F.date_trunc("day", "occurred_at") - CLOCK_SKEW
    return events.withColumn("previous", F.lag("arrived_at").over(by_arrival)).select(
        own_id,
        *other_ids,
        "occurred_at",
        F.to_date("arrived_at").alias("arrived_on"),
        F.to_date("occurred_at").alias("event_day"),
        F.coalesce(F.col("previous") >= window_start, F.lit(False)).alias("is_repeat"),
    )


def select_lake(events: DataFrame, table: str, day: date) -> DataFrame:
    """The rows of the table's partition `day`, sorted by ad within each file so that a query for one ad skips stripes."""
    own_id, *_ = ID_FIELDS[table]
    return (
        events.where(~F.col("is_repeat") & (F.col("event_day") == F.lit(day)))
        .sortWithinPartitions("ad_id", "occurred_at", own_id)
        .select(*ID_FIELDS[table], "occurred_at", "arrived_on")
    )


def select_rejected(parsed: DataFrame, source: str) -> DataFrame:
    """The lines that are no events: reason, source object (its key below the data path), original line."""
    arrival = F.date_format("arrived_at", "'/year='yyyy'/month='MM'/day='dd'/hour='HH'/'")
    return parsed.where(F.col("reason").isNotNull()).select(
        "reason",
        F.concat(F.lit(source), arrival, "file_name").alias("source"),
        "line",
    )


def count_events(day: date, lookback_days: int) -> list[Column]:
    """Aggregates over `transform`'s rows that arrived on `day`: repeats, and kept_<n> dated n - 1 days before it."""
    arrived = F.col("arrived_on") == F.lit(day)
    age = F.datediff("arrived_on", "event_day")
    return [F.count_if(arrived & F.col("is_repeat")).alias("repeats")] + [
        F.count_if(arrived & ~F.col("is_repeat") & (age == days)).alias(f"kept_{days + 1}")
        for days in range(-1, lookback_days + 1)
    ]


def count_lines(lookback_days: int) -> list[Column]:
    """Aggregates over `parse_lines`' rows: raw, rejected, late."""
    return [
        F.count(F.lit(1)).alias("raw"),
        F.count_if(F.col("reason").isNotNull()).alias("rejected"),
        F.count_if(F.col("reason").isNull() & is_late(lookback_days)).alias("late"),
    ]


# --- input ---


def existing_hours(spark: SparkSession, folder: str, first: date, last: date) -> list[datetime]:
    """The hours of arrival that have a folder, from the last hour of the day `first` to the end of the day `last`."""
    hours = []
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        for name in list_names(spark, f"{folder}/{partition_path(day_keys(day))}"):
            found = re.fullmatch(r"hour=([01]\d|2[0-3])", name)
            if found:
                hours.append(datetime.combine(day, datetime.min.time()).replace(hour=int(found[1])))
    return sorted(hour for hour in hours if hour >= datetime.combine(first, datetime.min.time()).replace(hour=23))


def read_lines(spark: SparkSession, folder: str, hours: Iterable[datetime]) -> DataFrame:
    """All lines (`LINES_SCHEMA`) of the hours' files; `arrived_at` is the hour's start."""
    paths = [f"{folder}/{partition_path(day_keys(hour))}/hour={hour:%H}" for hour in hours]
    if not paths:
        return spark.createDataFrame([], LINES_SCHEMA)
    files = (
        spark.read.schema("value string, year string, month string, day string, hour string")
        .option("basePath", folder)
        .option("lineSep", "\n")
        .text(paths)
    )
    arrived_at = F.concat("year", F.lit("-"), "month", F.lit("-"), "day", F.lit(" "), "hour", F.lit(":00:00"))
    return files.select(
        F.col("value").alias("line"),
        F.col("_metadata.file_name").alias("file_name"),
        arrived_at.cast("timestamp").alias("arrived_at"),
    )


# --- output ---


@dataclass(frozen=True)
class Partition:
    """One partition of a catalog table, replaced as a whole.

    `write` puts complete new files beside the live ones, `publish` points the catalog at them in one call and then
    deletes the others. A job that dies in between leaves the old partition in place; the next run cleans up.
    """

    spark: SparkSession
    database: str
    table: str
    keys: dict[str, str]

    @property
    def name(self) -> str:
        return f"`{self.database}`.`{self.table}`"

    @property
    def spec(self) -> str:
        return ", ".join(f"`{key}` = '{value}'" for key, value in self.keys.items())

    def folder(self) -> str:
        """The folder of all of the partition's runs, below the location that the catalog has for the table."""
        rows = self.spark.sql(f"DESCRIBE TABLE EXTENDED {self.name}").collect()
        location = next(row["data_type"] for row in reversed(rows) if row["col_name"] == "Location")
        return f"{location.rstrip('/')}/{partition_path(self.keys)}"

    def exists(self) -> bool:
        return bool(self.spark.sql(f"SHOW PARTITIONS {self.name} PARTITION ({self.spec})").take(1))

    def has_rows(self) -> bool:
        condition = " AND ".join(f"`{key}` = '{value}'" for key, value in self.keys.items())
        return self.exists() and bool(self.spark.table(f"{self.database}.{self.table}").where(condition).take(1))

    def write(self, frame: DataFrame, compression: str) -> str:
        """Writes the rows as ORC to a fresh folder, which nothing reads yet; returns the folder."""
        moment = datetime.now(timezone.utc)
        path = f"{self.folder()}/run-{moment:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        frame.write.option("compression", compression).orc(path)
        return path

    def publish(self, path: str) -> None:
        """Makes the folder the partition's live one, then deletes what else lies below the partition's folder."""
        if self.exists():
            self.spark.sql(f"ALTER TABLE {self.name} PARTITION ({self.spec}) SET LOCATION '{path}'")
        else:
            self.spark.sql(f"ALTER TABLE {self.name} ADD PARTITION ({self.spec}) LOCATION '{path}'")
        self.spark.catalog.refreshTable(f"{self.database}.{self.table}")
        folder, live = path.rsplit("/", 1)
        for name in list_names(self.spark, folder):
            if name != live:
                file_system, old = hadoop_path(self.spark, f"{folder}/{name}")
                file_system.delete(old, True)


def count_stored(
    spark: SparkSession, database: str, table: str, arrival_day: date, event_days: Iterable[date]
) -> dict[date, int]:
    """Rows of the lake that arrived on `arrival_day`, by those of the event days that have a partition."""
    partitions = {row[0] for row in spark.sql(f"SHOW PARTITIONS `{database}`.`{table}`").collect()}
    days = [day for day in event_days if partition_path(day_keys(day)) in partitions]
    if not days:
        return {}
    wanted = " OR ".join(
        "(" + " AND ".join(f"{key} = '{value}'" for key, value in day_keys(day).items()) + ")" for day in days
    )
    rows = (
        spark.table(f"{database}.{table}")
        .where(wanted)
        .where(F.col("arrived_on") == F.lit(arrival_day))
        .groupBy("year", "month", "day")
        .agg(F.count(F.lit(1)).alias("lines"))
        .collect()
    )
    found = {date(int(row["year"]), int(row["month"]), int(row["day"])): row["lines"] for row in rows}
    return {day: found.get(day, 0) for day in days}


def day_keys(day: date) -> dict[str, str]:
    """The day's partition keys and values, zero-padded strings."""
    return {"year": f"{day:%Y}", "month": f"{day:%m}", "day": f"{day:%d}"}


def partition_path(keys: dict[str, str]) -> str:
    return "/".join(f"{key}={value}" for key, value in keys.items())


def hadoop_path(spark: SparkSession, path: str) -> tuple:
    """The path and its file system (S3 or local alike), as Hadoop's Java objects."""
    hadoop = spark._jvm.org.apache.hadoop.fs.Path(path)
    return hadoop.getFileSystem(spark._jsc.hadoopConfiguration()), hadoop


def list_names(spark: SparkSession, folder: str) -> list[str]:
    """The names of the folder's files and folders; none when it does not exist."""
    file_system, path = hadoop_path(spark, folder)
    if not file_system.exists(path):
        return []
    return [status.getPath().getName() for status in file_system.listStatus(path)]


if __name__ == "__main__":
    main(sys.argv)
