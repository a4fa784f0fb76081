"""The location of a partition in the catalog."""

import pytest
from pyspark.errors import AnalysisException

from lake.partition import Partition

KEYS = {"table_name": "clicks", "year": "2026", "month": "11", "day": "20"}


def test_a_partition_is_at_the_folder_that_it_was_pointed_at_last(warehouse):
    books = Partition(warehouse.spark, warehouse.database, "ledger", KEYS)
    assert books.location() is None and not books.exists()
    assert books.point_at("file:/somewhere/run-1") is None
    assert books.point_at("file:/somewhere/run-2") == "file:/somewhere/run-1"
    assert books.location() == "file:/somewhere/run-2"
    neighbour = Partition(warehouse.spark, warehouse.database, "ledger", KEYS | {"day": "21"})
    assert neighbour.location() is None
    assert (books.drop(), books.drop()) == ("file:/somewhere/run-2", None)


def test_a_table_that_is_missing_is_not_taken_for_a_missing_partition(warehouse):
    nowhere = Partition(warehouse.spark, warehouse.database, "nothing", KEYS)
    with pytest.raises(AnalysisException, match="TABLE_OR_VIEW_NOT_FOUND"):
        nowhere.location()
