import gzip
from collections import Counter

import pytest

import etl
import expectation
import lake.files
import nasty
from etl_runs import (
    BOOKS,
    NASTY_DAYS,
    check_lake_files,
    everything,
    expected_ledger,
    expected_rejected,
    flags,
    ledger,
    partitions,
    put,
    put_events_of_many_ads,
    random_lines,
    rejected_bytes,
    run_etl,
    run_folders,
)
from lake.partition import ArrivalDay, Partition


def labelled_books() -> dict[str, Counter]:
    books: dict[str, Counter] = {}
    for hour, _, _, fate in nasty.LINES:
        books.setdefault(hour[:10], Counter()).update(["raw", fate if fate in nasty.FATES else "rejected"])
    return books


FEW_LINES = [
    ("2026-11-20 10", "a.gz", nasty.impression(1, "2026-11-20 10:00:00.000")),
    ("2026-11-20 10", "a.gz", nasty.impression(1, "2026-11-20 10:00:00.000")),
    ("2026-11-20 11", "a.gz", nasty.impression(2, "2026-11-20 11:00:00.000")),
    ("2026-11-20 11", "a.gz", "{"),
]


@pytest.fixture
def nasty_warehouse(warehouse):
    put(warehouse, "impressions", nasty.LINES)
    return warehouse


@pytest.fixture
def small_warehouse(warehouse):
    warehouse.put_lines("impressions", FEW_LINES)
    return warehouse


def test_the_nasty_input_ends_where_its_labels_say_however_often_it_runs(nasty_warehouse):
    run_etl(nasty_warehouse, *NASTY_DAYS)
    first = everything(nasty_warehouse)
    assert ledger(nasty_warehouse) == expected_ledger(labelled_books())
    assert nasty_warehouse.rows("impressions") == expectation.lake(
        expectation.IMPRESSIONS, nasty.LINES, nasty.LOOKBACK_DAYS
    )
    assert rejected_bytes(nasty_warehouse) == expected_rejected(expectation.IMPRESSIONS, nasty.LINES)
    run_etl(nasty_warehouse, *NASTY_DAYS)
    assert everything(nasty_warehouse) == first


def test_objects_have_their_true_names(warehouse):
    lines = [*nasty.ODD_NAMES, ("2026-11-20 12", "a b+c%20d.gz", "{", "malformed")]
    put(warehouse, "impressions", lines)
    run_etl(warehouse, "2026-11-20")
    assert warehouse.rows("impressions") == expectation.lake(expectation.IMPRESSIONS, lines, nasty.LOOKBACK_DAYS)
    assert [row[1].split("/")[-1] for row in warehouse.rows("rejected")] == ["a b+c%20d.gz"]
    # The lake does not show which of two equal events is kept, so the first one gets another ad.
    marked = [
        (hour, name, line.replace(nasty.AD, nasty.OTHER_AD) if fate == "kept" else line, fate)
        for hour, name, line, fate in nasty.ODD_NAMES
    ]
    warehouse.clear()
    put(warehouse, "impressions", marked)
    run_etl(warehouse, "2026-11-20")
    assert {row[1] for row in warehouse.rows("impressions")} == {nasty.OTHER_AD}


@pytest.mark.parametrize("table", [expectation.IMPRESSIONS, expectation.CLICKS], ids=lambda table: table["name"])
@pytest.mark.parametrize("days", [2, 5])
def test_random_events_agree_with_the_definition_in_plain_python(warehouse, table, days):
    lines = random_lines(table, f"{table['name']} {days}", days)
    put(warehouse, table["name"], lines)
    run_etl(warehouse, *(f"2026-11-{18 + day}" for day in range(days)), table=table["name"], lookback_days=2)

    assert warehouse.rows(table["name"]) == expectation.lake(table, lines, 2)
    books = expectation.books(table, lines, 2)
    assert min(sum(counts[name] for counts in books.values()) for name in ("kept", "repeats", "rejected", "late")) > 0
    assert ledger(warehouse, table["name"]) == expected_ledger(books)


def test_an_event_that_arrives_days_later_lands_in_its_own_day(warehouse):
    on_time = ("2026-11-20 10", "a.gz", nasty.impression(1, "2026-11-20 10:00:00.000"))
    days_later = ("2026-11-22 10", "a.gz", nasty.impression(2, "2026-11-20 11:00:00.000"))
    warehouse.put_lines("impressions", [on_time])
    run_etl(warehouse, "2026-11-20")
    warehouse.put_lines("impressions", [days_later])
    run_etl(warehouse, "2026-11-22")
    assert [row[0] for row in warehouse.rows("impressions")] == [nasty.own_id(1), nasty.own_id(2)]
    assert {row[4:] for row in warehouse.rows("impressions")} == {
        ("2026", "11", "20", "2026-11-20"), ("2026", "11", "20", "2026-11-22"),
    }  # fmt: skip


def test_an_event_of_tomorrow_lands_in_tomorrow(warehouse):
    warehouse.put_lines("impressions", [("2026-11-20 23", "a.gz", nasty.impression(1, "2026-11-21 00:30:00.000"))])
    run_etl(warehouse, "2026-11-20")
    assert [row[4:] for row in warehouse.rows("impressions")] == [("2026", "11", "21", "2026-11-20")]


def test_a_day_without_lines_is_an_empty_day(warehouse):
    run_etl(warehouse, "2026-11-20", "2026-11-20")
    assert warehouse.rows("impressions") == []
    assert warehouse.rows("rejected") == []
    assert list(ledger(warehouse).values()) == [dict.fromkeys(BOOKS, 0)]


def test_a_day_with_nothing_but_malformed_lines(warehouse):
    warehouse.put_lines("clicks", [("2026-11-20 10", "a.gz", "{"), ("2026-11-20 10", "a.gz", "")])
    run_etl(warehouse, "2026-11-20", table="clicks")
    assert warehouse.rows("clicks") == []
    assert ledger(warehouse, "clicks")["2026-11-20"] == dict.fromkeys(BOOKS, 0) | {"raw": 2, "rejected": 2}


def test_a_rerun_takes_out_event_days_that_it_has_no_rows_of_any_more(warehouse):
    lines = [
        ("2026-11-20 10", f"{day}.gz", nasty.impression(day, f"2026-11-{day} 09:00:00.000")) for day in (18, 19, 20)
    ]
    warehouse.put_lines("impressions", lines)
    run_etl(warehouse, "2026-11-20")
    assert len(partitions(warehouse)) == 3
    (raw,) = warehouse.folder.glob("data/raw/**/19.gz")
    raw.unlink()
    run_etl(warehouse, "2026-11-20")
    assert partitions(warehouse) == [f"year=2026/month=11/day={day}/arrived=2026-11-20" for day in (18, 20)]
    assert [row[0] for row in warehouse.rows("impressions")] == [nasty.own_id(18), nasty.own_id(20)]
    assert len(run_folders(warehouse)) == 1


def test_a_day_whose_raw_is_gone_is_not_emptied(small_warehouse):
    run_etl(small_warehouse, "2026-11-20")
    before = small_warehouse.rows("impressions")
    for file in small_warehouse.folder.glob("data/raw/**/hour=*/*"):
        file.unlink()
    for folder in small_warehouse.folder.glob("data/raw/**/hour=*"):
        folder.rmdir()
    with pytest.raises(RuntimeError, match="Refusing"):
        run_etl(small_warehouse, "2026-11-20")
    assert small_warehouse.rows("impressions") == before != []


def test_only_the_live_files_are_left(small_warehouse):
    run_etl(small_warehouse, "2026-11-20", "2026-11-20")
    assert len(run_folders(small_warehouse)) == 1
    files = small_warehouse.spark.read.option("recursiveFileLookup", "true").orc(
        f"{small_warehouse.data_path}/lake/ad/impressions/arrived=2026-11-20"
    )
    names = ["impression_id", "ad_id", "occurred_at", "arrived_at"]
    assert sorted((tuple(row) for row in files.select(names).collect()), key=repr) == [
        row[:4] for row in small_warehouse.rows("impressions")
    ]


STEPS = [
    (lake.files, "read_text"), (etl.Day, "write"), (Partition, "drop"), (ArrivalDay, "publish"), (Partition, "point_at"),
    (lake.files, "touch"), (Partition, "write"), (Partition, "publish"), (lake.files, "delete"),
]  # fmt: skip


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("owner, step", STEPS, ids=lambda part: part if isinstance(part, str) else "")
def test_a_job_that_dies_at_any_step_is_repaired_by_the_next(small_warehouse, monkeypatch, owner, step, after):
    run_etl(small_warehouse, "2026-11-20")
    old = everything(small_warehouse)
    small_warehouse.put_lines("impressions", [
        ("2026-11-20 15", "z.gz", nasty.impression(500, "2026-11-20 15:00:00.000")),
        ("2026-11-20 15", "z.gz", nasty.impression(501, "2026-11-19 15:00:00.000")),
    ])  # fmt: skip
    real = getattr(owner, step)

    def die(*arguments):
        if after:
            real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, die)
        with pytest.raises(KeyboardInterrupt):
            run_etl(small_warehouse, "2026-11-20")
    torn = everything(small_warehouse)
    # Each partition is in its old or its new state, and a ledger row never describes a mixed day.
    assert {row[0] for row in torn["impressions"]} >= {row[0] for row in old["impressions"]}
    if torn["ledger"] == old["ledger"]:
        assert torn["impressions"] == old["impressions"]

    run_etl(small_warehouse, "2026-11-20")
    assert len(small_warehouse.rows("impressions")) == len(old["impressions"]) + 2
    row = ledger(small_warehouse)["2026-11-20"]
    assert row["kept"] == row["stored"] == 4


def test_lines_end_at_newlines_only_and_the_last_needs_none(warehouse):
    first, second = nasty.impression(1, nasty.NOON), nasty.impression(2, nasty.NOON)
    warehouse.put_raw(
        "impressions", "2026-11-20 12", "a.gz", f"{first}\r\n{second}\rrest\n\xff\xfe\n\n{second}".encode("latin-1")
    )
    run_etl(warehouse, "2026-11-20")
    assert [row[0] for row in warehouse.rows("impressions")] == [nasty.own_id(1), nasty.own_id(2)]
    books = ledger(warehouse)["2026-11-20"]
    assert (books["raw"], books["kept"], books["rejected"]) == (5, 2, 3)


def test_lake_files_are_zstd_and_sorted_by_ad(warehouse):
    put_events_of_many_ads(warehouse, 1000, files=3)
    run_etl(warehouse, "2026-11-20")
    check_lake_files(warehouse, 1000, count=1)


def test_a_large_day_is_several_files_each_sorted_by_ad(warehouse):
    put_events_of_many_ads(warehouse, 100_000, files=3)
    run_etl(warehouse, "2026-11-20", file_mb=1)
    check_lake_files(warehouse, 100_000, count=2)


def test_raw_is_never_written(small_warehouse):
    def raw():
        return {path: gzip.decompress(path.read_bytes()) for path in small_warehouse.folder.glob("data/raw/**/*.gz")}

    before = raw()
    run_etl(small_warehouse, "2026-11-20")
    assert raw() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"day": "20.11.2026"},
        {"day": "2026-02-30"},
        {"lookback_days": "-1"},
        {"lookback_days": "three"},
        {"compression": "gzip"},
        {"file_mb": "0"},
    ],
)
def test_bad_arguments_are_refused(wrong):
    good = {
        "table": "clicks",
        "day": "2026-11-20",
        "database": "d",
        "data_path": "s3://b/data",
        "lookback_days": "3",
        "sql": "s",
    }
    assert etl.parse_arguments(flags(good)).compression == "zstd"
    with pytest.raises(ValueError):
        etl.parse_arguments(flags(good | wrong))
