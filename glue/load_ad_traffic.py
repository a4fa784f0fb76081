"""Loads one day of `ad_traffic` into DynamoDB: puts items that changed, deletes those of ads that are gone.

    spark-submit glue/load_ad_traffic.py --database DB --table_name TABLE --day YYYY-MM-DD --data_path s3://BUCKET/data
        [--write_rate ITEMS_PER_SECOND] [--full true]

An item: ad_id S (HASH), day S `YYYY-MM-DD` (RANGE), impressions N, clicks N. The table can't be queried for the items
of a day. So each run first writes what it is about to put to a manifest, a run folder of ORC files below

    DATA_PATH/loaded/ad_traffic/<id of the DynamoDB table>/year=/month=/day=/

and marks it `_LOADED` at the end. So everything that a run may have put is in a manifest, even if the run was killed.
The next run knows what to delete, and skips only items that are certain to be in the table. `--full true` skips
nothing, for a table that others have written to. `docs/pipeline.md` has the reasons.

`--write_rate` limits the puts and deletes per second of the whole job; 0, the default, is no limit. Each executor
writes its own partitions. The endpoint comes from AWS_ENDPOINT_URL, if set. On AWS it needs `--extra-py-files` with
lake.zip.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Any

import boto3
from awsglue.utils import getResolvedOptions
from botocore.config import Config
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from lake import files, measure, session
from lake.days import day_keys, partition_path, read_day
from lake.partition import new_run

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
MAX_BATCH_ITEMS = 25

# Attempts for a batch with unprocessed items: about three minutes of waiting at most.
MAX_ATTEMPTS = 12
FIRST_WAIT_SECONDS = 0.05
MAX_WAIT_SECONDS = 30.0

# Partitions that write in parallel; items are small, so more connections gain little.
MAX_WRITERS = 16

SDK_RETRIES = {"mode": "adaptive", "total_max_attempts": 10}

ITEMS_SCHEMA = "ad_id string, impressions bigint, clicks bigint"

# Below the data path, the manifests of all loads.
MANIFESTS = "loaded/ad_traffic"
LOADED = "_LOADED"

# EMR's file system may put a marker object beside a folder; its name ends differently.
MANIFEST = re.compile(r"run-[0-9]{8}T[0-9]{6}-[0-9a-f]{8}")


class NotStored(Exception):
    """DynamoDB kept returning unprocessed items."""


@dataclass(frozen=True)
class Arguments:
    database: str
    table_name: str
    day: str
    data_path: str
    write_rate: float
    full: bool


@measure.job
def main(argv: list[str]) -> int:
    """Runs the job; returns the number of items that it put and deleted. Raises `NotStored` when items stay
    unprocessed; another run is safe."""
    arguments = parse_arguments(argv)
    spark = session.start(f"load ad_traffic {arguments.day}")
    written = run(spark, arguments)
    print(json.dumps({"table": arguments.table_name, "day": arguments.day, **written}))
    return sum(written.values())


def parse_arguments(argv: list[str]) -> Arguments:
    optional = [name for name in ("write_rate", "full") if f"--{name}" in argv]
    options = getResolvedOptions(argv, ["database", "table_name", "day", "data_path", *optional])
    write_rate = float(options.get("write_rate") or 0)
    if write_rate < 0:
        raise ValueError(f"--write_rate is {write_rate}: it must not be negative")
    if options.get("full", "false") not in ("true", "false"):
        raise ValueError(f"--full is {options['full']}: it must be true or false")
    return Arguments(
        database=options["database"],
        table_name=options["table_name"],
        day=str(read_day("day", options["day"])),
        data_path=options["data_path"].rstrip("/"),
        write_rate=write_rate,
        full=options.get("full") == "true",
    )


def run(spark: SparkSession, arguments: Arguments) -> dict[str, int]:
    """Loads the day; returns how many items were put and deleted."""
    day, table_name = arguments.day, arguments.table_name
    table = boto3.client("dynamodb").describe_table(TableName=table_name)["Table"]
    folder = manifest_folder(arguments.data_path, table["TableId"], day)
    earlier = [f"{folder}/{name}" for name in files.list_names(spark, folder) if MANIFEST.fullmatch(name)]
    is_known = not arguments.full and any(is_loaded(spark, manifest) for manifest in earlier)

    manifest = new_manifest(folder)
    select_items(spark.table(f"{arguments.database}.ad_traffic"), day).write.orc(manifest)
    changes = transform(
        read_manifests(spark, [manifest]),
        read_manifests(spark, earlier),
        len(earlier) if is_known else None,
    )
    partitions = min(MAX_WRITERS, spark.sparkContext.defaultParallelism)
    region = boto3.session.Session().region_name
    write = partition_writer(table_name, region, day, arguments.write_rate / partitions)
    written = changes.repartition(partitions, "ad_id").rdd.mapPartitions(write).collect()

    mark_loaded(spark, manifest)
    for old in earlier:
        files.delete(spark, old)
    return {"put": sum(put for put, _ in written), "deleted": sum(deleted for _, deleted in written)}


def manifest_folder(data_path: str, table_id: str, day: str) -> str:
    """The folder of a day's manifests. A table that is recreated or restored has another id, and so no manifests."""
    return f"{data_path}/{MANIFESTS}/{table_id}/{partition_path(day_keys(date.fromisoformat(day)))}"


def new_manifest(folder: str) -> str:
    return f"{folder}/{new_run()}"


def is_loaded(spark: SparkSession, manifest: str) -> bool:
    """Whether the manifest's run has put all its items."""
    return LOADED in files.list_names(spark, manifest)


def mark_loaded(spark: SparkSession, manifest: str) -> None:
    files.touch(spark, f"{manifest}/{LOADED}")


def read_manifests(spark: SparkSession, folders: list[str]) -> DataFrame:
    """The items (`ITEMS_SCHEMA`) of all manifests, including those of killed runs."""
    if not folders:
        return spark.createDataFrame([], ITEMS_SCHEMA)
    return spark.read.schema(ITEMS_SCHEMA).orc(folders)


def select_items(ad_traffic: DataFrame, day: str) -> DataFrame:
    """The day's rows: ad_id string, impressions bigint, clicks bigint."""
    year, month, day_of_month = day.split("-")
    rows = ad_traffic.where(f"year = '{year}' AND month = '{month}' AND day = '{day_of_month}'")
    return rows.select("ad_id", "impressions", "clicks")


def transform(wanted: DataFrame, earlier: DataFrame, manifests: int | None) -> DataFrame:
    """The writes: ad_id string, impressions bigint, clicks bigint; both numbers are null for a deletion.

    `wanted` and `earlier` have `ITEMS_SCHEMA`; `earlier` has the items of that many `manifests`, each ad at most once
    per manifest. An item is certain to be in the table when all manifests agree on it; None means that nothing is
    certain.
    """
    numbers = F.struct("impressions", "clicks")
    possible = earlier.groupBy("ad_id").agg(
        F.count(F.lit(1)).alias("copies"), F.min(numbers).alias("lowest"), F.max(numbers).alias("highest")
    )
    wanted = wanted.select("ad_id", numbers.alias("numbers"))
    agree = (F.col("lowest") == F.col("numbers")) & (F.col("highest") == F.col("numbers"))
    is_there = (F.col("copies") == manifests) & agree
    return (
        wanted.join(possible, "ad_id", "full_outer")
        .where(~F.coalesce(is_there, F.lit(False)))
        .select("ad_id", "numbers.impressions", "numbers.clicks")
    )


def partition_writer(
    table_name: str, region: str | None, day: str, write_rate: float
) -> Callable[[Iterable[Row]], Iterator[tuple[int, int]]]:
    """Writes an executor's rows; yields one (put, deleted). It makes its own client, which can't be serialised."""

    def write(rows: Iterable[Row]) -> Iterator[tuple[int, int]]:
        client = boto3.client("dynamodb", region_name=region, config=Config(retries=SDK_RETRIES))
        yield write_requests(client, table_name, (to_request(row, day) for row in rows), write_rate)

    return write


def to_request(row: Row, day: str) -> dict[str, dict]:
    """The row of `transform` as a WriteRequest of BatchWriteItem."""
    key = {"ad_id": {"S": row["ad_id"]}, "day": {"S": day}}
    if row["impressions"] is None:
        return {"DeleteRequest": {"Key": key}}
    numbers = {name: {"N": str(row[name])} for name in ("impressions", "clicks")}
    return {"PutRequest": {"Item": key | numbers}}


def write_requests(
    client: Any,
    table_name: str,
    requests: Iterable[dict],
    write_rate: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[int, int]:
    """Writes all items, at most `write_rate` per second (0: no limit); returns how many were put and deleted.

    Raises `NotStored`.
    """
    started = clock()
    put = deleted = 0
    for batch in batches(requests, MAX_BATCH_ITEMS):
        if write_rate:
            sleep(max(0.0, started + (put + deleted) / write_rate - clock()))
        write_batch(client, table_name, batch, sleep)
        puts = sum("PutRequest" in request for request in batch)
        put, deleted = put + puts, deleted + len(batch) - puts
    return put, deleted


def write_batch(client: Any, table_name: str, requests: list[dict], sleep: Callable[[float], None]) -> None:
    """Writes up to 25 items, and retries unprocessed ones with full jitter."""
    for attempt in range(MAX_ATTEMPTS):
        if attempt:
            sleep(random.uniform(0, min(MAX_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**attempt)))
        answer = client.batch_write_item(RequestItems={table_name: requests})
        # DynamoDB always sends UnprocessedItems, empty if there are none. boto3 gives a truncated answer no fields:
        # then nothing is known of any item, and all are sent again.
        requests = answer.get("UnprocessedItems", {table_name: requests}).get(table_name, [])
        if not requests:
            return
    raise NotStored(f"{len(requests)} items of {table_name} were still unprocessed after {MAX_ATTEMPTS} attempts")


def batches(items: Iterable[dict], size: int) -> Iterator[list[dict]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


if __name__ == "__main__":
    main(sys.argv)
