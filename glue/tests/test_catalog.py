import json
from pathlib import Path

import pytest

import catalog
import nasty
from erasure import run_erase
from etl_runs import everything, run_etl
from support.spark import BUCKET, deployed_tables

# Names of runs, oldest first.
FIRST, SECOND, THIRD = (f"run-202611{day}T000000-00000000" for day in (21, 22, 23))


def write_rows(warehouse, folder: str, *ids: str) -> Path:
    """Writes impressions of these ids as ORC, with the column `_aside` that files may have besides."""
    path = warehouse.folder / "data" / folder
    rows = [(one, "ad", "2026-11-20 10:00:00", "2026-11-20 11:00:00", None) for one in ids]
    frame = warehouse.spark.createDataFrame(
        rows, "impression_id string, ad_id string, occurred_at string, arrived_at string, _aside string"
    )
    times = {name: frame[name].cast("timestamp") for name in ("occurred_at", "arrived_at")}
    frame.withColumns(times).coalesce(1).write.orc(f"file://{path}")
    return path


def write_event_day(warehouse, arrived: str, run: str, event_day: str, *ids: str) -> Path:
    return write_rows(warehouse, f"lake/ad/impressions/arrived={arrived}/{run}/event_day={event_day}", *ids)


def mark(warehouse, arrived: str, run: str, name: str) -> None:
    (warehouse.folder / f"data/lake/ad/impressions/arrived={arrived}" / run / name).touch()


def found(warehouse) -> dict[tuple[str, str], set[str]]:
    """Ids by event day and arrival day, in the catalog recreated from the folders."""
    warehouse.make_tables([table for table in deployed_tables(warehouse.database) if table["Name"] == "impressions"])
    ids: dict[tuple[str, str], set[str]] = {}
    for row in warehouse.spark.table(f"{warehouse.database}.impressions").collect():
        ids.setdefault((f"{row['year']}-{row['month']}-{row['day']}", row["arrived"]), set()).add(row["impression_id"])
    return ids


def partitions(warehouse) -> list[str]:
    return sorted(row[0] for row in warehouse.spark.sql(f"SHOW PARTITIONS {warehouse.database}.impressions").collect())


def test_partitions_of_the_lake_are_event_days_below_the_run_of_their_arrival_day(warehouse):
    write_event_day(warehouse, "2026-11-20", FIRST, "2026-11-19", "a")
    write_event_day(warehouse, "2026-11-20", FIRST, "2026-11-20", "b", "c")
    mark(warehouse, "2026-11-20", FIRST, "_SUCCESS")
    write_event_day(warehouse, "2026-11-21", SECOND, "2026-11-20", "d")
    mark(warehouse, "2026-11-21", SECOND, "_SUCCESS")
    assert found(warehouse) == {
        ("2026-11-19", "2026-11-20"): {"a"},
        ("2026-11-20", "2026-11-20"): {"b", "c"},
        ("2026-11-20", "2026-11-21"): {"d"},
    }


def test_the_newest_complete_run_replaces_all_of_its_arrival_day(warehouse):
    write_event_day(warehouse, "2026-11-20", FIRST, "2026-11-19", "old")
    write_event_day(warehouse, "2026-11-20", FIRST, "2026-11-20", "old")
    mark(warehouse, "2026-11-20", FIRST, "_SUCCESS")
    write_event_day(warehouse, "2026-11-20", SECOND, "2026-11-20", "new")
    mark(warehouse, "2026-11-20", SECOND, "_SUCCESS")
    assert found(warehouse) == {("2026-11-20", "2026-11-20"): {"new"}}


def test_a_later_partial_run_replaces_only_its_own_event_days(warehouse):
    write_event_day(warehouse, "2026-11-20", FIRST, "2026-11-19", "a")
    write_event_day(warehouse, "2026-11-20", FIRST, "2026-11-20", "b")
    mark(warehouse, "2026-11-20", FIRST, "_SUCCESS")
    for run, one in ((SECOND, "c"), (THIRD, "d")):
        write_event_day(warehouse, "2026-11-20", run, "2026-11-20", one)
        mark(warehouse, "2026-11-20", run, "_PARTIAL")
    assert found(warehouse) == {("2026-11-19", "2026-11-20"): {"a"}, ("2026-11-20", "2026-11-20"): {"d"}}


def test_a_complete_run_replaces_earlier_partial_runs(warehouse):
    write_event_day(warehouse, "2026-11-20", FIRST, "2026-11-19", "a")
    mark(warehouse, "2026-11-20", FIRST, "_PARTIAL")
    write_event_day(warehouse, "2026-11-20", SECOND, "2026-11-20", "b")
    mark(warehouse, "2026-11-20", SECOND, "_SUCCESS")
    assert found(warehouse) == {("2026-11-20", "2026-11-20"): {"b"}}


def test_a_run_of_the_lake_that_did_not_finish_is_not_taken(warehouse):
    write_event_day(warehouse, "2026-11-20", FIRST, "2026-11-20", "a")
    mark(warehouse, "2026-11-20", FIRST, "_SUCCESS")
    # Spark marks each folder that it has written; the run has no mark yet.
    torn = write_event_day(warehouse, "2026-11-20", SECOND, "2026-11-20", "b")
    assert (torn / "_SUCCESS").exists()
    write_event_day(warehouse, "2026-11-21", SECOND, "2026-11-20", "c")
    assert found(warehouse) == {("2026-11-20", "2026-11-20"): {"a"}}


def test_an_event_day_whose_files_are_gone_is_not_a_partition(warehouse):
    write_event_day(warehouse, "2026-11-20", FIRST, "2026-11-20", "a")
    gone = write_event_day(warehouse, "2026-11-20", FIRST, "2026-11-19", "b")
    mark(warehouse, "2026-11-20", FIRST, "_SUCCESS")
    for file in gone.iterdir():
        file.unlink()
    assert found(warehouse) == {("2026-11-20", "2026-11-20"): {"a"}}
    assert partitions(warehouse) == ["year=2026/month=11/day=20/arrived=2026-11-20"]


def test_other_tables_have_the_latest_complete_run_of_each_partition(warehouse):
    folder = "rejected/table_name=impressions/year=2026/month=11/day=20"
    for run, reason in ((FIRST, "old"), (SECOND, "live"), (THIRD, "torn")):
        frame = warehouse.spark.createDataFrame([(reason, "s", "l")], "reason string, source string, line string")
        frame.coalesce(1).write.orc(f"file://{warehouse.folder}/data/{folder}/{run}")
    (warehouse.folder / "data" / folder / THIRD / "_SUCCESS").unlink()
    warehouse.make_tables(deployed_tables(warehouse.database))
    assert warehouse.rows("rejected") == [("live", "s", "l", "impressions", "2026", "11", "20")]


def test_parameters_tell_what_the_columns_of_events_mean(warehouse):
    def parameters(table: str) -> dict[str, str]:
        shown = warehouse.spark.sql(f"SHOW TBLPROPERTIES {warehouse.database}.{table}").collect()
        return {row["key"]: row["value"] for row in shown if row["key"].startswith("event.")}

    assert parameters("impressions") == {
        "event.id": "impression_id",
        "event.time": "occurred_at",
        "event.required": "impression_id,ad_id,occurred_at",
        "event.uuid": "impression_id,ad_id",
        "event.sort": "ad_id,occurred_at,impression_id",
        "event.erase": "ad_id",
    }
    assert parameters("clicks") == {
        "event.id": "click_id",
        "event.time": "occurred_at",
        "event.required": "click_id,impression_id,ad_id,occurred_at",
        "event.uuid": "click_id,impression_id,ad_id",
        "event.sort": "ad_id,occurred_at,click_id",
        "event.erase": "ad_id",
    }
    assert parameters("rejected") == {}


def test_the_recreated_catalog_has_the_rows_that_the_jobs_wrote(warehouse, dynamodb, capsys):
    days = ("2026-11-19", "2026-11-20")
    events = [
        ("2026-11-20 10", "a.gz", nasty.impression(number, f"{days[number % 2]} 10:00:00.000")) for number in range(4)
    ]
    warehouse.put_lines(
        "impressions", [*events, ("2026-11-20 10", "a.gz", "{"), ("2026-11-21 10", "a.gz", events[3][2])]
    )
    run_etl(warehouse, "2026-11-20", "2026-11-21")
    run_erase(warehouse, capsys, "--event", nasty.own_id(2), "--dry_run", "false")
    before = everything(warehouse)
    assert [row[0] for row in before["impressions"]] == [nasty.own_id(number) for number in (0, 1, 3)]
    warehouse.make_tables(deployed_tables(warehouse.database))
    assert everything(warehouse) == before


def test_raw_tables_read_the_raw_lines(warehouse):
    warehouse.put_lines("clicks", [("2026-01-02 03", "a.gz", json.dumps({"click_id": "c", "ad_id": "a", "more": 1}))])
    warehouse.make_tables(deployed_tables(warehouse.database))
    assert warehouse.rows("raw_clicks") == [("c", None, "a", None, "year=2026/month=01/day=02/hour=03")]


def test_the_deployed_tables_are_those_the_jobs_know():
    columns = {
        table["Name"]: [(column["Name"], column["Type"]) for column in table["StorageDescriptor"]["Columns"]]
        for table in deployed_tables("d")
    }
    assert set(columns) == {
        "raw_impressions", "raw_clicks", "impressions", "clicks", "advertising", "ad_traffic", "rejected", "ledger",
    }  # fmt: skip
    assert columns["rejected"] == [("reason", "string"), ("source", "string"), ("line", "string")]
    figures = ("raw", "kept", "repeats", "rejected", "late", "stored", "undelivered")
    assert columns["ledger"] == [
        *((name, "bigint") for name in figures), ("started_at", "timestamp"), ("decided_at", "timestamp"),
    ]  # fmt: skip
    assert columns["impressions"][-1] == columns["clicks"][-1] == ("arrived_at", "timestamp")


def test_athena_reads_orc_by_the_names_of_columns():
    descriptors = [table["StorageDescriptor"]["SerdeInfo"] for table in deployed_tables("d")]
    orc = [serde for serde in descriptors if serde["SerializationLibrary"].endswith("OrcSerde")]
    assert [serde["Parameters"] for serde in orc] == [{"orc.column.index.access": "false"}] * 6


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
    catalog.main(
        [
            "catalog.py",
            "--tables",
            str(tables),
            "--locations",
            f'{{"{BUCKET}": "file://{tmp_path}/"}}',
            "--print",
            "true",
        ]
    )
    printed = capsys.readouterr().out
    assert "CREATE DATABASE IF NOT EXISTS `d`;" in printed
    assert f"STORED AS ORC LOCATION 'file://{tmp_path}/data/lake/ad/ad_traffic/'" in printed


def test_a_location_is_quoted_as_spark_reads_it():
    (table, *_) = deployed_tables("d")
    *_, statement = catalog.statements([table], {BUCKET: "file:///Ann's \\ folder/"})
    assert "LOCATION 'file:///Ann\\'s \\\\ folder/data/" in statement
