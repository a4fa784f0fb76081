"""The books are counted in files with the layout of docs/lake.md."""

import pytest

import books

DATA = {
    # Two event days of an arrival day, one of them replaced by an erasure; and leftovers of killed runs.
    "lake/ad/impressions/arrived=2026-11-20/run-20261121T000000-a/event_day=2026-11-19": 100,
    "lake/ad/impressions/arrived=2026-11-20/run-20261122T000000-b/event_day=2026-11-19": 2,
    "lake/ad/impressions/arrived=2026-11-20/run-20261122T000000-b/event_day=2026-11-20": 100,
    "lake/ad/impressions/arrived=2026-11-20/run-20261123T000000-c/event_day=2026-11-20": 3,
    "lake/ad/impressions/arrived=2026-11-20/run-20261124T000000-d/event_day=2026-11-20": 100,
    "lake/ad/impressions/arrived=2026-11-21/run-20261122T000000-e/event_day=2026-11-20": 5,
    "lake/shop/orders/arrived=2026-11-21/run-20261122T000000-e/event_day=2026-11-20": 9,
    "ledger/table_name=orders/year=2026/month=11/day=21/run-20261122T000000-b": 1,
    "ledger/table_name=clicks/year=2026/month=11/day=20/run-20261121T000000-a": 1,
    "ledger/table_name=clicks/year=2026/month=11/day=21/run-20261122T000000-b": 1,
    "lake/ad/advertising/year=2026/month=11/day=20/run-20261121T000000-a": 7,
    "lake/ad/advertising/year=2026/month=11/day=21/run-20261121T000000-a": 100,
}
ROW = """'ad' AS ad_id, 'i' AS impression_id, CAST(null AS timestamp) AS click_at,
    8L AS raw, 1L AS repeats, 2L AS rejected, 3L AS late"""


@pytest.fixture
def data(spark, tmp_path):
    for folder, rows in DATA.items():
        path = tmp_path / folder
        spark.sql(f"SELECT {ROW} FROM range({rows})").coalesce(1).write.orc(f"file://{path}")
        if "arrived=" in folder:
            # Spark marks a folder of its own, the ETL a run.
            (path / "_SUCCESS").unlink()
    run = tmp_path / "lake/ad/impressions/arrived=2026-11-20"
    (run / "run-20261121T000000-a/_SUCCESS").touch()
    (run / "run-20261122T000000-b/_SUCCESS").touch()
    (run / "run-20261123T000000-c/_PARTIAL").touch()
    (run.parent / "arrived=2026-11-21/run-20261122T000000-e/_SUCCESS").touch()
    (tmp_path / "lake/shop/orders/arrived=2026-11-21/run-20261122T000000-e/_SUCCESS").touch()
    return f"file://{tmp_path}"


def test_live_files_are_counted_once_and_no_others(spark, data):
    assert books.books(spark, data, "2026-11-20", ["ad/impressions", "ad/clicks", "shop/orders"]) == {
        "ledger": {"impressions": 0, "clicks": 16, "orders": 8},
        "lake": {"impressions": 2 + 3 + 5, "clicks": 0, "orders": 9},
        "repeats": {"impressions": 0, "clicks": 2, "orders": 1},
        "rejected": {"impressions": 0, "clicks": 4, "orders": 2},
        "late": {"impressions": 0, "clicks": 6, "orders": 3},
        "advertising": {"rows": 7, "clicked": 0},
        "ad_traffic": [],
    }
