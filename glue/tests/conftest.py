"""The fixtures that several files of tests use."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from pyspark.cloudpickle import register_pickle_by_value, unregister_pickle_by_value

import erase
import nasty_orders
import scala
from engines import Engines
from fakes import CloudWatch, DynamoDB
from support.spark import BUCKET, ROOT, Warehouse, shared_warehouse, spark, warehouse


@pytest.fixture
def orders(warehouse: Warehouse) -> Iterator[Warehouse]:
    """The warehouse with another table of events, in another group, with columns of every type."""
    name = f"{warehouse.database}.{nasty_orders.TABLE['name']}"
    table = nasty_orders.catalog_table(warehouse.database, f"{BUCKET}data")
    warehouse.make_tables([table])
    yield warehouse
    warehouse.spark.sql(f"DROP TABLE {name}")


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled ETL in Scala. Compiling takes longer than most tests."""
    return scala.compile(ROOT / "glue" / "scala" / "etl.scala", tmp_path_factory.mktemp("scala"))


@pytest.fixture
def engines(warehouse, classes, capsys):
    return Engines(warehouse, classes, capsys)


@pytest.fixture
def dynamodb(monkeypatch):
    """The job's functions are sent to the executors, as when the script runs by itself."""
    client = DynamoDB()
    monkeypatch.setattr(boto3, "client", lambda service: client)
    register_pickle_by_value(erase)
    yield client
    unregister_pickle_by_value(erase)


@pytest.fixture
def cloudwatch(monkeypatch):
    client = CloudWatch()
    monkeypatch.setattr(boto3, "client", lambda service: client)
    return client
