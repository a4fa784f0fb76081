import gzip
import json
import random
import uuid
from collections import Counter
from datetime import date, datetime, timedelta

import expectation
import nasty
import pytest

import etl

# Every day on which a line of the nasty input arrived, or for which the lake gets a row.
NASTY_DAYS = [f"2026-11-{day}" for day in (17, 19, 20, 21, 23, 24)]


def run_etl(
    warehouse, *days: str, table: str = "impressions", lookback_days: int = nasty.LOOKBACK_DAYS, file_mb: int = 64
) -> None:
    for day in days:
        arguments = {
            "table": table,
            "day": day,
            "database": warehouse.database,
            "data_path": warehouse.data_path,
            "lookback_days": str(lookback_days),
            "file_mb": str(file_mb),
        }
        etl.main(["etl.py", *(part for name, value in arguments.items() for part in (f"--{name}", value))])


def ledger(warehouse, table: str = "impressions") -> dict[str, dict[str, int]]:
    names = [name for name, _ in warehouse.schema("ledger")]
    rows = [dict(zip(names, row)) for row in warehouse.rows("ledger")]
    return {
        "-".join((row["year"], row["month"], row["day"])): {name: row[name] for name in names[:8]}
        for row in rows
        if row["table_name"] == table
    }


def everything(warehouse) -> dict[str, list[tuple]]:
    return {table: warehouse.rows(table) for table in ("impressions", "clicks", "rejected", "ledger")}


def labelled_books() -> dict[str, Counter]:
    books: dict[str, Counter] = {}
    for hour, _, _, fate in nasty.LINES:
        books.setdefault(hour[:10], Counter()).update(["raw", fate if fate in nasty.FATES else "rejected"])
    return books


def balanced(row: dict[str, int]) -> bool:
    return row["raw"] == row["kept"] + row["repeats"] + row["rejected"] + row["late"] and (
        row["kept"] == row["stored"] + row["pending"]
    )


FEW_LINES = [
    ("2026-11-20 10", "a.gz", nasty.impression(1, "2026-11-20 10:00:00.000")),
    ("2026-11-20 10", "a.gz", nasty.impression(1, "2026-11-20 10:00:00.000")),
    ("2026-11-20 11", "a.gz", nasty.impression(2, "2026-11-20 11:00:00.000")),
    ("2026-11-20 11", "a.gz", "{"),
]


@pytest.fixture
def nasty_warehouse(warehouse):
    warehouse.put_lines("impressions", nasty.LINES)
    return warehouse


@pytest.fixture
def small_warehouse(warehouse):
    warehouse.put_lines("impressions", FEW_LINES)
    return warehouse


def test_the_nasty_input_ends_where_its_labels_say_however_often_it_runs(nasty_warehouse):
    run_etl(nasty_warehouse, *NASTY_DAYS)
    first = everything(nasty_warehouse)
    # What was pending is stored now; nothing else changes.
    run_etl(nasty_warehouse, *(day for day, row in ledger(nasty_warehouse).items() if row["pending"]))
    second = everything(nasty_warehouse)
    assert second | {"ledger": None} == first | {"ledger": None}

    kept = [json.loads(line) | {"arrived": hour[:10]} for hour, _, line, fate in nasty.LINES if fate == "kept"]
    assert nasty_warehouse.rows("impressions") == sorted(
        (
            (
                event["impression_id"],
                event["ad_id"].lower(),
                datetime.fromisoformat(event["occurred_at"]),
                date.fromisoformat(event["arrived"]),
                *event["occurred_at"][:10].split("-"),
            )
            for event in kept
        ),
        key=repr,
    )
    assert nasty_warehouse.schema("impressions") == [
        ("impression_id", "string"),
        ("ad_id", "string"),
        ("occurred_at", "timestamp"),
        ("arrived_on", "date"),
        ("year", "string"),
        ("month", "string"),
        ("day", "string"),
    ]

    assert nasty_warehouse.rows("rejected") == sorted(
        (
            (
                fate,
                "raw/ad/impressions/year={}/month={}/day={}/hour={}/".format(*hour.replace(" ", "-").split("-")) + name,
                line,
                "impressions",
                *hour[:10].split("-"),
            )
            for hour, name, line, fate in nasty.LINES
            if fate not in nasty.FATES
        ),
        key=repr,
    )

    assert ledger(nasty_warehouse) == {
        day: {name: counts[name] for name in ("raw", "kept", "repeats", "rejected", "late")}
        | {"stored": counts["kept"], "pending": 0, "undelivered": 0}
        for day, counts in labelled_books().items()
    }


def test_the_labels_agree_with_the_definition_in_plain_python():
    assert expectation.books("impressions", nasty.LINES, nasty.LOOKBACK_DAYS) == labelled_books()


@pytest.mark.parametrize("table", ["impressions", "clicks"])
def test_random_events_agree_with_the_definition_in_plain_python(warehouse, table):
    chance = random.Random(table)
    start = datetime(2026, 11, 18)
    lines = []
    for _ in range(500):
        event = {name: f"{chance.randrange(90):08d}-0000-4000-8000-000000000000" for name in expectation.IDS[table]}
        arrived = start + timedelta(days=chance.randrange(2), hours=chance.choice([0, 1, 12, 22, 23]))
        occurred = arrived + timedelta(seconds=chance.choice([-1, 1, 3599]) * chance.randrange(1, 80) - chance.choice([0, 0, 3600, 86400, 3 * 86400]))
        event["occurred_at"] = f"{occurred:%Y-%m-%d %H:%M:%S}.{chance.randrange(1000):03d}"
        line = json.dumps(event)
        lines.append((f"{arrived:%Y-%m-%d %H}", f"{chance.randrange(2)}.gz", line[:-1] if chance.random() < 0.02 else line))
    warehouse.put_lines(table, lines)
    run_etl(warehouse, *(f"2026-11-{day}" for day in range(16, 21)), table=table, lookback_days=2)

    assert warehouse.rows(table) == expectation.lake(table, lines, 2)
    books = expectation.books(table, lines, 2)
    names = ("raw", "kept", "repeats", "rejected", "late")
    assert min(sum(counts[name] for counts in books.values()) for name in names) > 0
    told = ledger(warehouse, table)
    assert {day: {name: row[name] for name in names} for day, row in told.items() if row["raw"]} == {
        day: {name: counts[name] for name in names} for day, counts in books.items()
    }


def test_an_event_that_arrives_days_later_lands_in_its_own_day(warehouse):
    on_time = ("2026-11-20 10", "a.gz", nasty.impression(1, "2026-11-20 10:00:00.000"))
    days_later = ("2026-11-22 10", "a.gz", nasty.impression(2, "2026-11-20 11:00:00.000"))
    warehouse.put_lines("impressions", [on_time])
    run_etl(warehouse, "2026-11-20")
    warehouse.put_lines("impressions", [days_later])
    run_etl(warehouse, "2026-11-22")
    # The lake does not hold the event yet, and the books say so.
    assert ledger(warehouse)["2026-11-22"] == {
        "raw": 1, "kept": 1, "repeats": 0, "rejected": 0, "late": 0, "stored": 0, "pending": 0, "undelivered": 0,
    }  # fmt: skip
    run_etl(warehouse, "2026-11-20", "2026-11-22")
    assert [row[0] for row in warehouse.rows("impressions")] == [nasty.own_id(1), nasty.own_id(2)]
    assert all(balanced(row) for row in ledger(warehouse).values())


def test_an_event_of_tomorrow_is_pending_until_tomorrow_is_written(warehouse):
    warehouse.put_lines("impressions", [("2026-11-20 23", "a.gz", nasty.impression(1, "2026-11-21 00:30:00.000"))])
    run_etl(warehouse, "2026-11-20")
    assert ledger(warehouse)["2026-11-20"] == {
        "raw": 1, "kept": 1, "repeats": 0, "rejected": 0, "late": 0, "stored": 0, "pending": 1, "undelivered": 0,
    }  # fmt: skip


def test_a_day_without_lines_is_an_empty_day(warehouse):
    run_etl(warehouse, "2026-11-20", "2026-11-20")
    assert warehouse.rows("impressions") == []
    assert warehouse.rows("rejected") == []
    assert list(ledger(warehouse).values()) == [
        {"raw": 0, "kept": 0, "repeats": 0, "rejected": 0, "late": 0, "stored": 0, "pending": 0, "undelivered": 0}
    ]


def test_a_day_with_nothing_but_malformed_lines(warehouse):
    warehouse.put_lines("clicks", [("2026-11-20 10", "a.gz", "{"), ("2026-11-20 10", "a.gz", "")])
    run_etl(warehouse, "2026-11-20", table="clicks")
    assert warehouse.rows("clicks") == []
    assert ledger(warehouse, "clicks")["2026-11-20"] == {
        "raw": 2, "kept": 0, "repeats": 0, "rejected": 2, "late": 0, "stored": 0, "pending": 0, "undelivered": 0,
    }  # fmt: skip


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


def orc_folders(warehouse, table: str, day: str) -> list[str]:
    year, month, day = day.split("-")
    folder = warehouse.folder / f"data/lake/ad/{table}/year={year}/month={month}/day={day}"
    return [path.name for path in folder.iterdir()]


def test_the_folder_of_a_partition_holds_its_live_rows_only(small_warehouse):
    run_etl(small_warehouse, "2026-11-20", "2026-11-20")
    assert len(orc_folders(small_warehouse, "impressions", "2026-11-20")) == 1
    files = small_warehouse.spark.read.option("recursiveFileLookup", "true").orc(
        f"{small_warehouse.data_path}/lake/ad/impressions/year=2026/month=11/day=20"
    )
    assert sorted((tuple(row) for row in files.collect()), key=repr) == [
        row[:4] for row in small_warehouse.rows("impressions") if row[6] == "20"
    ]


@pytest.mark.parametrize("dies_at", ["write", "publish"])
def test_a_job_that_dies_half_way_leaves_the_old_partition(small_warehouse, monkeypatch, dies_at):
    run_etl(small_warehouse, "2026-11-20")
    old = everything(small_warehouse)
    small_warehouse.put_lines("impressions", [("2026-11-20 15", "z.gz", nasty.impression(500, "2026-11-20 15:00:00.000"))])

    real = getattr(etl.Partition, dies_at)

    def die(partition, *arguments):
        if partition.table == ("rejected" if dies_at == "write" else "impressions"):
            raise KeyboardInterrupt
        return real(partition, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(etl.Partition, dies_at, die)
        with pytest.raises(KeyboardInterrupt):
            run_etl(small_warehouse, "2026-11-20")
    assert everything(small_warehouse) == old
    assert len(orc_folders(small_warehouse, "impressions", "2026-11-20")) == 2

    run_etl(small_warehouse, "2026-11-20")
    assert len(small_warehouse.rows("impressions")) == len(old["impressions"]) + 1
    assert len(orc_folders(small_warehouse, "impressions", "2026-11-20")) == 1


def test_lines_end_at_newlines_only_and_the_last_needs_none(warehouse):
    first, second = nasty.impression(1, nasty.NOON), nasty.impression(2, nasty.NOON)
    warehouse.put_raw("impressions", "2026-11-20 12", "a.gz", f"{first}\r\n{second}\rrest\n\xff\xfe\n\n{second}".encode("latin-1"))
    run_etl(warehouse, "2026-11-20")
    assert [row[0] for row in warehouse.rows("impressions")] == [nasty.own_id(1), nasty.own_id(2)]
    told = ledger(warehouse)["2026-11-20"]
    assert (told["raw"], told["kept"], told["rejected"]) == (5, 2, 3)


def put_events_of_many_ads(warehouse, events: int, files: int) -> None:
    """Half of the ads share their first 8, 16 or 24 digits with another; half of the events are equal in ad and time, half
    of these in the first 16 digits of their ids.
    """
    chance = random.Random(1)
    ads = [some_id(f"ad {number}") for number in range(50)]
    for number, shared in zip(range(25), [9, 19, 28] * 9):
        ads[number] = ads[number + 25][:shared] + ads[number][shared:]
    lines = []
    for number in range(events):
        second = chance.randrange(14 * 3600) if number % 2 else 0
        occurred_at = f"2026-11-20 {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{number % 2:03}"
        ad = chance.choice(ads) if number % 2 else ads[0]
        lines.append({"impression_id": id_of(number), "ad_id": ad, "occurred_at": occurred_at})
    texts = [json.dumps(line, separators=(",", ":")) for line in lines]
    warehouse.put_lines("impressions", [("2026-11-20 12", f"{number % files}.gz", text) for number, text in enumerate(texts)])


def id_of(number: int) -> str:
    return some_id(f"impression {number}") if number % 4 else nasty.own_id(number)


def some_id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def check_lake_files(warehouse, events: int, count: int) -> None:
    """So many files hold the events; each is in order of ads, and within an ad of time and own id, in groups of 2,500 rows
    and zstd blocks of 64 KiB."""
    files = list(warehouse.folder.glob("data/lake/ad/impressions/**/*.orc"))
    assert len(files) == count and all(file.name.endswith(".zstd.orc") for file in files)
    ids = []
    for file in files:
        rows = warehouse.spark.read.orc(f"file://{file}").coalesce(1).collect()
        keys = [(row.ad_id, row.occurred_at, row.impression_id) for row in rows]
        assert keys == sorted(keys) and len({ad for ad, _, _ in keys}) == 50
        ids += [row.impression_id for row in rows]
        reader = orc_reader(warehouse.spark, file)
        assert (reader.getRowIndexStride(), reader.getCompressionSize()) == (2500, 65536)
    assert sorted(ids) == sorted(id_of(number) for number in range(events))


def orc_reader(spark, file):
    orc, hadoop = spark._jvm.org.apache.orc.OrcFile, spark._jvm.org.apache.hadoop
    return orc.createReader(hadoop.fs.Path(f"file://{file}"), orc.readerOptions(hadoop.conf.Configuration()))


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
        {"table": "views"},
        {"day": "20.11.2026"},
        {"day": "2026-02-30"},
        {"lookback_days": "-1"},
        {"lookback_days": "three"},
        {"compression": "gzip"},
        {"file_mb": "0"},
    ],
)
def test_bad_arguments_are_refused(wrong):
    good = {"table": "clicks", "day": "2026-11-20", "database": "d", "data_path": "s3://b/data", "lookback_days": "3"}
    assert etl.parse_arguments(flags(good)).compression == "zstd"
    with pytest.raises(ValueError):
        etl.parse_arguments(flags(good | wrong))


def flags(arguments: dict[str, str]) -> list[str]:
    return ["etl.py", *(part for name, value in arguments.items() for part in (f"--{name}", value))]
