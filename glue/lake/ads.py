"""Data derived from ad events, for an erasure: two tables, the items in DynamoDB, and the manifests of their load."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from urllib.parse import unquote

import boto3
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

import load_ad_traffic
from lake import files
from lake.days import day_keys
from lake.partition import Partition

# The field by which an ad is erased.
AD = "ad_id"

# The id fields of the derived tables.
ID_FIELDS = {"advertising": ("ad_id", "impression_id"), "ad_traffic": ("ad_id",)}


def days_before(spark: SparkSession, database: str, table: str, day: date, attribution_days: int) -> Iterable[date]:
    """Earlier event days that a row affects: a click may be the first one of an impression of a day before."""
    for back in range(1, attribution_days + 1) if table == "clicks" else ():
        before = day - timedelta(days=back)
        if Partition(spark, database, "advertising", day_keys(before)).exists():
            yield before


def find_items(table_name: str, ad: str) -> list[str]:
    """The days of the DynamoDB items of an ad with this id."""
    pages = (
        boto3.client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=table_name,
            KeyConditionExpression="ad_id = :id",
            ExpressionAttributeValues={":id": {"S": ad}},
            ProjectionExpression="#day",
            ExpressionAttributeNames={"#day": "day"},
            ConsistentRead=True,
        )
    )
    return [item["day"]["S"] for page in pages for item in page["Items"]]


def erase_items(table_name: str, ad: str, days: Iterable[str]) -> None:
    deletions = ({"DeleteRequest": {"Key": {"ad_id": {"S": ad}, "day": {"S": day}}}} for day in days)
    load_ad_traffic.write_requests(boto3.client("dynamodb"), table_name, deletions, write_rate=0)


def find_manifests(spark: SparkSession, data_path: str, ad: str) -> list[tuple[str, int]]:
    """The manifests of the DynamoDB load (`load_ad_traffic.py`) that hold the id, and how many rows of it."""
    folder = f"{data_path}/{load_ad_traffic.MANIFESTS}"
    if not files.list_names(spark, folder):
        return []
    items = spark.read.schema(load_ad_traffic.ITEMS_SCHEMA).option("recursiveFileLookup", "true").orc(folder)
    manifest = F.regexp_extract("_metadata.file_path", "(.*)/", 1)
    rows = items.where(F.col("ad_id") == ad).groupBy(manifest.alias("folder")).count()
    return [(unquote(row["folder"]), row["count"]) for row in rows.orderBy("folder").collect()]


def erase_manifest(spark: SparkSession, folder: str, ad: str) -> None:
    """Replaces a manifest. If the run dies half-way there are two, and the load trusts only items on which both
    agree."""
    new = load_ad_traffic.new_manifest(folder.rsplit("/", 1)[0])
    load_ad_traffic.read_manifests(spark, [folder]).where(F.col("ad_id") != ad).write.orc(new)
    if load_ad_traffic.is_loaded(spark, folder):
        load_ad_traffic.mark_loaded(spark, new)
    files.delete(spark, folder)
