"""Partitions of catalog tables, replaced as a whole: complete new files first, then one call that points the catalog at them.

A job that dies before the call leaves the old partition unchanged. One that dies after it leaves files that nobody
reads. Only replaced files are deleted, and files older than the longest job: another run may be writing the others.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from lake import files, session
from lake.days import day_keys, keys_day, partition_path

# A run that started longer ago has ended: a Glue job runs seven days at most.
# https://docs.aws.amazon.com/glue/latest/dg/aws-glue-api-jobs-job.html
LONGEST_JOB = timedelta(days=8)

# Spark's error for a partition that is not in the catalog.
# https://spark.apache.org/docs/3.5.6/sql-error-conditions.html
NO_PARTITION = "PARTITIONS_NOT_FOUND"

# Marks of complete runs: one that holds all of an arrival day, and one that replaces some of its partitions.
WHOLE, PARTIAL = "_SUCCESS", "_PARTIAL"


def new_run() -> str:
    """A name for a run's folder. Later runs have greater names."""
    return f"run-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True)
class Partition:
    """One partition of a catalog table. With the key `arrived` it is a partition of the lake, in the folder of its
    arrival day."""

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

    @property
    def condition(self) -> str:
        return " AND ".join(f"`{key}` = '{value}'" for key, value in self.keys.items())

    @cached_property
    def table_location(self) -> str:
        return table_location(self.spark, self.database, self.table)

    def folder(self) -> str:
        """The folder of all of the partition's runs, below the location that the catalog has for the table."""
        inner = f"arrived={self.keys['arrived']}" if "arrived" in self.keys else partition_path(self.keys)
        return f"{self.table_location}/{inner}"

    def exists(self) -> bool:
        return bool(self.spark.sql(f"SHOW PARTITIONS {self.name} PARTITION ({self.spec})").take(1))

    def has_rows(self) -> bool:
        return self.exists() and bool(self.spark.table(f"{self.database}.{self.table}").where(self.condition).take(1))

    def location(self) -> str | None:
        """The location of the partition's files, if the catalog has the partition."""
        try:
            return described(self.spark, f"{self.name} PARTITION ({self.spec})")
        except AnalysisException as error:
            if error.getErrorClass() != NO_PARTITION:
                raise
            return None

    def write(self, frame: DataFrame, compression: str) -> str:
        """Writes the rows as ORC to a fresh folder, which nothing reads yet; returns the folder."""
        run = f"{self.folder()}/{new_run()}"
        path = f"{run}/event_day={keys_day(self.keys)}" if "arrived" in self.keys else run
        frame.write.options(compression=compression, **session.ORC_OPTIONS).orc(path)
        if path != run:
            files.touch(self.spark, f"{run}/{PARTIAL}")
        return path

    def publish(self, path: str) -> None:
        """Makes the folder the partition's live one, then deletes the previous one and what dead runs left."""
        replaced = self.point_at(path)
        self.spark.catalog.refreshTable(f"{self.database}.{self.table}")
        if replaced and replaced != path:
            delete_replaced(self.spark, replaced, path)
        delete_dead_runs(self.spark, self.folder(), {path})

    def point_at(self, path: str) -> str | None:
        """Points the catalog at the folder; returns the previous location."""
        replaced = self.location()
        change = (
            f"PARTITION ({self.spec}) SET LOCATION"
            if replaced
            else f"ADD IF NOT EXISTS PARTITION ({self.spec}) LOCATION"
        )
        self.spark.sql(f"ALTER TABLE {self.name} {change} '{path}'")
        return replaced

    def drop(self) -> str | None:
        """Drops the partition from the catalog; returns the location of its files."""
        replaced = self.location()
        if replaced:
            self.spark.sql(f"ALTER TABLE {self.name} DROP IF EXISTS PARTITION ({self.spec})")
        return replaced


@dataclass(frozen=True)
class ArrivalDay:
    """The partitions of a table of the lake that hold what arrived on a day, one for each event day."""

    spark: SparkSession
    database: str
    table: str
    day: date

    @cached_property
    def table_location(self) -> str:
        return table_location(self.spark, self.database, self.table)

    def folder(self) -> str:
        return f"{self.table_location}/arrived={self.day}"

    def partition(self, event_day: date) -> Partition:
        return Partition(self.spark, self.database, self.table, {**day_keys(event_day), "arrived": str(self.day)})

    def event_days(self) -> set[date]:
        """The event days that have a partition in the catalog."""
        shown = self.spark.sql(f"SHOW PARTITIONS `{self.database}`.`{self.table}` PARTITION (`arrived` = '{self.day}')")
        keys = (dict(key.split("=") for key in row[0].split("/")) for row in shown.collect())
        return {keys_day(found) for found in keys}

    def publish(self, run: str) -> None:
        """Makes the run's event days the live ones, one by one, and drops those without rows in this run."""
        found = (re.fullmatch(r"event_day=(\d{4}-\d{2}-\d{2})", name) for name in files.list_names(self.spark, run))
        fresh = {date.fromisoformat(day[1]): f"{run}/{day[0]}" for day in found if day}
        files.touch(self.spark, f"{run}/{WHOLE}")
        before = self.event_days()
        replaced = [self.partition(day).point_at(path) for day, path in sorted(fresh.items())]
        replaced += [self.partition(day).drop() for day in sorted(before - fresh.keys())]
        self.spark.catalog.refreshTable(f"{self.database}.{self.table}")
        for path in {path for path in replaced if path} - set(fresh.values()):
            files.delete(self.spark, path)
        delete_dead_runs(self.spark, self.folder(), set(fresh.values()))


def table_location(spark: SparkSession, database: str, table: str) -> str:
    return described(spark, f"`{database}`.`{table}`").rstrip("/")


def described(spark: SparkSession, what: str) -> str:
    """The location in the description of a table or a partition."""
    rows = spark.sql(f"DESCRIBE TABLE EXTENDED {what}").collect()
    # A partition's location comes before its table's. A column may be named Location, but has no such type.
    start = next(number for number, row in enumerate(rows) if row["col_name"].startswith("# Detailed"))
    return next(row["data_type"] for row in rows[start:] if row["col_name"] == "Location")


def delete_replaced(spark: SparkSession, replaced: str, fresh: str) -> None:
    """Deletes a folder that the catalog no longer points at. Files of a plain INSERT have run folders beside them."""
    outer, inner = (files.hadoop_path(spark, path)[1].toUri().getPath() for path in (replaced, fresh))
    if not inner.startswith(f"{outer}/"):
        files.delete(spark, replaced)
        return
    for name in files.list_names(spark, replaced):
        if not name.startswith("run-"):
            files.delete(spark, f"{replaced}/{name}")


def delete_dead_runs(spark: SparkSession, folder: str, live: Iterable[str]) -> None:
    """Deletes runs in the folder that a job which died long ago has left."""
    limit = f"run-{datetime.now(UTC) - LONGEST_JOB:%Y%m%dT%H%M%S}"
    for name in files.list_names(spark, folder):
        path = f"{folder}/{name}"
        if re.match(r"run-\d{8}T\d{6}-", name) and name < limit and not any(one.startswith(path) for one in live):
            files.delete(spark, path)
