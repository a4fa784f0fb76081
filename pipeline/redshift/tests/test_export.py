"""`export.hql` on Spark: what it writes is, byte for byte, what the tests of the SQL load (`export/*.csv`)."""

import csv
import gzip
from datetime import datetime
from pathlib import Path

import pytest

import hive
from support.spark import ROOT

EXPORT = ROOT / "pipeline" / "redshift" / "export.hql"
EXPECTED = Path(__file__).parent / "export"
DAY, NEXT_DAY = "2026-11-20", "2026-11-21"
COLUMNS = {
    "impressions": ("impression_id", "ad_id", "occurred_at"),
    "clicks": ("click_id", "impression_id", "ad_id", "occurred_at"),
    "advertising": ("ad_id", "impression_id", "impression_at", "click_at"),
}


def export(warehouse, day):
    """Runs the script; returns the text of the objects that it left for COPY, by table."""
    variables = hive.day_variables(day) | {
        "database": warehouse.database,
        "staging": f"file://{warehouse.folder}/staging",
    }
    hive.run(warehouse.spark, EXPORT.read_text(), "", variables, "zstd")
    texts = {}
    for table in COLUMNS:
        # COPY reads all objects with the prefix; Hadoop's checksum files exist on local disks only.
        objects = [path for path in (warehouse.folder / "staging" / table / f"day={day}").rglob("*") if path.is_file()]
        objects = [path for path in objects if path.suffix != ".crc"]
        assert objects, f"no object for {table}: COPY would fail"
        texts[table] = "".join(
            sorted("".join(gzip.decompress(path.read_bytes()).decode() for path in objects).splitlines(True))
        )
    return texts


def expected():
    return {table: "".join(sorted((EXPECTED / f"{table}.csv").read_text().splitlines(True))) for table in COLUMNS}


@pytest.fixture
def filled(warehouse):
    year, month, day = DAY.split("-")
    for table, columns in COLUMNS.items():
        with (EXPECTED / f"{table}.csv").open() as file:
            rows = [dict(zip(columns, row, strict=True)) for row in csv.reader(file)]
        for row in rows:
            row.update(year=year, month=month, day=day)
            for name in ("occurred_at", "impression_at", "click_at"):
                if name in row:
                    row[name] = (
                        row[name] and datetime.fromisoformat(row[name]).isoformat(timespec="milliseconds")
                    ) or None
            if table != "advertising":
                row.update(arrived_at=f"{DAY} 23:00:00.000", arrived=DAY)
        warehouse.insert(table, rows)
    return warehouse


def test_the_files_are_those_that_are_loaded(filled):
    assert export(filled, DAY) == expected()


def test_a_second_export_replaces_the_first(filled):
    export(filled, DAY)
    assert export(filled, DAY) == expected()


def test_a_day_without_rows_gives_files_without_lines(filled):
    assert export(filled, NEXT_DAY) == dict.fromkeys(COLUMNS, "")
