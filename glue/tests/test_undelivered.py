"""The ledger counts what Firehose set aside, and `undelivered.py` moves it back as if it had arrived normally."""

import base64
import gzip
import io
import json
from contextlib import redirect_stdout
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest

import nasty
import undelivered
from erasure import run_erase
from fakes import Catalog, FolderBucket
from raw_errors import milliseconds, record

DAY = "2026-11-20"
GROUPS = {"impressions": "ad", "clicks": "ad"}
ERRORS = f"raw-errors/impressions/processing-failed/year=2026/month=11/day={DAY[8:]}"


def put_errors(warehouse, name: str, content: bytes) -> Path:
    path = warehouse.folder / "data" / ERRORS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def take_back(bucket: FolderBucket, status: int = 0, **options) -> dict:
    """The printed report of a run that ends with the exit status."""
    with redirect_stdout(io.StringIO()) as printed:
        assert undelivered.run(bucket, "b", GROUPS, undelivered.Days(date.fromisoformat(DAY)), **options) == status
    return json.loads(printed.getvalue())


def raw_lines(warehouse) -> list[tuple[str, str]]:
    """Every raw line with its hour of arrival."""
    return sorted(
        (f"{path.parts[-3][4:]} {path.parts[-2][5:]}", line)
        for path in warehouse.folder.glob("data/raw/ad/impressions/**/*.gz")
        for line in gzip.decompress(path.read_bytes()).decode().splitlines()
    )


DELIVERED = [(f"{DAY} 10", "a.gz", nasty.impression(1, f"{DAY} 10:00:00.000"))]
# Acknowledged in time, the first on the last day on which it could be; one is a copy of what arrived.
SET_ASIDE = [
    nasty.impression(2, "2026-11-17 23:59:59.000"),
    nasty.impression(3, f"{DAY} 11:00:00.000"),
    nasty.impression(1, f"{DAY} 10:00:00.000"),
    "not an event",
]
# The beacons acknowledged it two hours after the oldest record of the object, and a moment after it happened.
LATER = nasty.impression(4, f"{DAY} 13:59:59.000")
CONTENT = (
    record(f"{DAY} 11:59:59.900", *SET_ASIDE[:3])
    + record(f"{DAY} 11:59:59", SET_ASIDE[3])
    + record(f"{DAY} 14:00:00", LATER)
)


PACKED = gzip.compress(CONTENT)
# Truncated in its header, its data and its trailer; and with a wrong checksum.
TORN = {"head": PACKED[:5], "data": PACKED[:-20], "end": PACKED[:-3], "sum": PACKED[:-8] + b"sum!" + PACKED[-4:]}


@pytest.fixture(params=["python", "scala"])
def run(request, engines):
    return getattr(engines, request.param)


def test_the_books_are_open_until_what_was_set_aside_is_back(warehouse, run):
    warehouse.put_lines("impressions", DELIVERED)
    put_errors(warehouse, "hour=11/dataless-impressions-1-2026-11-20-16-59-59-0c5a", CONTENT)
    put_errors(warehouse, "hour=12/._torn", b"hidden from every reader")
    (before,) = run(DAY)
    assert (before["raw"], before["undelivered"], before["balanced"]) == (1, 5, False)

    report = take_back(FolderBucket(warehouse.folder), status=1)
    assert report["lines"] == {"impressions": 5, "clicks": 0} and len(report["objects"]) == 2
    assert report["unreadable"] == [f"data/{ERRORS}/hour=12/._torn"]
    assert report["rerun"] == {"from": DAY, "to": DAY}
    (after,) = run(DAY)
    assert after == {
        "table": "impressions", "day": DAY, "raw": 6, "kept": 4, "repeats": 1, "rejected": 1, "late": 0, "stored": 4,
        "undelivered": 0, "balanced": True, "nulled": {},
    }  # fmt: skip
    assert [row[0] for row in warehouse.rows("impressions")] == [nasty.own_id(number) for number in (1, 2, 3, 4)]


def test_records_count_by_line_and_an_unreadable_record_counts_as_one(warehouse, run):
    odd = [
        record(f"{DAY} 11:00:00", rawData=base64.b64encode(b"a\n\nb").decode()),
        record(f"{DAY} 11:00:00", rawData=""),
        record(f"{DAY} 11:00:00", rawData="no base64!"),
        record(f"{DAY} 11:00:00", rawData=None),
        b"\n",
        b'{"attemptsMade": 4}\n',
        b"torn {",
    ]
    put_errors(warehouse, "hour=11/a", b"".join(odd))
    # Names don't tell reliably what is gzip.
    put_errors(
        warehouse,
        "hour=23/b",
        gzip.compress(record(f"{DAY} 23:00:00", "x")) + gzip.compress(record(f"{DAY} 23:00:01", "y")),
    )
    for name, content in TORN.items():
        put_errors(warehouse, f"hour=23/{name}", content)
    (row,) = run(DAY)
    assert row["undelivered"] == 3 + 0 + 1 + 1 + 1 + 1 + 2 + len(TORN)


def test_a_run_that_is_killed_anywhere_loses_and_doubles_nothing(warehouse):
    keys = [f"hour=11/{name}" for name in ("a", "b.gz")]
    wanted = sorted(
        [("20 11", line) for line in SET_ASIDE] + [("20 14", LATER)] + [("20 12", nasty.impression(7, nasty.NOON))]
    )
    rerun = {"from": DAY, "to": DAY}
    for dies_at in range(6):
        warehouse.clear()
        put_errors(warehouse, keys[0], CONTENT)
        put_errors(warehouse, keys[1], gzip.compress(record(nasty.NOON, nasty.impression(7, nasty.NOON))))
        bucket = FolderBucket(warehouse.folder)
        bucket.dies_at = dies_at
        reports = []
        if dies_at < 5:
            with redirect_stdout(io.StringIO()) as printed, pytest.raises(KeyboardInterrupt):
                undelivered.run(bucket, "b", GROUPS, undelivered.Days(date.fromisoformat(DAY)))
            bucket.dies_at = None
            reports = [json.loads(line) for line in printed.getvalue().splitlines()]
        reports.append(take_back(bucket))
        assert reports[0]["rerun"] == rerun
        assert raw_lines(warehouse) == wanted
        assert not [path for path in (warehouse.folder / "data/raw-errors").rglob("*") if path.is_file()]
        # Another run finds nothing and causes no reruns.
        assert take_back(bucket) == {
            "lines": {"impressions": 0, "clicks": 0}, "objects": [], "removed": [], "unreadable": [], "rerun": None,
        }  # fmt: skip
        assert bucket.changes == 5


def test_a_dry_run_changes_nothing(warehouse):
    put_errors(warehouse, "hour=11/a", CONTENT)
    bucket = FolderBucket(warehouse.folder)
    bucket.dies_at = 0
    assert take_back(bucket, dry_run=True)["lines"]["impressions"] == 5


@pytest.mark.parametrize("received", [0, None, "soon", milliseconds("2026-11-23 00:00:00"), 10**30])
def test_a_record_without_a_time_that_can_be_goes_to_the_hour_of_its_object(warehouse, received):
    put_errors(warehouse, "hour=11/a", record(nasty.NOON, "x", arrivalTimestamp=received))
    take_back(FolderBucket(warehouse.folder))
    assert raw_lines(warehouse) == [("20 11", "x")]


def test_a_time_may_be_text_as_in_the_documentation(warehouse):
    put_errors(warehouse, "hour=11/a", record(nasty.NOON, "x", arrivalTimestamp=str(milliseconds(nasty.NOON))))
    take_back(FolderBucket(warehouse.folder))
    assert raw_lines(warehouse) == [("20 12", "x")]


@pytest.mark.parametrize(
    "content", [record(nasty.NOON, "x") + b"torn {", record(nasty.NOON, rawData=7), gzip.compress(CONTENT)[:-9]]
)
def test_an_object_with_a_record_that_cannot_be_read_is_left_alone(warehouse, content):
    path = put_errors(warehouse, "hour=11/a", content)
    put_errors(warehouse, "hour=11/b", record(nasty.NOON, "y"))
    report = take_back(FolderBucket(warehouse.folder), status=1)
    assert report["unreadable"] == [f"data/{ERRORS}/hour=11/a"]
    assert path.read_bytes() == content and raw_lines(warehouse) == [("20 12", "y")]


def test_raw_is_never_written_over(warehouse):
    path = put_errors(warehouse, "hour=11/a", record(nasty.NOON, "x"))
    bucket = FolderBucket(warehouse.folder)
    (key,) = take_back(bucket)["objects"]
    put_errors(warehouse, "hour=11/a", record(nasty.NOON, "another"))
    with pytest.raises(ValueError, match="exists with another content"):
        take_back(bucket)
    assert path.exists() and raw_lines(warehouse) == [("20 12", "x")] and key.endswith(".gz")


# --- which days to run again ---


@pytest.fixture
def folder(tmp_path):
    """A bucket without Spark."""
    return SimpleNamespace(folder=tmp_path)


@pytest.mark.parametrize(
    ("received", "rerun"),
    [
        # The batch adds the days that look into them.
        ([f"{DAY} 11:30:00"], {"from": DAY, "to": DAY}),
        # From the object's day, on which the ledger counts it, to the day of the last hour.
        ([f"{DAY} 11:59:59", "2026-11-21 00:00:00"], {"from": DAY, "to": "2026-11-21"}),
        (["2026-11-21 00:00:00"], {"from": DAY, "to": "2026-11-21"}),
        (["2026-11-19 23:59:59"], {"from": "2026-11-19", "to": DAY}),
    ],
)
def test_the_days_that_lines_went_to_run_again(folder, received, rerun):
    put_errors(folder, "hour=11/a", b"".join(record(moment, "whatever they are") for moment in received))
    assert take_back(FolderBucket(folder.folder))["rerun"] == rerun


def test_clicks_have_days_run_again_too(folder):
    path = folder.folder / "data" / ERRORS.replace("impressions", "clicks") / "hour=11/a"
    path.parent.mkdir(parents=True)
    path.write_bytes(record(f"{DAY} 11:30:00", "x"))
    assert take_back(FolderBucket(folder.folder))["rerun"] == {"from": DAY, "to": DAY}


def test_the_exit_status_is_that_of_the_work(monkeypatch, folder):
    put_errors(folder, "hour=11/a", b"torn {")
    monkeypatch.setattr(
        undelivered.boto3, "client", lambda service: {"s3": FolderBucket(folder.folder), "glue": Catalog()}[service]
    )
    arguments = ["undelivered.py", "--bucket", "b", "--database", "dataless", "--dry_run", "--day"]
    assert [undelivered.main([*arguments, day]) for day in (DAY, "2026-11-21")] == [1, 0]


# --- the erasure ---


def test_an_erasure_reaches_what_was_set_aside_and_has_its_day_run_again(warehouse, dynamodb, capsys):
    warehouse.put_lines("impressions", DELIVERED)
    put_errors(warehouse, "hour=11/a", CONTENT)
    receipt = run_erase(warehouse, capsys, "--event", nasty.own_id(2), "--dry_run", "false")
    assert receipt["places"] == [{"place": "raw", "name": f"{ERRORS}/hour=11/a", "count": 1}]
    # Its ledger counts the line, and later days are stale once it has run again.
    assert receipt["rerun"] == {"from": DAY, "to": "2026-11-24"}
    assert take_back(FolderBucket(warehouse.folder))["lines"]["impressions"] == 4
    assert not [line for _, line in raw_lines(warehouse) if nasty.own_id(2) in line]
