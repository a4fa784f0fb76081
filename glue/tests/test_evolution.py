"""A new optional field of events: a column at the end of the catalog's table, without a change of the jobs."""

import json

import pytest

import nasty
from etl_runs import ledger, run_etl
from support.spark import deployed_tables


@pytest.fixture
def grown_warehouse(warehouse):
    """A lake with a day in it, whose table then gets two columns; events with the fields arrive the day after."""
    warehouse.put_lines("impressions", [("2026-11-20 10", "a.gz", nasty.impression(1, "2026-11-20 10:00:00.000"))])
    run_etl(warehouse, "2026-11-20")
    files = lake_files(warehouse)
    warehouse.spark.sql("ALTER TABLE dataless.impressions ADD COLUMNS (campaign string, price double)")
    warehouse.put_lines(
        "impressions",
        [
            ("2026-11-21 10", "a.gz", event(2, campaign="spring", price=1.5)),
            ("2026-11-21 10", "a.gz", event(3, campaign="frühling 🌷")),
            ("2026-11-21 10", "a.gz", event(4)),
            # An invalid value does not reject the event.
            ("2026-11-21 10", "a.gz", event(5, campaign=["a"], price="dear")),
            # Copies that differ only in an optional field: the order of the fields decides.
            ("2026-11-21 10", "a.gz", event(6, campaign="b")),
            ("2026-11-21 10", "a.gz", event(6, campaign="a")),
        ],
    )
    yield warehouse, files
    warehouse.make_tables([table for table in deployed_tables(warehouse.database) if table["Name"] == "impressions"])


def event(number: int, **fields) -> str:
    return nasty.impression(number, "2026-11-21 10:00:00.000", **fields)


def lake_files(warehouse) -> dict:
    day = warehouse.folder / "data/lake/ad/impressions/arrived=2026-11-20"
    return {file: file.read_bytes() for file in day.rglob("*.orc")}


def optional_fields(warehouse) -> list[tuple]:
    rows = warehouse.spark.table("dataless.impressions").select("impression_id", "campaign", "price").collect()
    return sorted((int(row.impression_id[-4:]), row.campaign, row.price) for row in rows)


EXPECTED = [
    (1, None, None),
    (2, "spring", 1.5),
    (3, "frühling 🌷", None),
    (4, None, None),
    (5, json.dumps(["a"]), None),
    (6, "a", None),
]


def test_a_column_is_added_without_rewriting_the_lake(grown_warehouse, engines):
    warehouse, files = grown_warehouse
    run_etl(warehouse, "2026-11-21")
    assert optional_fields(warehouse) == EXPECTED
    assert lake_files(warehouse) == files != {}
    assert ledger(warehouse)["2026-11-21"]["rejected"] == 0

    engines.scala("2026-11-21")
    assert optional_fields(warehouse) == EXPECTED
