"""Writes one day of `ad_traffic` to DynamoDB, item by key, so that a second run overwrites the first.

    spark-submit glue/load_ad_traffic.py --database DB --table_name TABLE --day YYYY-MM-DD [--write_rate ITEMS_PER_SECOND]

An item: ad_id S (HASH), day S `YYYY-MM-DD` (RANGE), impressions N, clicks N. `--write_rate` limits the whole job; 0, the
default, does not limit. Each executor writes its own partitions. The endpoint comes from AWS_ENDPOINT_URL, if set.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import boto3
from awsglue.utils import getResolvedOptions
from botocore.config import Config
from pyspark.sql import DataFrame, Row, SparkSession

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
MAX_BATCH_ITEMS = 25

# A batch whose items keep coming back unprocessed is tried this often: about three minutes of waiting at most.
MAX_ATTEMPTS = 12
FIRST_WAIT_SECONDS = 0.05
MAX_WAIT_SECONDS = 30.0

# Partitions that write at once; each item is a few dozen bytes, so more connections buy little.
MAX_WRITERS = 16

SDK_RETRIES = {"mode": "adaptive", "total_max_attempts": 10}


class NotStored(Exception):
    """DynamoDB kept handing items back."""


def main(argv: list[str]) -> None:
    """Runs the job. Raises `NotStored` when items stay unprocessed; a second run is safe."""
    names = ["database", "table_name", "day"] + [name for name in ("write_rate",) if f"--{name}" in argv]
    options = getResolvedOptions(argv, names)
    day = datetime.strptime(options["day"], "%Y-%m-%d").strftime("%Y-%m-%d")
    write_rate = float(options.get("write_rate") or 0)
    if write_rate < 0:
        raise ValueError(f"--write_rate is {write_rate}: it must not be negative")
    spark = SparkSession.builder.appName(f"load ad_traffic {day}").enableHiveSupport().getOrCreate()
    rows = transform(spark.table(f"{options['database']}.ad_traffic"), day)
    partitions = min(MAX_WRITERS, spark.sparkContext.defaultParallelism)
    region = boto3.session.Session().region_name
    write = partition_writer(options["table_name"], region, write_rate / partitions)
    rows.repartition(partitions, "ad_id").foreachPartition(write)


def transform(ad_traffic: DataFrame, day: str) -> DataFrame:
    """The day's rows as items: ad_id string, day string, impressions bigint, clicks bigint."""
    year, month, day_of_month = day.split("-")
    rows = ad_traffic.where(f"year = '{year}' AND month = '{month}' AND day = '{day_of_month}'")
    return rows.selectExpr("ad_id", f"'{day}' AS day", "impressions", "clicks")


def partition_writer(table_name: str, region: str | None, write_rate: float) -> Callable[[Iterable[Row]], None]:
    """The function that an executor runs on its rows; it makes its own client, which cannot travel."""

    def write(rows: Iterable[Row]) -> None:
        client = boto3.client("dynamodb", region_name=region, config=Config(retries=SDK_RETRIES))
        write_items(client, table_name, (to_item(row) for row in rows), write_rate)

    return write


def to_item(row: Row) -> dict[str, dict[str, str]]:
    return {
        "ad_id": {"S": row["ad_id"]},
        "day": {"S": row["day"]},
        "impressions": {"N": str(row["impressions"])},
        "clicks": {"N": str(row["clicks"])},
    }


def write_items(
    client: Any,
    table_name: str,
    items: Iterable[dict],
    write_rate: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Puts all items, at most `write_rate` a second (0: as fast as it goes); returns how many. Raises `NotStored`."""
    started = clock()
    written = 0
    for batch in batches(items, MAX_BATCH_ITEMS):
        if write_rate:
            sleep(max(0.0, started + written / write_rate - clock()))
        put_batch(client, table_name, batch, sleep)
        written += len(batch)
    return written


def put_batch(client: Any, table_name: str, items: list[dict], sleep: Callable[[float], None]) -> None:
    """Puts up to 25 items, and again those that come back unprocessed, with full jitter in between."""
    requests = [{"PutRequest": {"Item": item}} for item in items]
    for attempt in range(MAX_ATTEMPTS):
        if attempt:
            sleep(random.uniform(0, min(MAX_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**attempt)))
        answer = client.batch_write_item(RequestItems={table_name: requests})
        requests = answer.get("UnprocessedItems", {}).get(table_name, [])
        if not requests:
            return
    raise NotStored(f"{len(requests)} items of {table_name} were still unprocessed after {MAX_ATTEMPTS} attempts")


def batches(items: Iterable[dict], size: int) -> Iterator[list[dict]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


if __name__ == "__main__":
    main(sys.argv)
