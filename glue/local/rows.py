"""Writes the rows of the lake, read from the ORC files themselves, as CSV files for comparisons by any program.

    spark-submit glue/local/rows.py --data_path file:///FOLDER/data --out FOLDER \\
        --tables ad/impressions:impression_id,ad/clicks:click_id

Tables of events are named by their folders, group and type, and their own id. Below the folder of `--out`, without
headers: `<type>/` has a line `id` for each row, `advertising/` `impression_id,ad_id,day,clicked`, and `ad_traffic/`
`ad_id,day,impressions,clicks`. Leftovers of killed runs are not included.
"""

from __future__ import annotations

import sys

from awsglue.utils import getResolvedOptions
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from catalog import find_partitions

DAY = ["year", "month", "day"]


def main(argv: list[str]) -> None:
    options = getResolvedOptions(argv, ["data_path", "out", "tables"])
    spark = SparkSession.builder.appName("rows").getOrCreate()
    write(spark, options["data_path"].rstrip("/"), options["out"].rstrip("/"), options["tables"].split(","))


def write(spark: SparkSession, data: str, out: str, tables: list[str]) -> None:
    for table in tables:
        folder, event_id = table.split(":")
        rows = read(spark, f"{data}/lake/{folder}", [*DAY, "arrived"], f"{event_id} string").select(event_id)
        save(rows, f"{out}/{folder.split('/')[-1]}")
    advertising = read(
        spark, f"{data}/lake/ad/advertising", DAY, "impression_id string, ad_id string, click_at timestamp"
    )
    advertising = advertising.select("impression_id", "ad_id", "day", F.col("click_at").isNotNull().cast("int"))
    save(advertising, f"{out}/advertising")
    ad_traffic = read(spark, f"{data}/lake/ad/ad_traffic", DAY, "ad_id string, impressions bigint, clicks bigint")
    save(ad_traffic.select("ad_id", "day", "impressions", "clicks"), f"{out}/ad_traffic")


def save(rows: DataFrame, folder: str) -> None:
    rows.write.mode("overwrite").option("compression", "gzip").csv(f"file://{folder}")


def read(spark: SparkSession, folder: str, keys: list[str], schema: str) -> DataFrame:
    """The live files of the partitions below a folder, with the day of the first three keys."""
    found: dict[str, list[str]] = {}
    for values, path in find_partitions(folder, keys):
        found.setdefault("-".join(values[:3]), []).append(path)
    rows = spark.createDataFrame([], f"{schema}, day string")
    for day, paths in sorted(found.items()):
        files = spark.read.schema(schema).option("recursiveFileLookup", "true").orc(paths)
        rows = rows.unionByName(files.withColumn("day", F.lit(day)))
    return rows


if __name__ == "__main__":
    main(sys.argv)
