"""The Scala job against the Python job: the same lines must end as the same rows, whoever ran before."""

import gzip
import json
from pathlib import Path

import nasty
import pytest
from test_etl import check_lake_files, everything, flags, orc_folders, put_events_of_many_ads, run_etl

import scala

SCRIPT = Path(__file__).resolve().parents[1] / "scala" / "etl.scala"


@pytest.fixture(scope="session")
def classes(tmp_path_factory):
    return scala.compile(SCRIPT, tmp_path_factory.mktemp("scala"))


class Engines:
    """Both jobs on one warehouse; each run returns the line that the job printed."""

    def __init__(self, warehouse, classes, capsys):
        self.warehouse, self.classes, self.capsys = warehouse, classes, capsys

    def python(self, *days: str, table: str = "impressions") -> list[dict]:
        run_etl(self.warehouse, *days, table=table)
        return self.printed()

    def scala(self, *days: str, table: str = "impressions", file_mb: int = 64) -> list[dict]:
        for day in days:
            self.run_scala(
                table=table,
                day=day,
                database=self.warehouse.database,
                data_path=self.warehouse.data_path + "/",
                lookback_days=str(nasty.LOOKBACK_DAYS),
                file_mb=str(file_mb),
            )
        return self.printed()

    def run_scala(self, **arguments: str) -> None:
        of_glue = ["--job-language", "scala", "--enable-metrics", "--TempDir", "s3://b/temporary/"]
        scala.run(self.warehouse.spark, self.classes, "GlueApp", [*of_glue, *flags(arguments)[1:]])

    def printed(self) -> list[dict]:
        return [json.loads(line) for line in self.capsys.readouterr().out.splitlines()]


@pytest.fixture
def engines(warehouse, classes, capsys):
    return Engines(warehouse, classes, capsys)


def clicks_of(lines):
    """The nasty impressions as clicks: what was the own id is the click's."""
    for hour, name, line, *_ in lines:
        click = line.replace('"impression_id"', f'"impression_id": "{nasty.own_id(7)}", "click_id"', 1)
        yield hour, name, click


def test_the_nasty_input_ends_the_same_whichever_engine_runs_and_ran_before(engines):
    warehouse = engines.warehouse
    warehouse.put_lines("impressions", nasty.LINES)
    books = engines.scala("2026-11-20")
    rows = everything(warehouse)
    assert [book["day"] for book in books] == ["2026-11-20"] and min(map(len, (rows["impressions"], rows["rejected"]))) > 10
    for again in (engines.scala, engines.python, engines.python, engines.scala):
        assert again("2026-11-20") == books
        assert everything(warehouse) == rows


def test_clicks_other_days_and_an_empty_day_end_the_same(engines):
    warehouse = engines.warehouse
    warehouse.put_lines("clicks", clicks_of(nasty.LINES))
    days = ("2026-11-20", "2026-11-21", "2026-11-27")
    books = engines.scala(*days, table="clicks")
    rows = everything(warehouse)
    assert books[-1]["raw"] == 0 and books[0]["kept"] > 10
    warehouse.clear()
    warehouse.put_lines("clicks", clicks_of(nasty.LINES))
    assert engines.python(*days, table="clicks") == books
    assert everything(warehouse) == rows


def test_a_scala_job_that_dies_between_its_writes_leaves_the_old_partition(engines):
    warehouse = engines.warehouse
    warehouse.put_lines("impressions", [("2026-11-20 10", "a.gz", nasty.impression(1, "2026-11-20 10:00:00.000"))])
    engines.scala("2026-11-20")
    old = everything(warehouse)
    warehouse.put_lines("impressions", [("2026-11-20 11", "a.gz", nasty.impression(2, "2026-11-20 11:00:00.000"))])

    in_the_way = warehouse.folder / "data/rejected/table_name=impressions/year=2026/month=11/day=20"
    aside = in_the_way.rename(in_the_way.with_name("aside"))
    in_the_way.touch()
    with pytest.raises(scala.JobError, match="day=20"):
        engines.scala("2026-11-20")
    in_the_way.unlink()
    aside.rename(in_the_way)
    assert everything(warehouse) == old
    assert len(orc_folders(warehouse, "impressions", "2026-11-20")) == 2

    engines.scala("2026-11-20")
    assert len(warehouse.rows("impressions")) == 2
    assert len(orc_folders(warehouse, "impressions", "2026-11-20")) == 1


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


def nearly_plain_lines(event: dict[str, str]) -> list[str]:
    """The event as the beacons write it, and so but for one byte, for each of its bytes, or for its time."""
    good = json.dumps(event, separators=(",", ":"))
    times = ["2026-11-20 13:59:59.999", "2026-11-20 14:00:00.000", "2026-02-30 10:00:00.000", "2026-11-20 24:00:00.000"]
    times += ["2026-11-20 10:60:00.000", "2026-13-01 00:00:00.000", "2026-11-20 23:59:60.000", "1026-11-20 12:00:00.000"]
    changed = [good[:place] + other + good[place + 1 :] for place in range(len(good)) for other in '0gF/:"\x7fé']
    return [good, good + " ", good[:-1], *(good.replace(event["occurred_at"], time) for time in times), *changed]


def test_odd_files_and_lines_that_are_nearly_plain_are_read_the_same(engines):
    """Scala tells plain lines byte by byte, and takes files apart itself."""
    for number, (name, content) in enumerate(odd_files().items()):
        folder = engines.warehouse.folder / f"data/raw/ad/impressions/year=2026/month=11/day=20/hour={12 + number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    impression = {"impression_id": nasty.own_id(5), "ad_id": nasty.AD, "occurred_at": nasty.NOON}
    lines = nearly_plain_lines(impression)
    engines.warehouse.put_lines("impressions", [("2026-11-20 12", "nearly.gz", line) for line in lines])
    books = engines.scala("2026-11-20")
    rows = everything(engines.warehouse)
    assert books[0]["raw"] == 12 + len(lines) and books[0]["balanced"] and books[0]["rejected"] > len(lines) / 2
    assert [row[0] for row in rows["impressions"] if row[0] <= nasty.own_id(5)][-5:] == [nasty.own_id(n) for n in range(1, 6)]
    assert engines.python("2026-11-20") == books
    assert everything(engines.warehouse) == rows


def test_clicks_that_are_nearly_plain_are_read_the_same(engines):
    click = {"click_id": nasty.own_id(2), "impression_id": nasty.own_id(1), "ad_id": nasty.AD, "occurred_at": nasty.NOON}
    lines = nearly_plain_lines(click)
    engines.warehouse.put_lines("clicks", [("2026-11-20 12", "a.gz", line) for line in lines])
    books = engines.scala("2026-11-20", table="clicks")
    rows = everything(engines.warehouse)
    assert books[0]["raw"] == len(lines) and books[0]["balanced"] and books[0]["rejected"] > len(lines) / 2
    assert engines.python("2026-11-20", table="clicks") == books
    assert everything(engines.warehouse) == rows


def test_a_torn_file_is_named(engines):
    engines.warehouse.put_lines("impressions", nasty.LINES)
    folder = engines.warehouse.folder / "data/raw/ad/impressions/year=2026/month=11/day=20/hour=12"
    (folder / "torn.gz").write_bytes((folder / "a.gz").read_bytes()[:-20])
    with pytest.raises(scala.JobError, match="torn.gz"):
        engines.scala("2026-11-20")


def test_scala_writes_a_large_day_as_several_files_each_sorted_by_ad(engines):
    put_events_of_many_ads(engines.warehouse, 100_000, files=3)
    engines.scala("2026-11-20", file_mb=1)
    check_lake_files(engines.warehouse, 100_000, count=2)


def test_scala_refuses_to_empty_a_day_whose_raw_is_gone(engines):
    warehouse = engines.warehouse
    warehouse.insert(
        "impressions",
        [{"impression_id": nasty.own_id(1), "ad_id": nasty.AD, "occurred_at": nasty.NOON, "arrived_on": "2026-11-20",
          "year": "2026", "month": "11", "day": "20"}],
    )  # fmt: skip
    with pytest.raises(scala.JobError, match="Refusing"):
        engines.scala("2026-11-20")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"table": "views"}, "--table is views: it must be one of impressions, clicks"),
        ({"day": "2026-02-30"}, "--day is 2026-02-30: it must be a day, YYYY-MM-DD"),
        ({"lookback_days": "-1"}, "--lookback_days is -1: it must be a whole number, 0 or more"),
        ({"compression": "gzip"}, "--compression is gzip: it must be one of zstd, zlib, snappy"),
        ({"file_mb": "0"}, "--file_mb is 0: it must be a whole number, 1 or more"),
        ({"database": None}, "the following arguments are required: --database"),
    ],
)
def test_bad_arguments_are_refused_in_the_same_words(engines, wrong, message):
    good = {"table": "clicks", "day": "2026-11-20", "database": "d", "data_path": "s3://b/data", "lookback_days": "3"}
    arguments = {name: value for name, value in (good | wrong).items() if value is not None}
    with pytest.raises(scala.JobError, match=message):
        engines.run_scala(**arguments)
    import etl

    with pytest.raises(Exception, match=message):
        etl.parse_arguments(flags(arguments))


def test_a_script_that_does_not_compile_is_told_with_its_line(tmp_path):
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
    script.write_text(SCRIPT.read_text(encoding="utf-8") + GLUE_CONTEXT, encoding="utf-8")
    on_glue = scala.compile(script, tmp_path)
    warehouse.spark._jvm.System.clearProperty("tests.glueContext")
    Engines(warehouse, on_glue, capsys).scala("2026-11-20")
    assert warehouse.spark._jvm.System.getProperty("tests.glueContext") == warehouse.spark.sparkContext.appName
