"""Provides one Spark session for the test run, with its own metastore and the deployed tables.

A `conftest.py` imports the fixtures `spark`, `shared_warehouse` and `warehouse`.
"""

import functools
import gzip
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# The JVM reads ORC timestamps in its time zone. Python converts them to the time zone of its process.
os.environ["TZ"] = "UTC"

import pytest
from pyspark.cloudpickle import register_pickle_by_value
from pyspark.sql import SparkSession

import catalog
import java_names
import lake
import templates
import undelivered

# Serializes the code of functions in these modules for the executors, as for the libraries of the jobs.
register_pickle_by_value(lake)
register_pickle_by_value(undelivered)


ROOT = Path(__file__).resolve().parents[2]


BUCKET = "s3://lake-bucket/"


def spark_defaults() -> dict[str, str]:
    text = (ROOT / "glue" / "local" / "spark-defaults.conf").read_text(encoding="utf-8")
    return dict(line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#"))


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    folder = tmp_path_factory.mktemp("spark")
    settings = spark_defaults() | {
        "spark.master": "local[2]",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": f"file://{folder}/warehouse",
        "spark.hadoop.javax.jdo.option.ConnectionURL": "jdbc:derby:memory:metastore;create=true",
        # The jobs end before the second compiler (C2) pays off. Without C2, the JVM reserves only 48 MB for compiled
        # code. The tests fill this space within minutes. Then the JVM discards most of the code and compiles it again,
        # which halves the speed.
        "spark.driver.extraJavaOptions": f"-Dderby.stream.error.file={folder}/derby.log "
        "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC",
    }
    builder = SparkSession.builder.appName("tests")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.enableHiveSupport().getOrCreate()
    java_names.remember(session)
    yield session
    session.stop()


def in_bucket(part: Any) -> Any:
    """Replaces the reference to the bucket with its name. The location of a table has no other references."""
    if isinstance(part, list):
        return [in_bucket(one) for one in part]
    if not isinstance(part, dict):
        return part
    if list(part) == ["Fn::Sub"]:
        return part["Fn::Sub"].replace("${DataLakeBucket}", BUCKET.split("/")[2])
    return {key: in_bucket(one) for key, one in part.items()}


@functools.cache
def table_resources() -> list[dict]:
    return list(templates.read(ROOT / "stacks" / "tables.yaml")["Resources"].values())


def deployed_tables(database: str) -> list[dict]:
    """Returns the tables of the template in the format of `aws glue get-tables`."""
    return [
        in_bucket(resource["Properties"]["TableInput"]) | {"DatabaseName": database}
        for resource in table_resources()
        if resource["Type"] == "AWS::Glue::Table"
    ]


def raw_objects(lines: Iterable[tuple[Any, ...]]) -> dict[tuple[str, str], bytes]:
    """Returns the contents of raw objects by (hour of arrival, name). Each line ends with a newline."""
    content: dict[tuple[str, str], bytearray] = {}
    for hour, name, line, *_ in lines:
        content.setdefault((hour, name), bytearray()).extend((line.encode() if isinstance(line, str) else line) + b"\n")
    return {place: bytes(text) for place, text in content.items()}


class Warehouse:
    """A folder that serves as the bucket, and a database with the deployed tables in it."""

    database = "dataless"

    def __init__(self, spark: SparkSession, folder: Path):
        self.spark, self.folder = spark, folder
        # The group of each event table, by table name.
        self.groups: dict[str, str] = {}
        self.data_path = f"file://{folder}/data"
        self.make_tables(deployed_tables(self.database))
        external = self.external_catalog()
        self.empty_tables = {
            table["Name"]: external.getTable(self.database, table["Name"]) for table in deployed_tables(self.database)
        }

    def make_tables(self, tables: list[dict]) -> None:
        for table in tables:
            self.groups[table["Name"]] = table["StorageDescriptor"]["Location"].rstrip("/").split("/")[-2]
        for statement in catalog.statements(tables, {BUCKET: f"file://{self.folder}/"}):
            self.spark.sql(statement)

    def used_tables(self) -> list[str]:
        jvm: Any = self.spark._jvm
        external, anything = self.external_catalog(), jvm.scala.Option.empty()
        return [
            name for name in self.empty_tables if external.listPartitionNames(self.database, name, anything).nonEmpty()
        ]

    def external_catalog(self) -> Any:
        return self.spark._jsparkSession.sharedState().externalCatalog()

    def clear(self) -> None:
        """Deletes all files and partitions of the tables."""
        # Uses the catalog directly, because SQL takes several times as long. This method runs before most tests.
        external = self.external_catalog()
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        for name in self.used_tables():
            external.dropTable(self.database, name, False, False)
            external.createTable(self.empty_tables[name], False)
        # Clear the session's caches of files and rows.
        self.spark._jsparkSession.sessionState().catalog().invalidateAllCachedTables()
        self.spark.catalog.clearCache()

    def put_raw(self, table: str, hour: str, name: str, content: bytes) -> None:
        """Stores an object as Firehose does. The format of `hour` is `YYYY-MM-DD HH`."""
        year, month, day, hour = hour.replace(" ", "-").split("-")
        folder = self.folder / f"data/raw/{self.groups[table]}/{table}/year={year}/month={month}/day={day}/hour={hour}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(gzip.compress(content))

    def put_lines(self, table: str, lines: Iterable[tuple[Any, ...]]) -> None:
        """Stores `(hour, file name, line, ...)` records. Each line ends with a newline."""
        for (hour, name), content in raw_objects(lines).items():
            self.put_raw(table, hour, name, content)

    def rows(self, table: str) -> list[tuple]:
        return sorted((tuple(row) for row in self.spark.table(f"{self.database}.{table}").collect()), key=repr)

    def schema(self, table: str) -> list[tuple[str, str]]:
        return self.spark.table(f"{self.database}.{table}").dtypes

    def insert(self, table: str, rows: list[dict]) -> None:
        """Adds rows to the table's partitions. The rows have the form of JSON objects."""
        schema = self.spark.table(f"{self.database}.{table}").schema
        text = self.spark.sparkContext.parallelize([json.dumps(row) for row in rows], 1)
        self.spark.conf.set("hive.exec.dynamic.partition.mode", "nonstrict")
        self.spark.read.schema(schema).json(text).write.insertInto(f"{self.database}.{table}")


@pytest.fixture(scope="session")
def shared_warehouse(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    # The checkout can be in a folder with any name.
    return Warehouse(spark, tmp_path_factory.mktemp("a bucket%2Fof#é"))


@pytest.fixture
def warehouse(shared_warehouse: Warehouse) -> Warehouse:
    """Empties and returns the shared warehouse. Creating tables for each test would be much slower."""
    shared_warehouse.clear()
    return shared_warehouse
