"""Raw lines to the lake: one day of one table, exactly once, with every raw line on the ledger.

    spark-submit glue/etl.py --table impressions|clicks --day YYYY-MM-DD --database DB --data_path s3://BUCKET/data
        --lookback_days 3 [--compression zstd|zlib|snappy] [--file_mb 64]

For the day D it overwrites three partitions, each by pointing the catalog at new files once they are complete:
the table's event day D, and the rejected lines and the ledger row of arrival day D. `docs/lake.md` defines the words.
`glue/scala/etl.scala` is the same job in Scala, which takes the same steps with code of its own (docs/decisions/0008): what changes
here changes there. On AWS the job needs `--extra-py-files` with measure.py and undelivered.py.
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta, timezone

from awsglue.utils import getResolvedOptions
from pyspark.sql import Column, DataFrame, Row, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

import measure

# By name, since functions travel to the executors with what they use, and a module does not.
from undelivered import count_events

# The UUID fields of an event, its own id first. All are required; so is `occurred_at`. Optional fields need no word here:
# they are the columns that the catalog's table has besides (`EventTable`).
ID_FIELDS = {
    "impressions": ("impression_id", "ad_id"),
    "clicks": ("click_id", "impression_id", "ad_id"),
}
PARTITION_KEYS = ("year", "month", "day")
COMPRESSIONS = ("zstd", "zlib", "snappy")

# The results depend on the first two, so the job sets them itself. The third is for speed: ids do not compress, and Spark
# would look for a code for every column it caches. Everything else is the caller's (`spark-submit --conf`).
SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
}

# A reader that looks for one ad takes whole groups of rows, in whole blocks. By itself ORC makes them of 10,000 rows and
# 256 KiB, of which such a reader needs little. Codes for the ads are found by hash: a tree compares some ten ids for each row.
ORC_OPTIONS = {
    "orc.row.index.stride": "2500",
    "orc.compress.size": str(64 * 2**10),
    "orc.dictionary.implementation": "hash",
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

# What a value takes in a sorted zstd file (docs/lake.md has the measurements). Ad ids are sorted, so they take nothing.
BYTES_OF_ID = 19
BYTES_OF_TIMES = 3
BYTES_OF_OPTIONAL_FIELD = 8
BYTES_OF_REJECTED_LINE = 100

# Up to so many repeated ids are sent to all executors (some 50 bytes each), so that the other events need no shuffle.
BROADCAST_IDS = 2_000_000

UUID = r"\A\p{XDigit}{8}-\p{XDigit}{4}-\p{XDigit}{4}-\p{XDigit}{4}-\p{XDigit}{12}\z"
OCCURRED_AT = r"\A[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3})?\z"
# Every line is held against these two. Java looks a character up in a list of them in less time than in ranges.
HEX, DIGIT, SIXTY = "[0123456789abcdef]", "[0123456789]", "[012345][0123456789]"
PLAIN_UUID = f"{HEX}{{8}}-{HEX}{{4}}-{HEX}{{4}}-{HEX}{{4}}-{HEX}{{12}}"
PLAIN_TIME = rf"2{DIGIT}{{3}}-{DIGIT}{{2}}-{DIGIT}{{2}} (?:[01]{DIGIT}|2[0123]):{SIXTY}:{SIXTY}\.{DIGIT}{{3}}"
BLANK = r"\A\s*\z"
FLAT_OBJECT = r"\A[ \t\r]*\{[^{}]*\}[ \t\r]*\z"
OBJECT = r"\A[ \t\r]*\{"

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
    file_mb: int


@dataclass(frozen=True)
class EventTable:
    """A table of events and the optional fields that its rows may have: name and Spark type, in the catalog's order."""

    name: str
    optional: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_catalog(cls, spark: SparkSession, database: str, name: str) -> EventTable:
        """An optional field is a column that is neither required, nor the ETL's own, nor a partition key."""
        known = {*ID_FIELDS[name], "occurred_at", "arrived_on", *PARTITION_KEYS}
        columns = spark.table(f"{database}.{name}").dtypes
        return cls(name, tuple((column, kind) for column, kind in columns if column not in known))

    @property
    def ids(self) -> tuple[str, ...]:
        return ID_FIELDS[self.name]

    @property
    def own_id(self) -> str:
        return self.ids[0]

    @property
    def optional_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.optional)

    @property
    def bytes_of_row(self) -> int:
        """About what a row takes in the lake."""
        return (len(self.ids) - 1) * BYTES_OF_ID + BYTES_OF_TIMES + len(self.optional) * BYTES_OF_OPTIONAL_FIELD


@dataclass(frozen=True)
class Ledger:
    """The books of one table and arrival day; every figure counts lines.

    `stored` are the kept lines found in the lake, `pending` those whose event day has no lake partition yet, `undelivered`
    acknowledged ones that Firehose set aside, which are not in raw.
    """

    raw: int
    kept: int
    repeats: int
    rejected: int
    late: int
    stored: int
    pending: int
    undelivered: int

    @property
    def balanced(self) -> bool:
        """Whether every line is in raw and has one fate there, and every kept line is a row of the lake."""
        fates = self.kept + self.repeats + self.rejected + self.late
        return self.raw == fates and self.kept == self.stored + self.pending and not self.undelivered


@measure.job
def main(argv: list[str]) -> int:
    """Runs the job; gives the day's raw lines. Raises `ValueError` for bad arguments, `RuntimeError` when raw is gone but the
    lake is not."""
    arguments = parse_arguments(argv)
    spark = SparkSession.builder.appName(f"etl {arguments.table} {arguments.day}").enableHiveSupport().getOrCreate()
    for name, value in SETTINGS.items():
        spark.conf.set(name, value)
    ledger = run(spark, arguments)
    print(json.dumps({"table": arguments.table, "day": str(arguments.day), **asdict(ledger), "balanced": ledger.balanced}))
    return ledger.raw


def parse_arguments(argv: list[str]) -> Arguments:
    """Reads `--name value` pairs as Glue and spark-submit give them. Raises `ValueError`, or Glue's own error for a missing one."""
    names = ["table", "day", "database", "data_path", "lookback_days"]
    names += [name for name in ("compression", "file_mb") if f"--{name}" in argv]
    options = getResolvedOptions(argv, names)
    return Arguments(
        table=one_of("table", options["table"], tuple(ID_FIELDS)),
        day=read_day("day", options["day"]),
        database=options["database"],
        data_path=options["data_path"].rstrip("/"),
        lookback_days=whole_number("lookback_days", options["lookback_days"], least=0),
        compression=one_of("compression", options.get("compression", "zstd"), COMPRESSIONS),
        file_mb=whole_number("file_mb", options.get("file_mb", "64"), least=1),
    )


def one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"--{name} is {value}: it must be one of {', '.join(known)}")
    return value


def whole_number(name: str, value: str, least: int) -> int:
    if not re.fullmatch("[0-9]{1,9}", value) or int(value) < least:
        raise ValueError(f"--{name} is {value}: it must be a whole number, {least} or more")
    return int(value)


def read_day(name: str, value: str) -> date:
    try:
        return datetime.strptime(value, "%Y-%m-%d").date()
    except ValueError:
        raise ValueError(f"--{name} is {value}: it must be a day, YYYY-MM-DD") from None


def run(spark: SparkSession, arguments: Arguments) -> Ledger:
    """Writes the day's lake partition, its rejected lines and its ledger row; returns that row."""
    day, lookback_days = arguments.day, arguments.lookback_days
    table = EventTable.from_catalog(spark, arguments.database, arguments.table)
    source = f"raw/ad/{table.name}"
    folder = f"{arguments.data_path}/{source}"
    # Before raw, so that lines taken back in between count twice rather than never.
    undelivered = count_undelivered(spark, f"{arguments.data_path}/raw-errors/{table.name}/processing-failed", day)
    hours = existing_hours(spark, folder, day - timedelta(days=lookback_days + 1), day + timedelta(days=lookback_days))
    window_start = datetime.combine(day, datetime.min.time()) - CLOCK_SKEW
    lake = Partition(spark, arguments.database, table.name, day_keys(day))
    rejected = Partition(spark, arguments.database, "rejected", {"table_name": table.name, **day_keys(day)})
    books = Partition(spark, arguments.database, "ledger", {"table_name": table.name, **day_keys(day)})
    if not any(hour >= window_start for hour in hours) and lake.has_rows():
        raise RuntimeError(
            f"{folder} holds no lines for {day}, but the lake does: is raw expired? Refusing to empty the lake's partition"
        )

    # Raw is read and parsed once; what follows reads the parsed lines, of which none but the rejected keep their text.
    cached: list[DataFrame] = []

    def cache(frame: DataFrame) -> DataFrame:
        cached.append(frame.persist())
        return frame

    try:
        lines_read = cache(split_lines(read_lines(spark, folder, hours), table))
        parsed = plain_lines(lines_read, table).unionByName(cache(other_lines(lines_read, table)))
        events = select_events(parsed, lookback_days)
        repeated = cache(repeated_ids(events, table))
        if repeated.count() <= BROADCAST_IDS:
            repeated = F.broadcast(repeated)
        marked = cache(mark_repeats(events, repeated, table))
        lines = count_lines(parsed, day, lookback_days)
        repeats = count_repeats(marked, day, lookback_days)

        lake_files = files_for(lines["dated"] - repeats["dated"], table.bytes_of_row, arguments.file_mb)
        kept = select_kept(events, repeated, marked, table)
        lake_path = lake.write(select_lake(kept, table, day, lake_files), arguments.compression)
        rejected_files = files_for(lines["rejected"], BYTES_OF_REJECTED_LINE, arguments.file_mb)
        rejected_path = rejected.write(select_rejected(parsed, source, day, rejected_files), arguments.compression)
    finally:
        # The last first: what is made of a frame that goes would be planned anew.
        for frame in reversed(cached):
            frame.unpersist()

    lake.publish(lake_path)
    rejected.publish(rejected_path)
    ages = {age: f"aged_{age + 1}" for age in range(-1, lookback_days + 1)}
    kept_on = {day - timedelta(days=age): lines[name] - repeats[name] for age, name in ages.items()}
    stored = count_stored(spark, arguments.database, table.name, day, kept_on)
    ledger = Ledger(
        raw=lines["raw"],
        kept=sum(kept_on.values()),
        repeats=sum(repeats[name] for name in ages.values()),
        rejected=lines["rejected"],
        late=lines["late"],
        stored=sum(stored.values()),
        pending=sum(count for event_day, count in kept_on.items() if event_day not in stored),
        undelivered=undelivered,
    )
    row = ", ".join(f"CAST({count} AS bigint) AS {name}" for name, count in asdict(ledger).items())
    books.publish(books.write(spark.sql(f"SELECT {row}"), arguments.compression))
    return ledger


def files_for(rows: int, bytes_of_row: int, file_mb: int) -> int:
    """Into how many files so many rows go."""
    return max(1, round(rows * bytes_of_row / (file_mb * 2**20)))


# --- pure: DataFrame to DataFrame ---


def split_lines(lines: DataFrame, table: EventTable) -> DataFrame:
    """Every line (`LINES_SCHEMA`), the plain ones with their fields.

    Columns: file_name, arrived_at, then either the table's ids and occurred_at timestamp, or line. A plain line that is
    wrong all the same (early, or of a day that no month has) counts as any other.
    """
    is_plain, fields = plain_line(table)
    return (
        lines.withColumn("occurred_at", F.when(is_plain, fields["occurred_at"]))
        .withColumn("is_plain", F.coalesce(~is_early("occurred_at"), F.lit(False)))
        .select(
            "file_name",
            "arrived_at",
            *(F.when(F.col("is_plain"), fields[name]).alias(name) for name in table.ids),
            F.when(F.col("is_plain"), F.col("occurred_at")).alias("occurred_at"),
            F.when(~F.col("is_plain"), F.col("line")).alias("line"),
        )
    )


def plain_lines(split: DataFrame, table: EventTable) -> DataFrame:
    """The plain ones of `split_lines`, with the columns of `other_lines`: every one is an event."""
    return split.where(F.col("line").isNull()).select(
        "file_name",
        "arrived_at",
        *table.ids,
        "occurred_at",
        *(F.lit(None).cast(kind).alias(name) for name, kind in table.optional),
        F.lit(None).cast("string").alias("reason"),
        "line",
    )


def other_lines(split: DataFrame, table: EventTable) -> DataFrame:
    """The other ones of `split_lines` with their fields, and the reason why one is no event of this table.

    Columns: file_name, arrived_at, the table's ids (string, lower case), occurred_at timestamp, the optional fields,
    reason string (null for an event), line (null for an event). Unknown fields of a line are ignored. An optional field
    whose value does not fit the column's type is null: no line's fate depends on what is optional.

    Spark cannot compile the reading of JSON into one loop with the steps around it, and copies every row for it. So this
    is apart from the plain lines, which are nearly all.
    """
    names = (*table.ids, "occurred_at", *table.optional_names, "_malformed")
    written_time = F.col("fields.occurred_at")

    malformed = F.col("fields._malformed").isNotNull() | ~F.col("is_one_object")
    wrong_form = F.when(malformed, F.when(F.col("line").rlike(BLANK), "blank").otherwise("malformed"))
    for name in table.ids:
        value = F.col(f"fields.{name}")
        wrong_form = wrong_form.when(value.isNull(), f"missing {name}").when(~value.rlike(UUID), f"invalid {name}")
    wrong_form = wrong_form.when(written_time.isNull(), "missing occurred_at").when(
        ~written_time.rlike(OCCURRED_AT), "invalid occurred_at"
    )
    wrong_time = F.when(F.col("occurred_at").isNull(), "invalid occurred_at").when(is_early("occurred_at"), "early")
    return (
        split.where(F.col("line").isNotNull())
        .select(
            "file_name",
            "arrived_at",
            "line",
            F.from_json("line", ", ".join(f"`{name}` string" for name in names), STRICT_JSON).alias("fields"),
            is_one_object(F.col("line")).alias("is_one_object"),
        )
        .withColumn("occurred_at", F.try_to_timestamp(written_time))
        .withColumn("reason", F.coalesce(wrong_form, wrong_time))
        .select(
            "file_name",
            "arrived_at",
            *(F.lower(f"fields.{name}").alias(name) for name in table.ids),
            "occurred_at",
            *(F.col(f"fields.`{name}`").cast(kind).alias(name) for name, kind in table.optional),
            "reason",
            F.when(F.col("reason").isNotNull(), F.col("line")).alias("line"),
        )
    )


def plain_line(table: EventTable) -> tuple[Column, dict[str, Column]]:
    """Whether a line is, to the letter, as the beacons write an event; and its fields, cut out where they then stand.

    Nearly all lines are. One pattern tells it of the whole line, which takes a fraction of the time of reading JSON and of
    looking at each field. Of these lines only the time may still be wrong: a day that no month has.
    """
    # Characters of text are counted from its start, bytes are not; these are the same.
    line = F.col("line").cast("binary")

    def cut(start: int, length: int) -> Column:
        return F.substring(line, start, length).cast("string")

    pattern, start, fields = r"\A", 1, {}
    for index, name in enumerate((*table.ids, "occurred_at")):
        before = ('","' if index else '{"') + name + '":"'
        start += len(before)
        if name == "occurred_at":
            form, length, fields[name] = PLAIN_TIME, 23, plain_time(start, cut)
        else:
            form, length, fields[name] = PLAIN_UUID, 36, cut(start, 36)
        pattern += re.escape(before) + form
        start += length
    return F.col("line").rlike(pattern + r'"\}\z'), fields


def plain_time(start: int, cut: Callable[[int, int], Column]) -> Column:
    """The time that stands in a line from `start` on, as `PLAIN_TIME` has it: YYYY-MM-DD HH:MM:SS.mmm."""

    def number(offset: int, length: int) -> Column:
        return cut(start + offset, length).cast("bigint")

    hours = F.unix_date(cut(start, 10).cast("date")) * 24 + number(11, 2)
    seconds = (hours * 60 + number(14, 2)) * 60 + number(17, 2)
    return F.timestamp_micros((seconds * 1000 + number(20, 3)) * 1000)


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


def is_early(occurred_at: str) -> Column:
    """Whether an event is dated so long after its arrival that a clock must be wrong. Null when it has no date."""
    limit = (timedelta(hours=1) + CLOCK_SKEW) // timedelta(microseconds=1)
    return F.unix_micros(occurred_at) - F.unix_micros("arrived_at") >= limit


def day_of(moment: str) -> Column:
    """The day of a time. It is what `to_date` tells, which asks the rules of the time zone for every row; here it is UTC."""
    micros, day = f"unix_micros({moment})", timedelta(days=1) // timedelta(microseconds=1)
    return F.date_from_unix_date(F.expr(f"CAST(({micros} - pmod({micros}, {day}L)) DIV {day}L AS int)"))


def is_late(lookback_days: int) -> Column:
    """Whether a line arrived after the last day on which its event day's partition is written."""
    return F.datediff(day_of("arrived_at"), day_of("occurred_at")) > lookback_days


def select_events(parsed: DataFrame, lookback_days: int) -> DataFrame:
    """The lines of `other_lines` and `plain_lines` that are events and not late."""
    return parsed.where(F.col("reason").isNull() & ~is_late(lookback_days)).drop("reason", "line")


def repeated_ids(events: DataFrame, table: EventTable) -> DataFrame:
    """The hashes (id_hash bigint) that more than one event's own id has: of all that is a repeat, and of little else."""
    return events.groupBy(F.xxhash64(table.own_id).alias("id_hash")).count().where("count > 1").select("id_hash")


def mark_repeats(events: DataFrame, repeated: DataFrame, table: EventTable) -> DataFrame:
    """The events whose ids hash to one of `repeated`, and `is_repeat`: whether the id arrived before, from the last hour
    before the event's own day on.

    A mark is exact for an event of day D when `events` hold all that arrived from the last hour of D-1 up to the event.
    `repeated` are the `repeated_ids` of the events: only these few need to be put in order.
    """
    own_id, *other_ids = table.ids
    by_arrival = Window.partitionBy(own_id).orderBy(
        "arrived_at", "file_name", "occurred_at", *other_ids, *table.optional_names
    )
    window_start = F.date_trunc("day", "occurred_at") - CLOCK_SKEW
    # Of all lines with the id before this one, the last has the latest arrival, so it decides.
    previous = F.lag("arrived_at").over(by_arrival)
    return (
        events.join(repeated, F.xxhash64(own_id) == F.col("id_hash"), "left_semi")
        .withColumn("previous", previous)
        .withColumn("is_repeat", F.coalesce(F.col("previous") >= window_start, F.lit(False)))
        .drop("previous")
    )


def select_kept(events: DataFrame, repeated: DataFrame, marked: DataFrame, table: EventTable) -> DataFrame:
    """The events without the repeats; `marked` is what `mark_repeats` makes of the same."""
    single = events.join(repeated, F.xxhash64(table.own_id) == F.col("id_hash"), "left_anti")
    return single.unionByName(marked.where(~F.col("is_repeat")).drop("is_repeat"))


def select_lake(kept: DataFrame, table: EventTable, day: date, files: int) -> DataFrame:
    """The rows of the table's partition `day`, in at most so many files, each in order of ads: a query for one ad skips the
    rest. The files are not in order among themselves, so no row has to leave its task (docs/decisions/0007)."""
    return (
        kept.where(day_of("occurred_at") == F.lit(day))
        .select(*table.ids, "occurred_at", day_of("arrived_at").alias("arrived_on"), *table.optional_names)
        .coalesce(files)
        .sortWithinPartitions("ad_id", "occurred_at", table.own_id)
    )


def select_rejected(parsed: DataFrame, source: str, day: date, files: int) -> DataFrame:
    """The day's lines that are no events: reason, source object (its key below the data path), original line."""
    arrival = F.date_format("arrived_at", "'/year='yyyy'/month='MM'/day='dd'/hour='HH'/'")
    return (
        parsed.where(F.col("reason").isNotNull() & arrived_on(day))
        .select("reason", F.concat(F.lit(source), arrival, "file_name").alias("source"), "line")
        .repartition(files, "source")
        .sortWithinPartitions("source", "line")
    )


def count_lines(parsed: DataFrame, day: date, lookback_days: int) -> Row:
    """Counts of the rows of `plain_lines` and `other_lines`.

    Of those that arrived on `day`: raw, rejected, late, and aged_<n>, the other events that are dated n - 1 days before it.
    Besides: dated, the events of the day `day` whenever they arrived, but for the late ones.
    """
    arrived, is_event = F.col("arrived_on") == F.lit(day), F.col("is_event")
    fates = [
        F.count_if(arrived).alias("raw"),
        F.count_if(arrived & ~is_event).alias("rejected"),
        F.count_if(arrived & is_event & (age() > lookback_days)).alias("late"),
    ]
    return count(parsed, F.col("reason").isNull(), [*fates, *count_ages(day, lookback_days)])


def count_repeats(marked: DataFrame, day: date, lookback_days: int) -> Row:
    """Counts of the repeats among `mark_repeats`' rows: aged_<n> and dated, as `count_lines` has them."""
    return count(marked, F.col("is_repeat"), count_ages(day, lookback_days))


def count_ages(day: date, lookback_days: int) -> list[Column]:
    is_event = F.col("is_event")
    return [
        F.count_if(is_event & (F.col("event_day") == F.lit(day)) & (age() <= lookback_days)).alias("dated"),
        *(
            F.count_if(is_event & (F.col("arrived_on") == F.lit(day)) & (age() == days)).alias(f"aged_{days + 1}")
            for days in range(-1, lookback_days + 1)
        ),
    ]


def age() -> Column:
    return F.datediff("arrived_on", "event_day")


def count(lines: DataFrame, is_event: Column, aggregates: list[Column]) -> Row:
    """The aggregates' values. They count over the lines' arrived_on, event_day, is_event."""
    days = (day_of("arrived_at").alias("arrived_on"), day_of("occurred_at").alias("event_day"))
    return lines.select(*days, is_event.alias("is_event")).agg(*aggregates).first()


def arrived_on(day: date) -> Column:
    return day_of("arrived_at") == F.lit(day)


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
        spark.read.schema("value string, year int, month int, day int, hour int")
        .option("basePath", folder)
        .option("lineSep", "\n")
        .text(paths)
    )
    hour = F.unix_date(F.make_date("year", "month", "day")).cast("bigint") * 24 + F.col("hour")
    return files.select(
        F.col("value").alias("line"),
        F.col("_metadata.file_name").alias("file_name"),
        F.timestamp_seconds(hour * 3600).alias("arrived_at"),
    )


def count_undelivered(spark: SparkSession, folder: str, day: date) -> int:
    """The lines in the error objects of the day. A record or an object that can't be read counts as one."""
    path = f"{folder}/{partition_path(day_keys(day))}"
    if not list_names(spark, path):
        return 0
    objects = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(path)
    return objects.select("content").rdd.map(lambda row: count_events(row.content)).sum()


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
        frame.write.options(compression=compression, **ORC_OPTIONS).orc(path)
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
