"""The Scala job against the Python job: the same lines must become the same rows, whichever ran before."""

import base64
import gzip
import json
import re
from datetime import datetime, timedelta

import pytest

import etl
import expectation
import nasty
import nasty_orders
import scala
from engines import Engines
from etl_runs import (
    NASTY_DAYS,
    check_lake_files,
    everything,
    flags,
    ledger,
    partitions,
    put,
    put_events_of_many_ads,
    random_lines,
    run_folders,
)  # fmt: skip
from support.spark import ROOT


def test_the_nasty_input_ends_the_same_whichever_engine_runs_and_ran_before(engines):
    put(engines.warehouse, "impressions", nasty.LINES)
    books, rows = engines.check(*NASTY_DAYS)
    assert [book["day"] for book in books] == NASTY_DAYS
    assert rows == expectation.lake(expectation.IMPRESSIONS, nasty.LINES, nasty.LOOKBACK_DAYS)


def test_objects_with_odd_names_end_the_same(engines):
    lines = [*nasty.ODD_NAMES, ("2026-11-20 12", "a b+c%20d.gz", "{", "malformed")]
    put(engines.warehouse, "impressions", lines)
    (book,), _ = engines.check("2026-11-20")
    assert (book["raw"], book["rejected"]) == (len(lines), 1)


@pytest.mark.parametrize("table", [expectation.IMPRESSIONS, expectation.CLICKS], ids=lambda table: table["name"])
def test_random_events_end_the_same_on_each_of_some_days_and_one_without_lines(engines, table):
    lines = random_lines(table, f"{table['name']} in Scala", days=4)
    put(engines.warehouse, table["name"], lines)
    books, rows = engines.check(*(f"2026-11-{day}" for day in (18, 19, 20, 21, 22)), table=table["name"])
    assert rows == expectation.lake(table, lines, nasty.LOOKBACK_DAYS)
    assert (
        books[-1]["raw"]
        == 0
        < min(sum(book[fate] for book in books) for fate in ("kept", "repeats", "rejected", "late"))
    )


def test_columns_of_every_type_end_the_same(orders, engines):
    lines = nasty_orders.LINES
    put(orders, "orders", lines)
    days = sorted({hour[:10] for hour, *_ in lines})
    books, rows = engines.check(*days, table="orders")
    assert rows == expectation.lake(nasty_orders.TABLE, lines, nasty.LOOKBACK_DAYS)
    assert len(rows) > 50 and set(books[0]["nulled"]) > {"quantity", "weight", "due_on", "tags", "items"}


REFUSED = [
    "int",
    "float",
    "binary",
    "map<string,string>",
    "array<date>",
    "struct<a:bigint,at:array<struct<on:timestamp>>>",
]


@pytest.fixture
def bad_table(warehouse):
    """Makes a table of events with an additional column of the type."""
    name = f"{warehouse.database}.bad"

    def make(kind: str) -> None:
        warehouse.spark.sql(f"DROP TABLE IF EXISTS {name}")
        warehouse.spark.sql(
            f"CREATE EXTERNAL TABLE {name} (`id` string, `at` timestamp, `odd` {kind}, `arrived_at` timestamp) "
            "PARTITIONED BY (`year` string, `month` string, `day` string, `arrived` string) STORED AS ORC "
            f"LOCATION '{warehouse.data_path}/lake/ad/bad' "
            "TBLPROPERTIES ('event.id' = 'id', 'event.time' = 'at', 'event.required' = 'id,at', 'event.sort' = 'at,id')"
        )

    yield make
    warehouse.spark.sql(f"DROP TABLE IF EXISTS {name}")


def test_columns_of_other_types_are_refused_in_the_same_words(bad_table, engines):
    for kind in REFUSED:
        bad_table(kind)
        message = re.escape(
            f"dataless.bad: the column odd is {kind}; it must be string, timestamp, date, bigint, double, decimal(p, s), boolean, "
            "or array or struct of these, but for timestamp and date"
        )
        with pytest.raises(scala.JobError, match=message):
            engines.scala("2026-11-20", table="bad")
        with pytest.raises(ValueError, match=message):
            engines.python("2026-11-20", table="bad")


def odd_files() -> dict[str, bytes]:
    first, second, third = (nasty.impression(number, nasty.NOON).encode() for number in (1, 2, 3))
    long = nasty.impression(4, nasty.NOON, note="ö" * 200_000).encode()
    return {
        "byte-order-mark.gz": gzip.compress(b"\xef\xbb\xbf" + first + b"\n\xef\xbb\xbf" + second),
        "two-members.gz": gzip.compress(second[:50]) + gzip.compress(second[50:] + b"\r\n"),
        "no-text.gz": gzip.compress(b"\xff\xfe\n\n" + third + b"\r" + third + b"\n\xc3"),
        "long.gz": gzip.compress(long + b"\n" + long[:-9] + b"\n\n"),
        "not-packed": third + b"\n",
        "byte-order-mark-alone.gz": gzip.compress(b"\xef\xbb\xbf"),
        "two-bytes.gz": gzip.compress(b"{}"),
        "nothing.gz": gzip.compress(b""),
    }


def test_odd_files_end_the_same(engines):
    for number, (name, content) in enumerate(odd_files().items()):
        folder = engines.warehouse.folder / f"data/raw/ad/impressions/year=2026/month=11/day=20/hour={12 + number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (book,), rows = engines.check("2026-11-20")
    assert book["balanced"] and [row[0] for row in rows] == [nasty.own_id(number) for number in (1, 2, 3, 4)]


def test_what_was_set_aside_counts_the_same(engines):
    data = base64.b64encode(b"a\nb\nc").decode()
    records = [{"rawData": data}, {"rawData": ""}, {"rawData": "?"}, {"rawData": None}, {"rawData": 7}, {}, [], 7]
    text = "\n".join([*map(json.dumps, records), "{", f'{{"rawData": "{data}"}} more', "\r", ""]).encode()
    folder = (
        engines.warehouse.folder / "data/raw-errors/impressions/processing-failed/year=2026/month=11/day=20/hour=10"
    )
    folder.mkdir(parents=True)
    packed = gzip.compress(text)
    contents = {"plain": text, "packed.gz": packed, "torn.gz": packed[:-20], "empty": b"", "not-text": b"\xff\n\x1f"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (book,), _ = engines.check("2026-11-20")
    # Three lines and eight of ten records, twice; a torn object; two records.
    assert book["undelivered"] == 2 * (3 + 8) + 1 + 2 and not book["balanced"]


def test_a_rerun_takes_out_what_the_day_has_no_rows_of_any_more(engines):
    warehouse = engines.warehouse
    lines = [
        ("2026-11-20 10", f"{day}.gz", nasty.impression(day, f"2026-11-{day} 09:00:00.000")) for day in (18, 19, 20)
    ]
    warehouse.put_lines("impressions", [*lines, ("2026-11-20 11", "malformed.gz", "{")])
    engines.python("2026-11-20")
    assert len(partitions(warehouse)) == 3 and len(partitions(warehouse, "rejected")) == 1
    for raw in (*warehouse.folder.glob("data/raw/**/19.gz"), *warehouse.folder.glob("data/raw/**/malformed.gz")):
        raw.unlink()
    (book,) = engines.scala("2026-11-20")
    assert partitions(warehouse) == [f"year=2026/month=11/day={day}/arrived=2026-11-20" for day in (18, 20)]
    assert partitions(warehouse, "rejected") == [] and (book["kept"], book["rejected"]) == (2, 0)
    assert len(run_folders(warehouse)) == 1 and not list(warehouse.folder.glob("data/rejected/**/*.orc"))


def test_rows_of_a_plain_insert_are_replaced(engines):
    day = {"table_name": "impressions", "year": "2026", "month": "11", "day": "20"}
    engines.warehouse.insert("rejected", [{"reason": "blank", "source": "raw/ad/impressions/a.gz", "line": "", **day}])
    engines.warehouse.put_lines("impressions", [("2026-11-20 12", "b.gz", "{")])
    engines.scala("2026-11-20")
    assert [row[0] for row in engines.warehouse.rows("rejected")] == ["malformed"]
    assert len(list(engines.warehouse.folder.glob("data/rejected/**/*.orc"))) == 1


def test_runs_that_died_long_ago_are_deleted_and_others_are_not(engines):
    engines.warehouse.put_lines("impressions", [("2026-11-20 12", "a.gz", nasty.impression(1, nasty.NOON))])
    arrived = engines.warehouse.folder / "data/lake/ad/impressions/arrived=2026-11-20"
    recent = f"run-{datetime.now() - timedelta(days=7):%Y%m%dT%H%M%S}-00000000"
    for name in ("run-20260101T000000-00000000", recent, "kept"):
        (arrived / name).mkdir(parents=True)
    engines.scala("2026-11-20")
    (live,) = run_folders(engines.warehouse)
    assert {path.name for path in arrived.iterdir()} == {live, recent, "kept"}
    assert {path.name for path in (arrived / live).iterdir() if not path.name.startswith(".")} == {
        "_SUCCESS",
        "event_day=2026-11-20",
    }


def test_the_ledger_has_when_the_job_began_and_when_it_had_decided(engines):
    before = datetime.now()
    engines.scala("2026-11-20")
    (row,) = engines.warehouse.spark.table(f"{engines.warehouse.database}.ledger").collect()
    assert before <= row.started_at < row.decided_at <= datetime.now()


def test_a_job_that_dies_between_its_writes_leaves_no_books_and_the_next_makes_it_good(engines):
    warehouse = engines.warehouse
    warehouse.put_lines(
        "impressions", [("2026-11-20 12", "a.gz", nasty.impression(1, nasty.NOON)), ("2026-11-20 12", "a.gz", "{")]
    )
    engines.scala("2026-11-20")
    warehouse.put_lines("impressions", [("2026-11-20 13", "a.gz", nasty.impression(2, nasty.NOON))])
    in_the_way = warehouse.folder / "data/rejected/table_name=impressions/year=2026/month=11/day=20"
    aside = in_the_way.rename(in_the_way.with_name("aside"))
    in_the_way.touch()
    with pytest.raises(scala.JobError, match="day=20"):
        engines.scala("2026-11-20")
    in_the_way.unlink()
    aside.rename(in_the_way)
    assert ledger(warehouse) == {} and len(warehouse.rows("rejected")) == 1

    (book,) = engines.scala("2026-11-20")
    assert book["balanced"] and len(warehouse.rows("impressions")) == 2
    assert len(list(warehouse.folder.glob("data/lake/**/event_day=2026-11-20/*.orc"))) == 1


def test_a_torn_file_is_named(engines):
    engines.warehouse.put_lines("impressions", [("2026-11-20 12", "a.gz", nasty.impression(1, nasty.NOON))])
    folder = engines.warehouse.folder / "data/raw/ad/impressions/year=2026/month=11/day=20/hour=12"
    (folder / "torn.gz").write_bytes((folder / "a.gz").read_bytes()[:-20])
    with pytest.raises(scala.JobError, match=r"torn\.gz"):
        engines.scala("2026-11-20")


@pytest.mark.parametrize("name", ["b.bz2", "sub"])
def test_what_only_spark_would_read_is_refused_in_the_same_words(engines, name):
    put(engines.warehouse, "impressions", [("2026-11-20 12", "a.gz", nasty.GOOD)])
    hour = engines.warehouse.folder / "data/raw/ad/impressions/year=2026/month=11/day=20/hour=12"
    if name == "sub":
        (hour / name).mkdir()
    else:
        (hour / name).write_bytes(b"plain\n")
    message = f"hour=12/{name} is not a raw object: raw objects are in the folder of their hour, gzip or not packed"
    with pytest.raises(scala.JobError, match=message):
        engines.scala("2026-11-20")
    with pytest.raises(RuntimeError, match=message):
        engines.python("2026-11-20")


def test_scala_writes_files_of_zstd_sorted_by_ad(engines):
    put_events_of_many_ads(engines.warehouse, 1000, files=3)
    engines.scala("2026-11-20")
    check_lake_files(engines.warehouse, 1000, count=1)


def test_a_day_whose_raw_is_gone_is_not_emptied(engines):
    warehouse = engines.warehouse
    warehouse.put_lines("impressions", [("2026-11-20 12", "a.gz", nasty.impression(1, nasty.NOON))])
    engines.scala("2026-11-20")
    before = everything(warehouse)
    (raw,) = warehouse.folder.glob("data/raw/**/a.gz")
    raw.unlink()
    message = (
        "holds no lines of 2026-11-20, but the lake does: is raw expired\\? Refusing to empty the lake's partitions"
    )
    with pytest.raises(scala.JobError, match=message):
        engines.scala("2026-11-20")
    with pytest.raises(RuntimeError, match=message):
        engines.python("2026-11-20")
    assert everything(warehouse) == before and len(before["impressions"]) == 1


def test_a_table_that_has_no_events_is_refused_in_the_same_words(engines):
    message = (
        "dataless.rejected is no table of events: it has no parameter event.id, event.time, event.required, event.sort"
    )
    with pytest.raises(scala.JobError, match=message):
        engines.scala("2026-11-20", table="rejected")
    with pytest.raises(ValueError, match=message):
        engines.python("2026-11-20", table="rejected")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"day": "2026-02-30"}, "--day is 2026-02-30: it must be a day, YYYY-MM-DD"),
        ({"lookback_days": "-1"}, "--lookback_days is -1: it must be a whole number, 0 or more"),
        ({"compression": "gzip"}, "--compression is gzip: it must be one of zstd, zlib, snappy"),
        ({"file_mb": "0"}, "--file_mb is 0: it must be a whole number, 1 or more"),
        ({"database": None}, "the following arguments are required: --database"),
        ({"sql": None}, "the following arguments are required: --sql"),
    ],
)
def test_bad_arguments_are_refused_in_the_same_words(engines, wrong, message):
    good = {
        "table": "clicks",
        "day": "2026-11-20",
        "database": "d",
        "data_path": "s3://b/data",
        "lookback_days": "3",
        "sql": "s",
    }
    arguments = {name: value for name, value in (good | wrong).items() if value is not None}
    with pytest.raises(scala.JobError, match=message):
        engines.run_scala(**arguments)
    with pytest.raises(Exception, match=message):
        etl.parse_arguments(flags(arguments))


def test_a_script_that_does_not_compile_is_reported_with_its_line(tmp_path):
    script = tmp_path / "wrong.scala"
    script.write_text("object GlueApp {\n  def main(arguments: Array[String]): Unit = nothing\n}\n")
    with pytest.raises(scala.CompileError, match=r"wrong.scala:2: error: not found: value nothing"):
        scala.compile(script, tmp_path / "classes")
    assert list((tmp_path / "classes").iterdir()) == []


GLUE_CONTEXT = """
package com.amazonaws.services.glue {
  class GlueContext(context: org.apache.spark.SparkContext) {
    System.setProperty("tests.glueContext", context.appName)
  }
}
"""


def test_on_glue_the_job_makes_a_glue_context(warehouse, tmp_path, capsys):
    """With a class that stands in for Glue's, which exists on AWS alone."""
    script = tmp_path / "etl.scala"
    job = (ROOT / "glue/scala/etl.scala").read_text(encoding="utf-8")
    script.write_text(job + GLUE_CONTEXT, encoding="utf-8")
    on_glue = scala.compile(script, tmp_path)
    warehouse.spark._jvm.System.clearProperty("tests.glueContext")
    Engines(warehouse, on_glue, capsys).scala("2026-11-20")
    assert warehouse.spark._jvm.System.getProperty("tests.glueContext") == warehouse.spark.sparkContext.appName
