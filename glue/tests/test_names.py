"""Spark on a laptop reads objects with any name, and leaves nothing beside them."""

import pytest

import nasty
from etl_runs import run_etl
from lake import files

HOUR = "raw/ad/impressions/year=2026/month=11/day=20/hour=12"
NAMES = sorted({name for _, name, *_ in nasty.ODD_NAMES})


def put(warehouse, name) -> int:
    path = warehouse.folder / "data" / HOUR / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.write_bytes(b"not what its name says\n")


def test_objects_are_read_whatever_their_names(warehouse):
    warehouse.put_lines("impressions", [("2026-11-20 12", name, name) for name in NAMES])
    assert sorted(row.value for row in warehouse.spark.read.text(f"{warehouse.data_path}/{HOUR}").collect()) == NAMES


def test_files_are_written_without_checksums_beside_them(warehouse):
    warehouse.insert(
        "ad_traffic", [{"ad_id": nasty.AD, "impressions": 1, "clicks": 0, "year": "2026", "month": "11", "day": "20"}]
    )
    written = [path.name for path in warehouse.folder.glob("data/lake/**/*") if path.is_file()]
    assert written and not [name for name in written if name.endswith(".crc")]


@pytest.mark.parametrize("name", ["a.bz2", "b c.zst", "a.deflate", "a.lz4", "a.snappy", "sub/a.gz"])
def test_what_only_spark_would_read_ends_the_job_with_its_name(warehouse, name):
    put(warehouse, "a.gz")
    put(warehouse, name)
    with pytest.raises(RuntimeError, match=f"{name.split('/')[0]} is not a raw object"):
        files.raw_bytes(warehouse.spark, f"{warehouse.data_path}/{HOUR}")
    with pytest.raises(RuntimeError, match="is not a raw object"):
        run_etl(warehouse, "2026-11-20")
    assert warehouse.rows("ledger") == []


def test_files_that_are_not_raw_objects_fail_no_job(warehouse):
    size = sum(put(warehouse, name) for name in ("a.gz", "a.GZ", "a.bz2.gz", "zst", "\x01é\n.gz"))
    for name in ("_a.bz2", ".a.zst", "a.gz._COPYING_", "_temporary/a.gz"):
        put(warehouse, name)
    assert files.raw_bytes(warehouse.spark, f"{warehouse.data_path}/{HOUR}") == size
