"""The plain job, a naive first version: schema by inference, repeats dropped by comparing whole rows, ORC with snappy.

It gives none of the guarantees of docs/lake.md: malformed lines are lost, copies that differ are kept, a rerun of
`append_day` duplicates the day, and nothing counts lines.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import traffic

IDS = {"impressions": "impression_id", "clicks": "click_id", "orders": "order_id"}


def append_day(spark: SparkSession, data: str, table: str, day: str) -> None:
    """Adds the events that arrived on the day to a folder."""
    rows = read(spark, data, table, [day])
    rows.write.mode("append").option("compression", "snappy").orc(lake(data, table))


def rewrite_days(spark: SparkSession, data: str, table: str, days: list[str]) -> None:
    """Rewrites event days from everything that arrived on these days."""
    rows = read(spark, data, table, days).withColumn("event_day", F.to_date("occurred_at"))
    rows = rows.where(F.col("event_day").between(F.lit(days[0]), F.lit(days[-1])))
    options = {"compression": "snappy", "partitionOverwriteMode": "dynamic"}
    rows.write.mode("overwrite").partitionBy("event_day").options(**options).orc(lake(data, table))


def read(spark: SparkSession, data: str, table: str, days: list[str]) -> DataFrame:
    folders = [f"{data}/{traffic.day_path(table, date.fromisoformat(day))}/*" for day in days]
    rows = (
        spark.read.json(folders)
        .where(f"{IDS[table]} IS NOT NULL AND to_date(occurred_at) IS NOT NULL")
        .dropDuplicates()
    )
    return rows.withColumn("occurred_at", F.col("occurred_at").cast("timestamp"))


def lake(data: str, table: str) -> str:
    return f"{data}/lake/ad/{table}"
