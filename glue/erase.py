"""Erases an ad or an event from all that the warehouse keeps, and prints a receipt.

    spark-submit glue/erase.py --ad UUID | --event UUID --database DB --data_path s3://BUCKET/data --table_name TABLE
        [--dry_run true|false] [--compression zstd|zlib|snappy]

Without `--dry_run false` it changes nothing and prints the same receipt. What goes: raw and rejected lines that hold the id
anywhere, in any letter case; rows and items that hold it in any id field, so an impression takes its clicks along. Each
raw object, partition and manifest is replaced in one step by one without them, so a run that is killed has erased part
of the whole and broken nothing. The next one erases the rest, and its receipt is as complete as if it had been the first.
In a bucket with versions the earlier ones go too: those of raw objects that hold the id, and all of derived ORC files.

The receipt, one JSON object: `places` with what is removed (lines of an object, rows of a partition, items), `versions`
(earlier versions of derived files, null where there are none to keep), `rerun` (the days whose ETL and batch must run
again, so that sums and books are right; null when none) and `batch_only` (days whose raw has expired, if only in part: their
ETL would lose rows, so only their batch may run again).
`docs/pipeline.md` says what it doesn't reach. On AWS it needs `--extra-py-files` with etl.py, load_ad_traffic.py,
measure.py and undelivered.py.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import astuple, dataclass
from datetime import date, timedelta
from typing import IO, Any, Protocol
from urllib.parse import unquote

import boto3
from awsglue.utils import getResolvedOptions
from pyspark import RDD
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

import etl
import load_ad_traffic
import measure

# By name, since functions travel to the executors with what they use, and a module does not.
from undelivered import GZIP_MAGIC, read_events

# The id fields of each table; lines of `rejected` are looked at as text.
ID_FIELDS = {
    "impressions": ("impression_id", "ad_id"),
    "clicks": ("click_id", "impression_id", "ad_id"),
    "advertising": ("ad_id", "impression_id"),
    "ad_traffic": ("ad_id",),
    "rejected": (),
}

# Below the data path. An error object of Firehose holds the events it could not deliver.
RAW = "raw/"
RAW_ERRORS = "raw-errors/"
DERIVED = ("lake/", "rejected/", "loaded/")
JOURNALS = "erasing"

ARRIVAL = re.compile(r"raw/ad/[^/]+/year=(\d{4})/month=(\d{2})/day=(\d{2})/hour=.+")
# The ledger counts these, by the same days.
UNDELIVERED = re.compile(r"raw-errors/[^/]+/processing-failed/year=(\d{4})/month=(\d{2})/day=(\d{2})/hour=.+")

# https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
MAX_DELETED_OBJECTS = 1000


@dataclass(frozen=True)
class Arguments:
    id: str
    kind: str
    database: str
    data_path: str
    table_name: str
    dry_run: bool
    compression: str


@dataclass(frozen=True)
class Object:
    """A raw object, or an earlier version of one. `key` is below the data path; without versions, `version` is empty."""

    key: str
    version: str = ""
    is_live: bool = True


class Store(Protocol):
    """Where raw objects lie."""

    def objects(self, prefix: str) -> Iterator[Object]: ...

    def open(self, item: Object) -> IO[bytes]:
        """The content, which can be read again from the start."""

    def put(self, item: Object, content: IO[bytes]) -> None:
        """Replaces the object in one step, and leaves no earlier version of it."""

    def delete_versions(self, items: Iterable[Object]) -> None: ...

    def keeps_versions(self) -> bool: ...


@dataclass(frozen=True)
class Plan:
    """All that is to be erased, and the days that are to be made anew afterwards."""

    item_days: list[str]
    manifests: list[tuple[str, int]]
    partitions: list[tuple[str, dict[str, str], int]]
    objects: list[tuple[Object, int]]
    versions: list[Object] | None
    days: frozenset[date]
    batch_days: frozenset[date]

    @property
    def is_empty(self) -> bool:
        return not any(
            (self.item_days, self.manifests, self.partitions, self.objects, self.versions, self.days, self.batch_days)
        )


@measure.job
def main(argv: list[str]) -> int:
    """Runs the job; gives the lines, rows and items that it removed. Raises `ValueError` for bad arguments."""
    arguments = parse_arguments(argv)
    spark = SparkSession.builder.appName(f"erase {arguments.kind}").enableHiveSupport().getOrCreate()
    for name, value in etl.SETTINGS.items():
        spark.conf.set(name, value)
    printed = run(spark, arguments)
    print(json.dumps(printed))
    return 0 if arguments.dry_run else sum(place["count"] for place in printed["places"])


def parse_arguments(argv: list[str]) -> Arguments:
    kinds = [name for name in ("ad", "event") if f"--{name}" in argv]
    if len(kinds) != 1:
        raise ValueError("give either --ad or --event, with the id that is to be erased")
    optional = [name for name in ("dry_run", "compression") if f"--{name}" in argv]
    options = getResolvedOptions(argv, [*kinds, "database", "data_path", "table_name", *optional])
    erased = options[kinds[0]]
    if not re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", erased):
        raise ValueError(f"--{kinds[0]} is {erased}: it must be a UUID with hyphens, as in events")
    if options.get("dry_run", "true") not in ("true", "false"):
        raise ValueError(f"--dry_run is {options['dry_run']}: it must be true or false")
    return Arguments(
        id=erased.lower(),
        kind=kinds[0],
        database=options["database"],
        data_path=options["data_path"].rstrip("/"),
        table_name=options["table_name"],
        dry_run=options.get("dry_run", "true") == "true",
        compression=options.get("compression") or "zstd",
    )


def run(spark: SparkSession, arguments: Arguments) -> dict[str, Any]:
    """Makes the plan, carries it out unless this is a dry run, and returns the receipt."""
    plan = make_plan(spark, arguments)
    if not arguments.dry_run and not plan.is_empty:
        write_journal(spark, arguments, plan)
        erase_items(arguments, plan)
        for folder, _ in plan.manifests:
            erase_manifest(spark, folder, arguments.id)
        for table, keys, _ in plan.partitions:
            erase_partition(spark, arguments, table, keys)
        erase_objects(spark, arguments, plan)
        erase_versions(arguments)
        delete_journal(spark, arguments)
    return receipt(arguments, plan)


def receipt(arguments: Arguments, plan: Plan) -> dict[str, Any]:
    places: list[dict[str, Any]] = []
    places += [{"place": "dynamodb", "name": day, "count": 1} for day in plan.item_days]
    places += [
        {"place": "loaded", "name": folder.split("/loaded/")[-1], "count": rows} for folder, rows in plan.manifests
    ]
    places += [
        {"place": table, "name": etl.partition_path(keys), "count": rows} for table, keys, rows in plan.partitions
    ]
    places += [
        {"place": "raw", "name": item.key, "count": lines} | ({} if item.is_live else {"version": item.version})
        for item, lines in plan.objects
    ]
    days = sorted(plan.days)
    return {
        "id": arguments.id,
        "kind": arguments.kind,
        "dry_run": arguments.dry_run,
        "places": places,
        "versions": None if plan.versions is None else len(plan.versions),
        "rerun": {"from": str(days[0]), "to": str(days[-1])} if days else None,
        "batch_only": [str(day) for day in sorted(plan.batch_days)],
    }


# --- the plan ---


def make_plan(spark: SparkSession, arguments: Arguments) -> Plan:
    """Looks everywhere and changes nothing."""
    store = open_store(arguments.data_path)
    raw = [item for prefix in (RAW, RAW_ERRORS) for item in store.objects(prefix)]
    objects = find_lines(spark, arguments, raw)
    partitions = [
        (table, keys, rows)
        for table in ID_FIELDS
        for keys, rows in find_partitions(spark, arguments.database, table, arguments.id)
    ]
    affected = arrival_days(item for item, _ in objects) | arrival_days((item for item, _ in objects), UNDELIVERED)
    affected |= {keys_day(keys) for _, keys, _ in partitions}
    affected |= {
        keys_day(keys) - timedelta(days=1)
        for table, keys, _ in partitions
        if table == "clicks" and has_advertising(spark, arguments.database, keys_day(keys) - timedelta(days=1))
    }
    affected |= read_journal(spark, arguments)
    complete = complete_days(spark, arguments.database, affected, arrival_days(raw))
    return Plan(
        item_days=find_items(arguments),
        manifests=find_manifests(spark, arguments),
        partitions=partitions,
        objects=objects,
        versions=find_versions(store),
        days=frozenset(complete),
        batch_days=frozenset(affected - complete),
    )


def arrival_days(items: Iterable[Object], pattern: re.Pattern = ARRIVAL) -> set[date]:
    """The days of arrival of live raw objects. What lies in no folder of a day is none that the ETL reads."""
    found = (pattern.fullmatch(item.key) for item in items if item.is_live)
    return {date(*map(int, parts.groups())) for parts in found if parts}


def complete_days(spark: SparkSession, database: str, days: set[date], days_with_raw: set[date]) -> set[date]:
    """Those of the days whose raw is all there, so that their ETL loses nothing.

    It reads the last hour of the day before, too. Where that has expired, the books tell that there was something.
    """
    had_raw = spark.table(f"{database}.ledger").where("raw > 0").select("year", "month", "day").distinct().collect()
    expired = {keys_day(row.asDict()) for row in had_raw} - days_with_raw
    return {day for day in days & days_with_raw if day - timedelta(days=1) not in expired}


def keys_day(keys: dict[str, str]) -> date:
    return date(int(keys["year"]), int(keys["month"]), int(keys["day"]))


def find_partitions(
    spark: SparkSession, database: str, table: str, erased: str
) -> Iterator[tuple[dict[str, str], int]]:
    """The partitions of a table with rows that hold the id, and how many."""
    rows = spark.table(f"{database}.{table}").where(holds_id(table, erased))
    keys = (["table_name"] if table == "rejected" else []) + ["year", "month", "day"]
    for row in rows.groupBy(*keys).agg(F.count(F.lit(1)).alias("lines")).orderBy(*keys).collect():
        yield {key: row[key] for key in keys}, row["lines"]


def holds_id(table: str, erased: str) -> Column:
    """Whether a row holds the id; never null."""
    if table == "rejected":
        return F.coalesce(F.col("line").rlike(id_pattern(erased)), F.lit(False))
    found = F.lit(False)
    for name in ID_FIELDS[table]:
        found |= F.coalesce(F.col(name) == erased, F.lit(False))
    return found


def has_advertising(spark: SparkSession, database: str, day: date) -> bool:
    return etl.Partition(spark, database, "advertising", etl.day_keys(day)).exists()


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
    if not etl.list_names(spark, folder):
        return []
    files = spark.read.schema(load_ad_traffic.ITEMS_SCHEMA).option("recursiveFileLookup", "true").orc(folder)
    manifest = F.regexp_extract("_metadata.file_path", "(.*)/", 1)
    rows = files.where(F.col("ad_id") == arguments.id).groupBy(manifest.alias("folder")).count()
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


# --- its execution ---


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
    load_ad_traffic.delete_manifest(spark, folder)


def erase_partition(spark: SparkSession, arguments: Arguments, table: str, keys: dict[str, str]) -> None:
    partition = etl.Partition(spark, arguments.database, table, keys)
    rows = spark.table(f"{arguments.database}.{table}").where(~holds_id(table, arguments.id))
    for key, value in keys.items():
        rows = rows.where(F.col(key) == value)
    partition.publish(partition.write(rows.drop(*keys), arguments.compression))


def erase_objects(spark: SparkSession, arguments: Arguments, plan: Plan) -> None:
    data_path, erased = arguments.data_path, arguments.id

    def rewrite(part: Iterable[tuple]) -> None:
        store = open_store(data_path)
        for item in (Object(*fields) for fields in part):
            if item.is_live:
                rewrite_object(store, item, erased)
            else:
                store.delete_versions([item])

    in_parallel(spark, [item for item, _ in plan.objects]).foreachPartition(rewrite)


def erase_versions(arguments: Arguments) -> None:
    """Deletes the earlier versions of derived files, those that this run has just made included."""
    store = open_store(arguments.data_path)
    store.delete_versions(find_versions(store) or [])


def in_parallel(spark: SparkSession, items: list[Object]) -> RDD:
    """The objects' fields, over the executors. A class of the job's script could not travel as data."""
    context = spark.sparkContext
    return context.parallelize(map(astuple, items), max(1, min(len(items), context.defaultParallelism * 4)))


# --- lines ---


def id_pattern(erased: str) -> str:
    """A regular expression, for Python and Java alike, of the id in any letter case, with JSON's escapes or without."""
    characters = []
    for character in erased:
        codes = "|".join(f"{ord(case):02x}" for case in sorted({character, character.upper()}))
        characters.append(rf"(?:{re.escape(character)}|\\u00(?:{codes}))")
    return "(?i)" + "".join(characters)


def id_finder(erased: str) -> Callable[[bytes], bool]:
    """Whether a line holds the id. Lines without escapes, which is nearly all, take the short way."""
    text, pattern = erased.encode(), re.compile(id_pattern(erased).encode())
    return lambda line: text in line.lower() or (b"\\u" in line and pattern.search(line) is not None)


def strip_lines(store: Store, item: Object, erased: str) -> Iterator[tuple[bytes, int]]:
    """What is left of each line of the object, and how many lines with the id have gone from it."""
    holds = id_finder(erased)
    strip = strip_error if item.key.startswith(RAW_ERRORS) else strip_line
    with store.open(item) as stored:
        try:
            for line in gzip.open(stored) if is_gzip(stored) else stored:
                yield strip(line, holds)
        except (EOFError, OSError, zlib.error) as error:
            raise RuntimeError(f"{item.key} can't be read: {error}") from error


def strip_line(line: bytes, holds: Callable[[bytes], bool]) -> tuple[bytes, int]:
    return (b"", 1) if holds(line) else (line, 0)


def strip_error(line: bytes, holds: Callable[[bytes], bool]) -> tuple[bytes, int]:
    """As `strip_line`, for a line of an error object of Firehose, whose `rawData` are events in base64."""
    events = read_events(line)
    if events is None:
        return strip_line(line, holds)
    kept = [event for event in events if not holds(event)]
    if len(kept) == len(events):
        return line, 0
    rest = json.dumps(json.loads(line) | {"rawData": base64.b64encode(b"".join(kept)).decode()}).encode() + b"\n"
    return rest if kept else b"", len(events) - len(kept)


def is_gzip(stored: IO[bytes]) -> bool:
    """Whether an object is gzip, which its first bytes tell whatever its name."""
    magic = stored.read(len(GZIP_MAGIC))
    stored.seek(0)
    return magic == GZIP_MAGIC


def rewrite_object(store: Store, item: Object, erased: str) -> None:
    """Replaces a raw object by one without the lines that hold the id, packed as it was."""
    with store.open(item) as stored:
        packed = is_gzip(stored)
    with tempfile.TemporaryFile() as content:
        with gzip.GzipFile(fileobj=content, mode="wb", mtime=0) if packed else nullcontext(content) as out:
            for rest, _ in strip_lines(store, item, erased):
                out.write(rest)
        content.seek(0)
        store.put(item, content)


# --- stores ---


def open_store(data_path: str) -> Store:
    """The store of `s3://…` or `file:///…`. Raises `ValueError` for anything else.

    As for Hadoop, what follows is a name as it is: `%2F` and `#` mean themselves.
    """
    scheme, _, location = data_path.rpartition("://")
    if scheme in ("s3", "s3a"):
        bucket, _, prefix = location.partition("/")
        return S3Store(bucket, prefix.strip("/"))
    if scheme in ("file", ""):
        return FolderStore(location)
    raise ValueError(f"{data_path} is neither s3:// nor file://")


class FolderStore:
    """A local folder, which keeps no versions."""

    def __init__(self, root: str):
        self.root = root

    def objects(self, prefix: str) -> Iterator[Object]:
        for folder, _, names in os.walk(os.path.join(self.root, prefix)):
            for name in names:
                if not name.startswith((".", "_")):
                    yield Object(os.path.relpath(os.path.join(folder, name), self.root))

    def open(self, item: Object) -> IO[bytes]:
        return open(os.path.join(self.root, item.key), "rb")

    def put(self, item: Object, content: IO[bytes]) -> None:
        path = os.path.join(self.root, item.key)
        # Hidden from every reader, and overwritten by the next run if this one is killed.
        temporary = os.path.join(os.path.dirname(path), f".erasing-{os.path.basename(path)}")
        with open(temporary, "wb") as out:
            shutil.copyfileobj(content, out)
        os.replace(temporary, path)

    def delete_versions(self, items: Iterable[Object]) -> None:
        pass

    def keeps_versions(self) -> bool:
        return False


class S3Store:
    """A prefix of a bucket."""

    def __init__(self, bucket: str, prefix: str):
        self.bucket, self.prefix = bucket, prefix
        self.client = boto3.client("s3")

    def objects(self, prefix: str) -> Iterator[Object]:
        """All objects, and all earlier versions if the bucket keeps them."""
        operation = "list_object_versions" if self.keeps_versions() else "list_objects_v2"
        pages = self.client.get_paginator(operation).paginate(Bucket=self.bucket, Prefix=f"{self.prefix}/{prefix}")
        for page in pages:
            for found in page.get("Versions", page.get("Contents", [])):
                key = found["Key"].removeprefix(f"{self.prefix}/")
                yield Object(key, found.get("VersionId", ""), found.get("IsLatest", True))

    def open(self, item: Object) -> IO[bytes]:
        content = tempfile.TemporaryFile()
        shutil.copyfileobj(self.client.get_object(**self.address(item))["Body"], content)
        content.seek(0)
        return content

    def put(self, item: Object, content: IO[bytes]) -> None:
        stored = self.client.head_object(**self.address(item))
        described = {name: stored[name] for name in ("ContentType", "ContentEncoding", "Metadata") if name in stored}
        answer = self.client.put_object(Bucket=self.bucket, Key=self.key(item), Body=content, **described)
        # Where versions are suspended, the object has replaced the one of the same version, `null`.
        if item.version and item.version != answer.get("VersionId", "null"):
            self.delete_versions([item])

    def delete_versions(self, items: Iterable[Object]) -> None:
        versions = [{"Key": self.key(item), "VersionId": item.version} for item in items]
        for start in range(0, len(versions), MAX_DELETED_OBJECTS):
            batch = {"Objects": versions[start : start + MAX_DELETED_OBJECTS], "Quiet": True}
            errors = self.client.delete_objects(Bucket=self.bucket, Delete=batch).get("Errors")
            if errors:
                raise RuntimeError(f"{len(errors)} earlier versions can't be deleted, the first: {errors[0]}")

    def keeps_versions(self) -> bool:
        return self.client.get_bucket_versioning(Bucket=self.bucket).get("Status") in ("Enabled", "Suspended")

    def address(self, item: Object) -> dict[str, str]:
        version = {"VersionId": item.version} if item.version else {}
        return {"Bucket": self.bucket, "Key": self.key(item)} | version

    def key(self, item: Object) -> str:
        return f"{self.prefix}/{item.key}"


# --- the journal: which days an erasure that was killed would have named ---


def journal_path(arguments: Arguments) -> str:
    """Named by the id's hash, since the id is to be forgotten."""
    return f"{arguments.data_path}/{JOURNALS}/{hashlib.sha256(arguments.id.encode()).hexdigest()}.json"


def read_journal(spark: SparkSession, arguments: Arguments) -> set[date]:
    file_system, path = etl.hadoop_path(spark, journal_path(arguments))
    if not file_system.exists(path):
        return set()
    text = spark.sparkContext.wholeTextFiles(journal_path(arguments)).values().first()
    return {date.fromisoformat(day) for day in json.loads(text)}


def write_journal(spark: SparkSession, arguments: Arguments, plan: Plan) -> None:
    file_system, path = etl.hadoop_path(spark, journal_path(arguments))
    stream = file_system.create(path, True)
    stream.write(bytearray(json.dumps(sorted(map(str, plan.days | plan.batch_days))), "utf-8"))
    stream.close()


def delete_journal(spark: SparkSession, arguments: Arguments) -> None:
    file_system, path = etl.hadoop_path(spark, journal_path(arguments))
    file_system.delete(path, False)


if __name__ == "__main__":
    main(sys.argv)
