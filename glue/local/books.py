"""Counts rows in the ORC files themselves, independently of the metastore and of what jobs report.

    spark-submit glue/local/books.py --data_path file:///FOLDER/data --day 2026-11-20 \\
        --tables ad/impressions,ad/clicks

Tables of events are named by their folders, group and type. Prints one JSON object: lake rows of all days, the ledger's
sums, and of the day the rows of advertising, those clicked, and ad_traffic row by row.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from awsglue.utils import getResolvedOptions
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from catalog import find_partitions

DAY = ["year", "month", "day"]
FIGURES = ("raw", "repeats", "rejected", "late")


def main(argv: list[str]) -> None:
    options = getResolvedOptions(argv, ["data_path", "day", "tables"])
    spark = SparkSession.builder.appName("books").getOrCreate()
    print(json.dumps(books(spark, options["data_path"].rstrip("/"), options["day"], options["tables"].split(","))))


def books(spark: SparkSession, data: str, day: str, tables: list[str]) -> dict[str, Any]:
    """The books below a data prefix; a table without files has no rows."""
    lake = {
        table.split("/")[-1]: read(spark, f"{data}/lake/{table}", [*DAY, "arrived"], "arrived_at timestamp").count()
        for table in tables
    }
    ledger = {
        table: sums(
            read(spark, f"{data}/ledger/table_name={table}", DAY, ", ".join(f"{name} bigint" for name in FIGURES))
        )
        for table in lake
    }
    joined = read(spark, f"{data}/lake/ad/advertising", DAY, "impression_id string, click_at timestamp", day)
    counts = joined.agg(F.count("impression_id").alias("rows"), F.count("click_at").alias("clicked"))
    (advertising,) = (row.asDict() for row in counts.collect())
    ad_traffic = read(
        spark, f"{data}/lake/ad/ad_traffic", DAY, "ad_id string, impressions bigint, clicks bigint", day
    ).collect()
    return {
        "ledger": {table: ledger[table]["raw"] for table in lake},
        "lake": lake,
        **{name: {table: ledger[table][name] for table in lake} for name in ("repeats", "rejected", "late")},
        "advertising": advertising,
        "ad_traffic": [[row.ad_id, row.impressions, row.clicks] for row in ad_traffic],
    }


def sums(ledger: DataFrame) -> Row:
    (row,) = ledger.agg(*(F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in FIGURES)).collect()
    return row


def read(spark: SparkSession, folder: str, keys: list[str], schema: str, day: str | None = None) -> DataFrame:
    """The rows in the live files of the partitions below a folder, of all days or of one, without leftovers of killed
    runs."""
    paths = [path for values, path in find_partitions(folder, keys) if day is None or "-".join(values) == day]
    if not paths:
        return spark.createDataFrame([], schema)
    return spark.read.schema(schema).option("recursiveFileLookup", "true").orc(paths)


if __name__ == "__main__":
    main(sys.argv)
