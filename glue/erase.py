"""Erases a person, a thing or an event from everything that the warehouse stores, and prints a receipt.

    spark-submit glue/erase.py --by FIELD=VALUE | --ad UUID | --event UUID --database DB --data_path s3://BUCKET/data
        --table_name TABLE --lookback_days N --attribution_days N [--dry_run true|false] [--compression zstd|zlib|snappy]
        [--versions_path s3://BUCKET/data]

FIELD is a column that a table of events names in `event.erase`. `--ad UUID` is `--by ad_id=UUID`.

Without `--dry_run false` it changes nothing and prints the same receipt. An id is erased from raw and rejected lines
that contain it anywhere, in any letter case; from rows that contain it in any id field, in text, in an array or an
object, so events that refer to an erased event go with it; and from files that no partition points to and that may
contain it. Data derived from ads goes with the id of an ad or an event. Any other value is compared as it is, and
erased from the raw and rejected lines, rows and files of those tables that name FIELD in `event.erase`, where FIELD has
the value.

Each raw object, partition and manifest is replaced in one step. A run that is killed has erased a part and broken
nothing, and the next run erases the rest. It does not read days again whose raw is done, unless they have new objects.
So a long history can be erased in several runs. In a bucket with versions, earlier versions are deleted too: those of
raw objects that contain the id, and all of derived ORC files. Where `--data_path` is a copy of the bucket,
`--versions_path` is the bucket with the versions; whoever copies the data back must leave no other versions.

The receipt is one JSON object. It does not name what was erased, since it stays in the job's log. `places` has what
this run removed: lines of an object, rows of a partition or a dead run, items. `versions` counts earlier versions of
derived files, null where the bucket keeps none. `rerun` has the arrival days whose ETL and batch must run again, in
order, so that sums and books are right; null when there are none. `batch_only` has the event days outside that range
whose batch must run again: where raw has expired, even in part, an ETL would lose rows. Both include the days of
earlier runs that were killed. `docs/pipeline.md` lists what an erasure doesn't reach. On AWS it needs
`--extra-py-files` with lake.zip and load_ad_traffic.py.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from awsglue.utils import getResolvedOptions
from pyspark import RDD
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

import load_ad_traffic
from lake import ads, erased, measure, session
from lake.arguments import attribution_days, one_of, whole_number
from lake.days import keys_day, partition_path
from lake.erased import Erased
from lake.lines import RAW_ERRORS, rewrite_object, strip_lines
from lake.objects import Object, Store, open_store
from lake.partition import Partition
from lake.remains import Remains, delete_remains, find_remains
from lake.table import EventTable, event_tables

# Below the data path.
RAW = "raw/"
DERIVED = ("lake/", "rejected/", "loaded/")
JOURNALS = "erasing"

ARRIVAL = re.compile(r"raw/[^/]+/[^/]+/year=(\d{4})/month=(\d{2})/day=(\d{2})/hour=.+")
# The ledger counts these, by the same days.
UNDELIVERED = re.compile(r"raw-errors/[^/]+/processing-failed/year=(\d{4})/month=(\d{2})/day=(\d{2})/hour=.+")

# Raw objects that are searched and rewritten before their days are recorded as done: some minutes of work.
OBJECTS_OF_STEP = 2000


@dataclass(frozen=True)
class Arguments:
    """The job's arguments. `kind` is `ad`, `event` or the field of `--by`."""

    kind: str
    sought: Erased
    database: str
    data_path: str
    table_name: str
    lookback_days: int
    attribution_days: int
    dry_run: bool
    compression: str
    # Where the bucket's earlier versions are: the data path, unless that is a copy of the bucket.
    versions_path: str

    @property
    def id(self) -> str:
        return self.sought.value

    @property
    def with_ads(self) -> bool:
        """Whether data derived from ads may contain it."""
        return self.kind in ("ad", "event", ads.AD)


@dataclass(frozen=True)
class Plan:
    """What is to be erased besides raw."""

    item_days: list[str]
    manifests: list[tuple[str, int]]
    partitions: list[tuple[str, dict[str, str], int]]
    remains: list[tuple[Remains, int]]
    versions: list[Object] | None


@dataclass
class Journal:
    """What a killed run leaves for the next one: the arrival days and event days that it has changed, and the arrival
    days whose raw is done, with a hash of the names of their objects. A day with new objects is read again."""

    arrivals: set[date] = field(default_factory=set)
    event_days: set[date] = field(default_factory=set)
    done: dict[date, str] = field(default_factory=dict)


@measure.job
def main(argv: list[str]) -> int:
    """Runs the job; returns the number of lines, rows and items that it removed. Raises `ValueError` for bad
    arguments."""
    arguments = parse_arguments(argv)
    spark = session.start(f"erase {arguments.kind}")
    tables = event_tables(spark, arguments.database)
    if arguments.sought.field:
        arguments = replace(arguments, sought=erased.find(arguments.kind, arguments.id, tables))
    printed = run(spark, arguments, tables)
    print(json.dumps(printed), flush=True)
    if not arguments.dry_run:
        # Not before: the days of the receipt are in there.
        delete_journal(arguments)
    return 0 if arguments.dry_run else sum(place["count"] for place in printed["places"])


def parse_arguments(argv: list[str]) -> Arguments:
    kinds = [name for name in ("by", "ad", "event") if f"--{name}" in argv]
    if len(kinds) != 1:
        raise ValueError("give one of --by, --ad and --event, with what is to be erased")
    optional = [name for name in ("dry_run", "compression", "versions_path") if f"--{name}" in argv]
    options = getResolvedOptions(
        argv, [*kinds, "database", "data_path", "table_name", "lookback_days", "attribution_days", *optional]
    )
    kind, value = kinds[0], options[kinds[0]]
    if kind == "by":
        kind, _, value = value.partition("=")
        if not kind or not value:
            raise ValueError("--by must be FIELD=VALUE")
        sought = Erased(value, kind)
    elif re.fullmatch(erased.UUID, value):
        sought = Erased(value.lower())
    else:
        raise ValueError(f"--{kind} must be a UUID with hyphens, as in events")
    data_path = options["data_path"].rstrip("/")
    return Arguments(
        kind=kind,
        sought=sought,
        database=options["database"],
        data_path=data_path,
        table_name=options["table_name"],
        lookback_days=whole_number("lookback_days", options["lookback_days"], least=0),
        attribution_days=attribution_days(options["attribution_days"]),
        dry_run=one_of("dry_run", options.get("dry_run", "true"), ("true", "false")) == "true",
        compression=one_of("compression", options.get("compression", "zstd"), session.COMPRESSIONS),
        versions_path=options.get("versions_path", data_path).rstrip("/"),
    )


def run(spark: SparkSession, arguments: Arguments, tables: list[EventTable]) -> dict[str, Any]:
    """Finds what is to be erased, erases it unless this is a dry run, and returns the receipt."""
    store = open_store(arguments.data_path)
    journal = read_journal(store, arguments)
    raw = [item for prefix in (RAW, RAW_ERRORS) for item in stored_objects(arguments, prefix)]
    searched = [item for item in raw if item.key.startswith(arguments.sought.prefixes)]
    holds = row_conditions(arguments, tables)
    plan = make_plan(spark, arguments, store, holds)
    add_days(spark, arguments, journal, plan.partitions)
    if not arguments.dry_run:
        write_journal(store, arguments, journal)
        erase_derived(spark, arguments, plan, holds)
    hashes = {day: name_hash(found) for day, found in by_day(searched).items()}
    objects = []
    for items in steps(searched, journal.done):
        found = find_lines(spark, arguments, items)
        objects += found
        journal.arrivals |= arrival_days(item for item, _ in found)
        if not arguments.dry_run:
            write_journal(store, arguments, journal)
            rewrite_objects(spark, arguments, [item for item, _ in found])
            journal.done |= {day: hashes[day] for day in by_day(items)}
            write_journal(store, arguments, journal)
    days = days_to_run(arguments, journal, complete_days(spark, arguments.database, journal.arrivals, raw))
    if not arguments.dry_run:
        erase_versions(arguments)
    return receipt(arguments, plan, objects) | days


def receipt(arguments: Arguments, plan: Plan, objects: list[tuple[Object, int]]) -> dict[str, Any]:
    places: list[dict[str, Any]] = []
    places += [{"place": "dynamodb", "name": day, "count": 1} for day in plan.item_days]
    places += [
        {"place": "loaded", "name": folder.split("/loaded/")[-1], "count": rows} for folder, rows in plan.manifests
    ]
    places += [{"place": table, "name": partition_path(keys), "count": rows} for table, keys, rows in plan.partitions]
    places += [{"place": "dead run", "name": remains.folder, "count": rows} for remains, rows in plan.remains]
    places += [
        {"place": "raw", "name": item.key, "count": lines} | ({} if item.is_live else {"version": item.version})
        for item, lines in objects
    ]
    return {
        "kind": arguments.kind,
        "dry_run": arguments.dry_run,
        "places": places,
        "versions": None if plan.versions is None else len(plan.versions),
    }


def days_to_run(arguments: Arguments, journal: Journal, complete: set[date]) -> dict[str, Any]:
    """`rerun` and `batch_only` of the receipt. Later days were decided against what the changed days kept, so they must
    run again too."""
    last = min(max(complete, default=date.min) + timedelta(days=arguments.lookback_days + 1), yesterday())
    again = {day for day in complete if day <= last}
    rerun = (min(again), last) if again else None
    batch = {day for day in journal.event_days if day <= yesterday() and not (rerun and rerun[0] <= day <= rerun[1])}
    return {
        "rerun": {"from": str(rerun[0]), "to": str(rerun[1])} if rerun else None,
        "batch_only": [str(day) for day in sorted(batch)],
    }


def yesterday() -> date:
    """The last day of arrival that is over."""
    return datetime.now(UTC).date() - timedelta(days=1)


# --- what is to be erased ---


def make_plan(spark: SparkSession, arguments: Arguments, store: Store, holds: dict[str, Column]) -> Plan:
    """Looks everywhere but in raw, and changes nothing."""
    partitions = [
        (table, keys, rows)
        for table, condition in holds.items()
        for keys, rows in find_partitions(spark, arguments.database, table, condition)
    ]
    return Plan(
        item_days=ads.find_items(arguments.table_name, arguments.id) if arguments.with_ads else [],
        manifests=ads.find_manifests(spark, arguments.data_path, arguments.id) if arguments.with_ads else [],
        partitions=partitions,
        remains=find_remains(
            spark,
            store,
            arguments.data_path,
            arguments.database,
            holds,
            load_ad_traffic.MANIFESTS,
            arguments.sought.in_files,
        ),
        versions=find_versions(open_store(arguments.versions_path)),
    )


def row_conditions(arguments: Arguments, tables: list[EventTable]) -> dict[str, Column]:
    """The tables that may contain what is erased, each with the condition of such a row; never null."""
    conditions = {table.name: arguments.sought.in_table(table) for table in tables}
    for table, fields in ads.ID_FIELDS.items() if arguments.with_ads else ():
        conditions[table] = erased.any_of(F.col(name) == arguments.id for name in fields)
    conditions["rejected"] = arguments.sought.in_rejected()
    return {table: condition for table, condition in conditions.items() if condition is not None}


def add_days(
    spark: SparkSession, arguments: Arguments, journal: Journal, partitions: list[tuple[str, dict[str, str], int]]
) -> None:
    """Adds the days of partitions that are to change, and of those that are derived from them."""
    for table, keys, _ in partitions:
        day = keys_day(keys)
        if table == "rejected":
            journal.arrivals.add(day)
            continue
        journal.event_days.add(day)
        if "arrived" in keys:
            journal.arrivals.add(date.fromisoformat(keys["arrived"]))
        journal.event_days.update(ads.days_before(spark, arguments.database, table, day, arguments.attribution_days))


def stored_objects(arguments: Arguments, prefix: str) -> Iterator[Object]:
    """All objects, and all earlier versions."""
    yield from open_store(arguments.data_path).objects(prefix)
    if arguments.versions_path != arguments.data_path:
        yield from (item for item in open_store(arguments.versions_path).objects(prefix) if not item.is_live)


def arrival_day(item: Object) -> date | None:
    """The arrival day of a raw or an error object. The ETL reads no object outside a day's folder."""
    found = ARRIVAL.fullmatch(item.key) or UNDELIVERED.fullmatch(item.key)
    return date(*map(int, found.groups())) if found else None


def arrival_days(items: Iterable[Object]) -> set[date]:
    """The days of arrival of live objects."""
    return {day for item in items if item.is_live and (day := arrival_day(item))}


def by_day(items: Iterable[Object]) -> dict[date, list[Object]]:
    """The objects of each arrival day. Objects without one come last."""
    found: dict[date, list[Object]] = defaultdict(list)
    for item in items:
        found[arrival_day(item) or date.max].append(item)
    return found


def name_hash(items: Iterable[Object]) -> str:
    """A hash of the live objects' names, which a rewrite does not change."""
    return hashlib.sha256("\n".join(sorted(item.key for item in items if item.is_live)).encode()).hexdigest()


def steps(items: list[Object], done: dict[date, str]) -> Iterator[list[Object]]:
    """The objects of days that are not done, in steps of whole days; of the others the earlier versions, which a killed
    run may have left."""
    step: list[Object] = []
    for day, found in sorted(by_day(items).items()):
        step += [item for item in found if not item.is_live] if done.get(day) == name_hash(found) else found
        if len(step) >= OBJECTS_OF_STEP:
            yield step
            step = []
    if step:
        yield step


def complete_days(spark: SparkSession, database: str, days: set[date], raw: list[Object]) -> set[date]:
    """The days whose raw is complete, so that their ETL loses nothing.

    Objects of a day's last minutes are made on the next, and expire with it. A rewritten object expires later than its
    day. So nothing may have expired since the day before; the ledger records which days had lines.
    """
    with_raw = {day for item in raw if item.is_live and ARRIVAL.fullmatch(item.key) and (day := arrival_day(item))}
    had_raw = spark.table(f"{database}.ledger").where("raw > 0").select("year", "month", "day").distinct().collect()
    last_expired = max({keys_day(row.asDict()) for row in had_raw} - with_raw, default=date.min)
    return {day for day in days & with_raw if day > last_expired + timedelta(days=1)}


def find_partitions(
    spark: SparkSession, database: str, table: str, holds: Column
) -> Iterator[tuple[dict[str, str], int]]:
    """The partitions of a table with rows that contain what is erased, and their number."""
    keys = [column.name for column in spark.catalog.listColumns(f"{database}.{table}") if column.isPartition]
    rows = spark.table(f"{database}.{table}").where(holds)
    for row in rows.groupBy(*keys).agg(F.count(F.lit(1)).alias("lines")).orderBy(*keys).collect():
        yield {key: row[key] for key in keys}, row["lines"]


def find_lines(spark: SparkSession, arguments: Arguments, items: list[Object]) -> list[tuple[Object, int]]:
    """The raw objects with lines that contain what is erased, and their number."""
    live_path, earlier_path, sought = arguments.data_path, arguments.versions_path, arguments.sought

    def count(part: Iterable[tuple]) -> Iterator[tuple[tuple, int]]:
        live, earlier, holds = open_store(live_path), open_store(earlier_path), sought.finder()
        for fields in part:
            item = Object(*fields)
            lines = sum(removed for _, removed in strip_lines(live if item.is_live else earlier, item, holds))
            if lines:
                yield fields, lines

    found = in_parallel(spark, items).mapPartitions(count).collect()
    return [(Object(*fields), lines) for fields, lines in sorted(found)]


def find_versions(store: Store) -> list[Object] | None:
    """Earlier versions of derived files. They contain no live row; every nightly run leaves some."""
    if not store.keeps_versions():
        return None
    return [item for prefix in DERIVED for item in store.objects(prefix) if not item.is_live]


# --- its erasure ---


def erase_derived(spark: SparkSession, arguments: Arguments, plan: Plan, holds: dict[str, Column]) -> None:
    if arguments.with_ads:
        ads.erase_items(arguments.table_name, arguments.id, plan.item_days)
    for folder, _ in plan.manifests:
        ads.erase_manifest(spark, folder, arguments.id)
    for remains, _ in plan.remains:
        delete_remains(spark, arguments.data_path, remains)
    for table, keys, _ in plan.partitions:
        partition = Partition(spark, arguments.database, table, keys)
        rows = spark.table(f"{arguments.database}.{table}").where(partition.condition).where(~holds[table])
        partition.publish(partition.write(rows.drop(*keys), arguments.compression))


def rewrite_objects(spark: SparkSession, arguments: Arguments, items: list[Object]) -> None:
    live_path, earlier_path, sought = arguments.data_path, arguments.versions_path, arguments.sought

    def rewrite(part: Iterable[tuple]) -> None:
        live, earlier, holds = open_store(live_path), open_store(earlier_path), sought.finder()
        for item in (Object(*fields) for fields in part):
            if item.is_live:
                rewrite_object(live, item, holds)
            else:
                earlier.delete_versions([item])

    in_parallel(spark, items).foreachPartition(rewrite)


def erase_versions(arguments: Arguments) -> None:
    """Deletes the earlier versions of derived files, including those that this run has just made, and delete markers
    that no longer hide anything."""
    store = open_store(arguments.versions_path)
    if store.keeps_versions():
        store.delete_versions(find_versions(store) or [])
        for prefix in (*DERIVED, RAW, RAW_ERRORS):
            store.delete_versions(store.orphaned_markers(prefix))


def in_parallel(spark: SparkSession, items: list[Object]) -> RDD:
    """The objects' fields, over the executors. A class of the job's script could not travel as data."""
    context = spark.sparkContext
    return context.parallelize(map(astuple, items), max(1, min(len(items), context.defaultParallelism * 4)))


# --- the journal ---


def journal_key(arguments: Arguments) -> str:
    """Named by a hash, since what is erased is to be forgotten."""
    return f"{JOURNALS}/{hashlib.sha256(arguments.sought.name.encode()).hexdigest()}.json"


def read_journal(store: Store, arguments: Arguments) -> Journal:
    """Raises `RuntimeError` for a journal that no version of this job has written."""
    key = journal_key(arguments)
    if not any(item.key == key and item.is_live for item in store.objects(f"{JOURNALS}/")):
        return Journal()
    with store.open(Object(key)) as stored:
        text = stored.read()
    try:
        found = json.loads(text)
        if isinstance(found, list):
            # The first format: days of arrival and event days in one list, and no progress.
            found = {"arrivals": found, "event_days": found, "done": {}}
        return Journal(
            {date.fromisoformat(day) for day in found["arrivals"]},
            {date.fromisoformat(day) for day in found["event_days"]},
            {date.fromisoformat(day): names for day, names in found["done"].items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RuntimeError(
            f"{key} can't be read: {error!r}. Delete it to start over. The receipt then lacks the days that earlier runs changed"
        ) from error


def write_journal(store: Store, arguments: Arguments, journal: Journal) -> None:
    days = {name: sorted(map(str, getattr(journal, name))) for name in ("arrivals", "event_days")}
    done = {str(day): names for day, names in journal.done.items()}
    store.write(journal_key(arguments), json.dumps(days | {"done": done}).encode())


def delete_journal(arguments: Arguments) -> None:
    """Deletes it with its earlier versions: its name would confirm a guess of what was erased."""
    open_store(arguments.data_path).forget(journal_key(arguments))


if __name__ == "__main__":
    main(sys.argv)
