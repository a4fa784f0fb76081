"""An erasure in a warehouse: raw, the lake, what is derived of it, and DynamoDB."""

import gzip
import hashlib
import json
import shutil
from datetime import date

import pytest

import erase
import load_ad_traffic
import nasty
from erasure import ARRIVED_PATH, DAY, DAY_KEYS, DAY_PATH, ID, impression, kill, places, run_erase
from etl_runs import everything, ledger, run_etl
from lake import objects

OTHER_AD = nasty.OTHER_AD
NEXT_DAY = "2026-11-21"
NOTED = impression(nasty.own_id(2), OTHER_AD, note="für Ödön 🦀 \u2028")


@pytest.fixture(autouse=True)
def yesterday(monkeypatch):
    monkeypatch.setattr(erase, "yesterday", lambda: date(2026, 11, 23))


def click(number: int, impression_id: str, ad_id: str) -> str:
    fields = {"click_id": nasty.own_id(number), "impression_id": impression_id, "ad_id": ad_id}
    return json.dumps(fields | {"occurred_at": f"{DAY} 10:00:01.000"})


def put_impressions(warehouse) -> None:
    """Three of the ad, one of which is also there twice and torn, and two of another ad; one arrives a day later."""
    warehouse.put_lines(
        "impressions",
        [
            (f"{DAY} 10", "a.gz", impression(ID, nasty.AD)),
            (f"{DAY} 10", "a.gz", NOTED),
            (f"{DAY} 10", "a.gz", impression(ID.upper(), nasty.AD)),
            (f"{DAY} 10", "a.gz", impression(ID.upper(), nasty.AD)[:-1]),
            (f"{DAY} 10", "b.gz", impression(nasty.own_id(4), OTHER_AD)),
            (f"{NEXT_DAY} 09", "c.gz", impression(nasty.own_id(3), nasty.AD)),
        ],
    )


def put_clicks(warehouse) -> None:
    """One of the impression, one of another ad."""
    lines = [click(101, ID, nasty.AD), click(102, nasty.own_id(2), OTHER_AD)]
    warehouse.put_lines("clicks", [(f"{DAY} 10", "a.gz", line) for line in lines])


def derive(warehouse) -> None:
    """What the later jobs derived from the impressions: rows, and a manifest of what was loaded."""
    shown = ((ID, nasty.AD), (nasty.own_id(2), OTHER_AD), (nasty.own_id(3), nasty.AD), (nasty.own_id(4), OTHER_AD))
    rows = [
        {"ad_id": ad, "impression_id": one, "impression_at": f"{DAY} 10:00:00", "click_at": None} | DAY_KEYS
        for one, ad in shown
    ]
    warehouse.insert("advertising", rows)
    traffic = [{"ad_id": ad, "impressions": 2, "clicks": 1} | DAY_KEYS for ad in (nasty.AD, OTHER_AD)]
    warehouse.insert("ad_traffic", traffic)
    manifests = load_ad_traffic.manifest_folder(warehouse.data_path, "id-of-the-table", DAY)
    manifest = load_ad_traffic.new_manifest(manifests)
    items = [(nasty.AD, 2, 1), (OTHER_AD, 2, 1)]
    warehouse.spark.createDataFrame(items, load_ad_traffic.ITEMS_SCHEMA).write.orc(manifest)
    load_ad_traffic.mark_loaded(warehouse.spark, manifest)


def digest(folder) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def raw_impressions(warehouse) -> dict[str, list[str]]:
    """The lines of each object."""
    files = warehouse.folder.glob("data/raw/ad/impressions/**/*.gz")
    return {path.name: gzip.decompress(path.read_bytes()).decode().split("\n")[:-1] for path in files}


def test_a_dry_run_reports_what_would_go_and_changes_nothing(warehouse, dynamodb, capsys):
    put_impressions(warehouse)
    put_clicks(warehouse)
    for table in ("impressions", "clicks"):
        run_etl(warehouse, DAY, table=table)
    derive(warehouse)
    before = digest(warehouse.folder)
    planned = run_erase(warehouse, capsys, "--event", ID.upper())
    assert digest(warehouse.folder) == before
    assert planned | {"places": []} == {
        "kind": "event", "dry_run": True, "places": [], "versions": None,
        "rerun": {"from": DAY, "to": "2026-11-23"}, "batch_only": [],
    }  # fmt: skip
    assert places(planned) == {
        ("raw", f"raw/ad/impressions/{DAY_PATH}/hour=10/a.gz", 3),
        ("raw", f"raw/ad/clicks/{DAY_PATH}/hour=10/a.gz", 1),
        ("impressions", ARRIVED_PATH, 1),
        ("clicks", ARRIVED_PATH, 1),
        ("advertising", DAY_PATH, 1),
        ("rejected", f"table_name=impressions/{DAY_PATH}", 1),
    }


def erase_an_event_and_be_killed_twice(warehouse, capsys, monkeypatch) -> dict:
    """Runs the job until it ends; returns the last receipt."""
    for step in ("rewrite_objects", "delete_journal"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(erase, step, kill)
            run_erase(warehouse, capsys, "--event", ID, "--dry_run", "false")
    return run_erase(warehouse, capsys, "--event", ID, "--dry_run", "false")


def without_the_event(rows: dict[str, list[tuple]]) -> dict[str, list[tuple]]:
    return {
        table: found if table == "ledger" else [row for row in found if ID not in str(row).lower()]
        for table, found in rows.items()
    }


@pytest.fixture
def full_warehouse(warehouse):
    put_impressions(warehouse)
    put_clicks(warehouse)
    for table in ("impressions", "clicks"):
        run_etl(warehouse, DAY, NEXT_DAY, table=table)
    derive(warehouse)
    return warehouse


def test_an_event_is_erased_everywhere_and_everything_else_stays_however_often_the_job_is_killed(
    full_warehouse, dynamodb, capsys, monkeypatch
):
    warehouse = full_warehouse
    before, untouched = digest(warehouse.folder), everything(warehouse)
    last = erase_an_event_and_be_killed_twice(warehouse, capsys, monkeypatch)
    assert (last["places"], last["rerun"]) == ([], {"from": DAY, "to": "2026-11-23"})
    raw = raw_impressions(warehouse)
    assert {name: len(lines) for name, lines in raw.items()} == {"a.gz": 1, "b.gz": 1, "c.gz": 1}
    assert raw["a.gz"] == [NOTED]
    after = digest(warehouse.folder)
    neighbours = [name for name in before if name.endswith(("b.gz", "c.gz")) or "loaded" in name or "ledger" in name]
    assert len(neighbours) > 6 and all(after[name] == before[name] for name in neighbours)
    assert everything(warehouse) == without_the_event(untouched)
    assert len(warehouse.rows("advertising")) == 3


def test_the_books_are_right_once_the_days_of_the_receipt_ran_again(full_warehouse, dynamodb, capsys, monkeypatch):
    erased = without_the_event(everything(full_warehouse))
    erase_an_event_and_be_killed_twice(full_warehouse, capsys, monkeypatch)
    run_etl(full_warehouse, DAY, NEXT_DAY)
    assert ledger(full_warehouse)[DAY] == {
        "raw": 2, "kept": 2, "repeats": 0, "rejected": 0, "late": 0, "stored": 2, "undelivered": 0,
    }  # fmt: skip
    assert everything(full_warehouse) | {"ledger": None} == erased | {"ledger": None}


def test_an_ad_is_erased_with_its_items_and_manifests(warehouse, dynamodb, capsys):
    put_impressions(warehouse)
    run_etl(warehouse, DAY, NEXT_DAY)
    derive(warehouse)
    # DynamoDB has one more day than the lake.
    dynamodb.items = {(nasty.AD, DAY), (OTHER_AD, DAY), (nasty.AD, "2026-11-19")}
    receipt = run_erase(warehouse, capsys, "--ad", nasty.AD, "--dry_run", "false")
    (run,) = (place["name"] for place in receipt["places"] if place["place"] == "loaded")
    assert run.startswith("ad_traffic/id-of-the-table/")
    assert places(receipt) == {
        ("dynamodb", "2026-11-19", 1),
        ("dynamodb", DAY, 1),
        ("loaded", run, 1),
        ("raw", f"raw/ad/impressions/{DAY_PATH}/hour=10/a.gz", 3),
        ("raw", "raw/ad/impressions/year=2026/month=11/day=21/hour=09/c.gz", 1),
        ("impressions", ARRIVED_PATH, 1),
        ("impressions", f"{DAY_PATH}/arrived={NEXT_DAY}", 1),
        ("rejected", f"table_name=impressions/{DAY_PATH}", 1),
        ("advertising", DAY_PATH, 2),
        ("ad_traffic", DAY_PATH, 1),
    }
    assert (receipt["rerun"], receipt["batch_only"]) == ({"from": DAY, "to": "2026-11-23"}, [])
    assert dynamodb.items == {(OTHER_AD, DAY)}
    assert [row[:3] for row in warehouse.rows("ad_traffic")] == [(OTHER_AD, 2, 1)]
    assert [row[1] for row in warehouse.rows("advertising")] == [nasty.own_id(2), nasty.own_id(4)]
    (left,) = (warehouse.folder / "data/loaded/ad_traffic/id-of-the-table" / DAY_PATH).iterdir()
    assert load_ad_traffic.is_loaded(warehouse.spark, f"file://{left}")
    loaded = load_ad_traffic.read_manifests(warehouse.spark, [f"file://{left}"]).collect()
    assert [tuple(row) for row in loaded] == [(OTHER_AD, 2, 1)]
    assert not list(warehouse.folder.glob("data/erasing/*.json"))


def test_an_ad_whose_impressions_arrived_later_has_only_the_batch_of_its_event_day_run_again(
    warehouse, dynamodb, capsys
):
    warehouse.put_lines("impressions", [(f"{NEXT_DAY} 09", "c.gz", impression(nasty.own_id(3), nasty.AD))])
    run_etl(warehouse, NEXT_DAY)
    receipt = run_erase(warehouse, capsys, "--ad", nasty.AD, "--dry_run", "false")
    assert (receipt["rerun"], receipt["batch_only"]) == ({"from": NEXT_DAY, "to": "2026-11-23"}, [DAY])


def test_with_raw_gone_the_lake_is_erased_and_only_the_batch_can_run_again(warehouse, dynamodb, capsys):
    warehouse.put_lines("clicks", [(f"{DAY} 10", "a.gz", click(102, nasty.own_id(2), OTHER_AD))])
    run_etl(warehouse, DAY, table="clicks")
    shutil.rmtree(warehouse.folder / "data/raw")
    receipt = run_erase(warehouse, capsys, "--event", nasty.own_id(102), "--dry_run", "false")
    assert places(receipt) == {("clicks", ARRIVED_PATH, 1)}
    assert (receipt["rerun"], receipt["batch_only"]) == (None, [DAY])
    assert warehouse.rows("clicks") == []


def test_a_day_is_complete_when_no_raw_has_expired_since_the_day_before_it(warehouse):
    keys = {"table_name": "impressions", "year": "2026", "month": "11"}
    warehouse.insert("ledger", [{"raw": 1, **keys, "day": day} for day in ("20", "21")])
    arrived = {date(2026, 11, day) for day in (20, 21, 22)}
    raw = [objects.Object(f"raw/ad/clicks/year=2026/month=11/day={day}/hour=10/a") for day in (21, 22)]
    assert erase.complete_days(warehouse.spark, warehouse.database, arrived, raw) == {date(2026, 11, 22)}
