import json

import pytest
from conftest import BUCKET, deployed_tables
from test_etl import FEW_LINES, everything, run_etl

import catalog


def test_the_catalog_made_anew_from_the_folders_holds_the_same_rows(warehouse):
    warehouse.put_lines("impressions", FEW_LINES)
    run_etl(warehouse, "2026-11-20")
    before = everything(warehouse)
    warehouse.make_tables(deployed_tables(warehouse.database))
    assert everything(warehouse) == before


def test_a_run_that_did_not_finish_is_not_taken_for_the_partition(warehouse):
    warehouse.put_lines("impressions", FEW_LINES)
    run_etl(warehouse, "2026-11-20")
    before = everything(warehouse)
    (live,) = warehouse.folder.glob("data/lake/ad/impressions/year=2026/month=11/day=20/run-*")
    torn = live.parent / "run-99991231T000000-00000000"
    torn.mkdir()
    (torn / "part-0.orc").write_bytes(b"torn")
    warehouse.make_tables(deployed_tables(warehouse.database))
    assert everything(warehouse) == before


def test_raw_tables_read_the_raw_lines(warehouse):
    warehouse.put_lines("clicks", [("2026-01-02 03", "a.gz", json.dumps({"click_id": "c", "ad_id": "a", "more": 1}))])
    warehouse.make_tables(deployed_tables(warehouse.database))
    assert warehouse.rows("raw_clicks") == [("c", None, "a", None, "2026", "01", "02", "03")]


def test_the_deployed_tables_are_those_the_jobs_know():
    columns = {
        table["Name"]: [(column["Name"], column["Type"]) for column in table["StorageDescriptor"]["Columns"]]
        for table in deployed_tables("d")
    }
    assert set(columns) == {
        "raw_impressions", "raw_clicks", "impressions", "clicks", "advertising", "ad_traffic", "rejected", "ledger",
    }  # fmt: skip
    assert columns["rejected"] == [("reason", "string"), ("source", "string"), ("line", "string")]
    assert columns["ledger"] == [
        (name, "bigint") for name in ("raw", "kept", "repeats", "rejected", "late", "stored", "pending", "undelivered")
    ]


def test_a_location_that_no_prefix_maps_is_an_error():
    with pytest.raises(ValueError, match="s3://lake-bucket/data/"):
        list(catalog.statements(deployed_tables("d"), {"s3://other/": "file:///"}))


def test_a_format_without_counterpart_is_an_error():
    (table, *_) = deployed_tables("d")
    table["StorageDescriptor"]["SerdeInfo"] = {"SerializationLibrary": "org.example.OddSerDe"}
    with pytest.raises(ValueError, match="OddSerDe"):
        list(catalog.statements([table], {BUCKET: "file:///tmp/"}))


def test_print_shows_the_statements(tmp_path, capsys):
    tables = tmp_path / "tables.json"
    tables.write_text(json.dumps({"TableList": deployed_tables("d")}), encoding="utf-8")
    catalog.main(["catalog.py", "--tables", str(tables), "--locations", f'{{"{BUCKET}": "file://{tmp_path}/"}}', "--print", "true"])
    printed = capsys.readouterr().out
    assert "CREATE DATABASE IF NOT EXISTS `d`;" in printed
    assert f"STORED AS ORC LOCATION 'file://{tmp_path}/data/lake/ad/ad_traffic/'" in printed


def test_a_location_is_quoted_as_spark_reads_it():
    (table, *_) = deployed_tables("d")
    *_, statement = catalog.statements([table], {BUCKET: "file:///Ann's \\ folder/"})
    assert "LOCATION 'file:///Ann\\'s \\\\ folder/data/" in statement
