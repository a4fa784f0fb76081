"""Erases an ad or an event from all that the warehouse keeps, and prints a receipt.

    spark-submit glue/erase.py --ad UUID | --event UUID --database DB --data_path s3://BUCKET/data --table_name TABLE
        --lookback_days N [--dry_run true|false] [--compression zstd|zlib|snappy]

Without `--dry_run false` it changes nothing and prints the same receipt. What goes: raw and rejected lines that hold the id
anywhere, in any letter case; rows and items that hold it in any id field, so an impression takes its clicks along; and files
that no partition points to and that may hold it. Each raw object, partition and manifest is replaced in one step by one
without them, so a run that is killed has erased part of the whole and broken nothing. The next one erases the rest: what is
erased it no longer finds, and days whose raw is done it does not read again unless they have other objects since. So a long
history can be finished in several runs.
In a bucket with versions the earlier ones go too: those of raw objects that hold the id, and all of derived ORC files.

The receipt, one JSON object: `places` with what this run removed (lines of an object, rows of a partition or a dead run,
items), `versions` (earlier versions of derived files, null where there are none to keep), `rerun` (the days of arrival whose
ETL and batch must run again, in order, so that sums and books are right; null when none) and `batch_only` (event days
outside of that range whose batch must run again. Where raw has expired, if only in part, an ETL would lose rows). Both
have the days of earlier runs that were killed, too.
`docs/pipeline.md` says what it doesn't reach. On AWS it needs `--extra-py-files` with lake.zip and load_ad_traffic.py.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Any
from urllib.parse import unquote

import boto3
from awsglue.utils import getResolvedOptions
from pyspark import RDD
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

import load_ad_traffic
from lake import files, measure, session
from lake.arguments import one_of, whole_number
from lake.days import day_keys, keys_day, partition_path
from lake.lines import RAW_ERRORS, id_pattern, rewrite_object, strip_lines
from lake.objects import Object, Store, open_store
from lake.partition import Partition
from lake.remains import Remains, delete_remains, find_remains
from lake.table import EventTable

# The id fields of the tables that are no tables of events; lines of `rejected` are looked at as text.
ID_FIELDS = {"advertising": ("ad_id", "impression_id"), "ad_traffic": ("ad_id",), "rejected": ()}

# Below the data path.
RAW = "raw/"
DERIVED = ("lake/", "rejected/", "loaded/")
JOURNALS = "erasing"

ARRIVAL = re.compile(r"raw/ad/[^/]+/year=(\d{4})/month=(\d{2})/day=(\d{2})/hour=.+")
# The ledger counts these, by the same days.
UNDELIVERED = re.compile(r"raw-errors/[^/]+/processing-failed/year=(\d{4})/month=(\d{2})/day=(\d{2})/hour=.+")

# So many raw objects are searched and rewritten before the days are noted as done: some minutes of work.
OBJECTS_OF_STEP = 2000


@dataclass(frozen=True)
class Arguments:
    id: str
    kind: str
    database: str
    data_path: str
    table_name: str
    lookback_days: int
    dry_run: bool
    compression: str


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
    """What a run that is killed leaves for the next: days of arrival and event days that it has changed, and the days of arrival
    whose raw is done, with a hash of the names of its objects. A day that has others since is read again."""

    arrivals: set[date] = field(default_factory=set)
    event_days: set[date] = field(default_factory=set)
    done: dict[date, str] = field(default_factory=dict)


@measure.job
def main(argv: list[str]) -> int:
    """Runs the job; gives the lines, rows and items that it removed. Raises `ValueError` for bad arguments."""
    arguments = parse_arguments(argv)
    spark = session.start(f"erase {arguments.kind}")
    printed = run(spark, arguments)
    print(json.dumps(printed), flush=True)
    if not arguments.dry_run:
        # Not before: the days of the receipt are in there.
        delete_journal(spark, arguments)
    return 0 if arguments.dry_run else sum(place["count"] for place in printed["places"])


def parse_arguments(argv: list[str]) -> Arguments:
    kinds = [name for name in ("ad", "event") if f"--{name}" in argv]
    if len(kinds) != 1:
        raise ValueError("give either --ad or --event, with the id that is to be erased")
    optional = [name for name in ("dry_run", "compression") if f"--{name}" in argv]
    options = getResolvedOptions(argv, [*kinds, "database", "data_path", "table_name", "lookback_days", *optional])
    erased = options[kinds[0]]
    if not re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", erased):
        raise ValueError(f"--{kinds[0]} is {erased}: it must be a UUID with hyphens, as in events")
    return Arguments(
        id=erased.lower(),
        kind=kinds[0],
        database=options["database"],
        data_path=options["data_path"].rstrip("/"),
        table_name=options["table_name"],
        lookback_days=whole_number("lookback_days", options["lookback_days"], least=0),
        dry_run=one_of("dry_run", options.get("dry_run", "true"), ("true", "false")) == "true",
        compression=one_of("compression", options.get("compression", "zstd"), session.COMPRESSIONS),
    )


def run(spark: SparkSession, arguments: Arguments) -> dict[str, Any]:
    """Finds what is to be erased, erases it unless this is a dry run, and returns the receipt."""
    store = open_store(arguments.data_path)
    journal = read_journal(store, arguments)
    raw = [item for prefix in (RAW, RAW_ERRORS) for item in store.objects(prefix)]
    fields = id_fields(spark, arguments.database)
    plan = make_plan(spark, arguments, store, fields)
    add_days(spark, arguments.database, journal, plan.partitions)
    if not arguments.dry_run:
        write_journal(store, arguments, journal)
        erase_derived(spark, arguments, plan, fields)
    objects = []
    for items in steps(raw, journal.done):
        found = find_lines(spark, arguments, items)
        objects += found
        journal.arrivals |= arrival_days(item for item, _ in found)
        if not arguments.dry_run:
            write_journal(store, arguments, journal)
            rewrite_objects(spark, arguments, [item for item, _ in found])
            journal.done |= {day: name_hash(read) for day, read in by_day(items).items()}
            write_journal(store, arguments, journal)
    days = days_to_run(arguments, journal, complete_days(spark, arguments.database, journal.arrivals, raw))
    if not arguments.dry_run:
        erase_versions(arguments)
    return receipt(arguments, plan, objects) | days


def receipt(arguments: Arguments, plan: Plan, objects: list[tuple[Object, int]]) -> dict[str, Any]:
    places: list[dict[str, Any]] = []
    places += [{"place": "dynamodb", "name": day, "count": 1} for day in plan.item_days]
    places += [{"place": "loaded", "name": folder.split("/loaded/")[-1], "count": rows} for folder, rows in plan.manifests]
    places += [{"place": table, "name": partition_path(keys), "count": rows} for table, keys, rows in plan.partitions]
    places += [{"place": "dead run", "name": remains.folder, "count": rows} for remains, rows in plan.remains]
    places += [
        {"place": "raw", "name": item.key, "count": lines} | ({} if item.is_live else {"version": item.version})
        for item, lines in objects
    ]
    return {
        "id": arguments.id,
        "kind": arguments.kind,
        "dry_run": arguments.dry_run,
        "places": places,
        "versions": None if plan.versions is None else len(plan.versions),
    }


def days_to_run(arguments: Arguments, journal: Journal, complete: set[date]) -> dict[str, Any]:
    """`rerun` and `batch_only` of the receipt. Later days were decided against what the changed ones kept, so they follow."""
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
    return datetime.now(timezone.utc).date() - timedelta(days=1)


# --- what is to be erased ---


def make_plan(spark: SparkSession, arguments: Arguments, store: Store, fields: dict[str, tuple[str, ...]]) -> Plan:
    """Looks everywhere but in raw, and changes nothing."""
    partitions = [
        (table, keys, rows)
        for table in fields
        for keys, rows in find_partitions(spark, arguments.database, table, holds_id(fields[table], arguments.id))
    ]
    return Plan(
        item_days=find_items(arguments),
        manifests=find_manifests(spark, arguments),
        partitions=partitions,
        remains=find_remains(
            spark, store, arguments.data_path, arguments.database, fields, load_ad_traffic.MANIFESTS, arguments.id
        ),
        versions=find_versions(store),
    )


def id_fields(spark: SparkSession, database: str) -> dict[str, tuple[str, ...]]:
    """The tables that may hold an id, with their id fields. Of tables of events the catalog knows them."""
    found = {}
    for row in spark.sql(f"SHOW TABLES IN `{database}`").collect():
        if not row["isTemporary"] and row["tableName"] not in ID_FIELDS:
            try:
                table = EventTable.from_catalog(spark, database, row["tableName"])
            except ValueError:
                continue
            found[table.name] = tuple(column.name for column in table.columns if column.kind == "uuid")
    return {name: fields for name, fields in found.items() if fields} | ID_FIELDS


def add_days(
    spark: SparkSession, database: str, journal: Journal, partitions: list[tuple[str, dict[str, str], int]]
) -> None:
    """Adds the days of partitions that are to change. A click may be the first one of an impression of the day before."""
    for table, keys, _ in partitions:
        day = keys_day(keys)
        if table == "rejected":
            journal.arrivals.add(day)
            continue
        journal.event_days.add(day)
        if "arrived" in keys:
            journal.arrivals.add(date.fromisoformat(keys["arrived"]))
        before = day - timedelta(days=1)
        if table == "clicks" and Partition(spark, database, "advertising", day_keys(before)).exists():
            journal.event_days.add(before)


def arrival_day(item: Object) -> date | None:
    """The day of arrival of a raw or an error object. What lies in no folder of a day is none that the ETL reads."""
    found = ARRIVAL.fullmatch(item.key) or UNDELIVERED.fullmatch(item.key)
    return date(*map(int, found.groups())) if found else None


def arrival_days(items: Iterable[Object]) -> set[date]:
    """The days of arrival of live objects."""
    return {day for item in items if item.is_live and (day := arrival_day(item))}


def by_day(items: Iterable[Object]) -> dict[date, list[Object]]:
    """The objects of each day of arrival. Those of none come last."""
    found: dict[date, list[Object]] = defaultdict(list)
    for item in items:
        found[arrival_day(item) or date.max].append(item)
    return found


def name_hash(items: Iterable[Object]) -> str:
    """A hash of the live objects' names: to rewrite them does not change it."""
    return hashlib.sha256("\n".join(sorted(item.key for item in items if item.is_live)).encode()).hexdigest()


def steps(items: list[Object], done: dict[date, str]) -> Iterator[list[Object]]:
    """The objects of days that are not done, in steps of whole days."""
    step: list[Object] = []
    for day, found in sorted(by_day(items).items()):
        if done.get(day) != name_hash(found):
            step += found
        if len(step) >= OBJECTS_OF_STEP:
            yield step
            step = []
    if step:
        yield step


def complete_days(spark: SparkSession, database: str, days: set[date], raw: list[Object]) -> set[date]:
    """Those of the days whose raw is all there, so that their ETL loses nothing.

    Objects of a day's last minutes are made on the next, and expire with it. A rewritten object expires later than its
    day. So nothing may have expired from the day before a day on; the books know where there was something.
    """
    with_raw = {day for item in raw if item.is_live and ARRIVAL.fullmatch(item.key) and (day := arrival_day(item))}
    had_raw = spark.table(f"{database}.ledger").where("raw > 0").select("year", "month", "day").distinct().collect()
    last_expired = max({keys_day(row.asDict()) for row in had_raw} - with_raw, default=date.min)
    return {day for day in days & with_raw if day > last_expired + timedelta(days=1)}


def find_partitions(
    spark: SparkSession, database: str, table: str, holds: Column
) -> Iterator[tuple[dict[str, str], int]]:
    """The partitions of a table with rows that hold the id, and how many."""
    keys = [column.name for column in spark.catalog.listColumns(f"{database}.{table}") if column.isPartition]
    rows = spark.table(f"{database}.{table}").where(holds)
    for row in rows.groupBy(*keys).agg(F.count(F.lit(1)).alias("lines")).orderBy(*keys).collect():
        yield {key: row[key] for key in keys}, row["lines"]


def holds_id(fields: tuple[str, ...], erased: str) -> Column:
    """Whether a row holds the id in one of the fields, or in its line if it has none; never null."""
    if not fields:
        return F.coalesce(F.col("line").rlike(id_pattern(erased)), F.lit(False))
    found = F.lit(False)
    for name in fields:
        found |= F.coalesce(F.col(name) == erased, F.lit(False))
    return found


def find_items(arguments: Arguments) -> list[str]:
    """The days of the DynamoDB items of an ad with this id."""
    pages = (
        boto3.client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=arguments.table_name,
            KeyConditionExpression="ad_id = :id",
            ExpressionAttributeValues={":id": {"S": arguments.id}},
            ProjectionExpression="#day",
            ExpressionAttributeNames={"#day": "day"},
            ConsistentRead=True,
        )
    )
    return [item["day"]["S"] for page in pages for item in page["Items"]]


def find_manifests(spark: SparkSession, arguments: Arguments) -> list[tuple[str, int]]:
    """The manifests of the DynamoDB load (`load_ad_traffic.py`) that hold the id, and how many rows of it."""
    folder = f"{arguments.data_path}/{load_ad_traffic.MANIFESTS}"
    if not files.list_names(spark, folder):
        return []
    items = spark.read.schema(load_ad_traffic.ITEMS_SCHEMA).option("recursiveFileLookup", "true").orc(folder)
    manifest = F.regexp_extract("_metadata.file_path", "(.*)/", 1)
    rows = items.where(F.col("ad_id") == arguments.id).groupBy(manifest.alias("folder")).count()
    return [(unquote(row["folder"]), row["count"]) for row in rows.orderBy("folder").collect()]


def find_lines(spark: SparkSession, arguments: Arguments, items: list[Object]) -> list[tuple[Object, int]]:
    """The raw objects with lines that hold the id, and how many."""
    data_path, erased = arguments.data_path, arguments.id

    def count(part: Iterable[tuple]) -> Iterator[tuple[tuple, int]]:
        store = open_store(data_path)
        for fields in part:
            lines = sum(removed for _, removed in strip_lines(store, Object(*fields), erased))
            if lines:
                yield fields, lines

    found = in_parallel(spark, items).mapPartitions(count).collect()
    return [(Object(*fields), lines) for fields, lines in sorted(found)]


def find_versions(store: Store) -> list[Object] | None:
    """Earlier versions of derived files. A live row is in none of them; every nightly run leaves some behind."""
    if not store.keeps_versions():
        return None
    return [item for prefix in DERIVED for item in store.objects(prefix) if not item.is_live]


# --- its erasure ---


def erase_derived(spark: SparkSession, arguments: Arguments, plan: Plan, fields: dict[str, tuple[str, ...]]) -> None:
    erase_items(arguments, plan)
    for folder, _ in plan.manifests:
        erase_manifest(spark, folder, arguments.id)
    for remains, _ in plan.remains:
        delete_remains(spark, arguments.data_path, remains)
    for table, keys, _ in plan.partitions:
        partition = Partition(spark, arguments.database, table, keys)
        rows = spark.table(f"{arguments.database}.{table}").where(partition.condition).where(~holds_id(fields[table], arguments.id))
        partition.publish(partition.write(rows.drop(*keys), arguments.compression))


def erase_items(arguments: Arguments, plan: Plan) -> None:
    deletions = (
        {"DeleteRequest": {"Key": {"ad_id": {"S": arguments.id}, "day": {"S": day}}}} for day in plan.item_days
    )
    load_ad_traffic.write_requests(boto3.client("dynamodb"), arguments.table_name, deletions, write_rate=0)


def erase_manifest(spark: SparkSession, folder: str, erased: str) -> None:
    """Replaces a manifest. If the run dies in between there are two, which the load takes as two opinions."""
    new = load_ad_traffic.new_manifest(folder.rsplit("/", 1)[0])
    load_ad_traffic.read_manifests(spark, [folder]).where(F.col("ad_id") != erased).write.orc(new)
    if load_ad_traffic.is_loaded(spark, folder):
        load_ad_traffic.mark_loaded(spark, new)
    files.delete(spark, folder)


def rewrite_objects(spark: SparkSession, arguments: Arguments, items: list[Object]) -> None:
    data_path, erased = arguments.data_path, arguments.id

    def rewrite(part: Iterable[tuple]) -> None:
        store = open_store(data_path)
        for item in (Object(*fields) for fields in part):
            if item.is_live:
                rewrite_object(store, item, erased)
            else:
                store.delete_versions([item])

    in_parallel(spark, items).foreachPartition(rewrite)


def erase_versions(arguments: Arguments) -> None:
    """Deletes the earlier versions of derived files, those that this run has just made included."""
    store = open_store(arguments.data_path)
    store.delete_versions(find_versions(store) or [])


def in_parallel(spark: SparkSession, items: list[Object]) -> RDD:
    """The objects' fields, over the executors. A class of the job's script could not travel as data."""
    context = spark.sparkContext
    return context.parallelize(map(astuple, items), max(1, min(len(items), context.defaultParallelism * 4)))


# --- the journal ---


def journal_key(arguments: Arguments) -> str:
    """Named by the id's hash, since the id is to be forgotten."""
    return f"{JOURNALS}/{hashlib.sha256(arguments.id.encode()).hexdigest()}.json"


def read_journal(store: Store, arguments: Arguments) -> Journal:
    """Raises `RuntimeError` for one that no version of this job has written."""
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
            f"{key} can't be read: {error!r}. Delete it to start anew. The receipt then lacks the days that earlier runs changed"
        ) from error


def write_journal(store: Store, arguments: Arguments, journal: Journal) -> None:
    days = {name: sorted(map(str, getattr(journal, name))) for name in ("arrivals", "event_days")}
    done = {str(day): names for day, names in journal.done.items()}
    store.write(journal_key(arguments), json.dumps(days | {"done": done}).encode())


def delete_journal(spark: SparkSession, arguments: Arguments) -> None:
    files.delete(spark, f"{arguments.data_path}/{journal_key(arguments)}")


if __name__ == "__main__":
    main(sys.argv)
