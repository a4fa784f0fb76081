import base64
import gzip
import hashlib
import json
import shutil
from datetime import date

import pytest

import erase
import load_ad_traffic
import nasty
from erasure import (
    ARGUMENTS,
    ARRIVED_PATH,
    DAY,
    DAY_KEYS,
    DAY_PATH,
    HIT,
    ID,
    OTHER,
    impression,
    kill,
    places,
    run_erase,
)
from etl_runs import everything, ledger, run_etl
from fakes import VersionedBucket
from lake import ads, lines, objects
from lake.table import event_tables

# --- lines ---


@pytest.mark.parametrize(
    "line",
    [
        ID,
        ID.upper(),
        "aBcDeF00-0000-4000-8000-00000000000A",
        r"\u0061bcdef00\u002D0000-4000-8000-0000000000\u0030a",
        r"\u0041bcdef00\u002d0000-4000-8000-00000000000A",
        "torn {" + ID + " für Ödön 🦀",
    ],
)
def test_a_line_holds_the_id_in_any_letter_case_with_escapes_or_without(line):
    assert lines.id_finder(ID)(line.encode())


@pytest.mark.parametrize("line", ["", ID[:-1], ID[:-1] + "b", ID.replace("-", ""), r"\u0062bcdef00" + ID[8:], "\\u"])
def test_a_line_without_the_id_does_not_hold_it(line):
    assert not lines.id_finder(ID)(line.encode())


def error_line(*events: bytes) -> bytes:
    record = {
        "attemptsMade": 4,
        "errorCode": "Lambda.FunctionError",
        "rawData": base64.b64encode(b"".join(events)).decode(),
    }
    return json.dumps(record).encode() + b"\n"


def test_an_error_line_loses_the_events_that_hold_the_id():
    holds, event, other = lines.id_finder(ID), impression(ID, nasty.AD).encode() + b"\n", b"\xff other \xc3\xbc\n"
    assert lines.strip_error(error_line(other), holds) == (error_line(other), 0)
    assert lines.strip_error(error_line(event, other, event), holds) == (error_line(other), 2)
    assert lines.strip_error(error_line(event), holds) == (b"", 1)
    assert lines.strip_error(b"torn " + event, holds) == (b"", 1)
    assert lines.strip_error(b'{"rawData": 7}\n', holds) == (b'{"rawData": 7}\n', 0)


NEIGHBOURS = [
    b"\xff\xfe no text\r\n",
    "für Ödön 🦀\u2028\n".encode(),
    b"\n",
    b'{"a":1}\r\n',
    b"the last has no newline",
]


@pytest.mark.parametrize("pack", [gzip.compress, bytes], ids=["gzip", "plain"])
def test_a_rewritten_object_keeps_its_other_lines_byte_for_byte(tmp_path, pack):
    store, item = objects.FolderStore(str(tmp_path)), objects.Object("raw/a")
    (tmp_path / "raw").mkdir()
    hit = impression(ID.upper(), nasty.AD).encode() + b"\n"
    (tmp_path / "raw/a").write_bytes(pack(hit + NEIGHBOURS[0] + hit + b"".join(NEIGHBOURS[1:])))
    # A run was killed before it could replace the object.
    (tmp_path / "raw/.erasing-0cc175b9c0f1b6a831c399e269772661").write_bytes(b"half of")

    assert list(store.objects("raw/")) == [item]
    lines.rewrite_object(store, item, lines.id_finder(ID))
    stored = (tmp_path / "raw/a").read_bytes()
    assert (gzip.decompress(stored) if pack is gzip.compress else stored) == b"".join(NEIGHBOURS)
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["a"]
    lines.rewrite_object(store, item, lines.id_finder(ID))
    assert (tmp_path / "raw/a").read_bytes() == stored


@pytest.mark.parametrize("name", ["feature%2Fx", "c#", "what?", "two words", "für"])
def test_the_store_of_a_folder_is_that_folder_whatever_its_name(tmp_path, name):
    (tmp_path / name / "data/raw").mkdir(parents=True)
    (tmp_path / name / "data/raw/a").write_bytes(b"{}\n")
    store = erase.open_store(f"file://{tmp_path}/{name}/data")
    assert [item.key for item in store.objects("raw/")] == ["raw/a"]


def test_an_object_that_is_torn_is_named_and_left_alone(tmp_path):
    torn = gzip.compress(NEIGHBOURS[1] * 100)[:-12]
    (tmp_path / "torn.gz").write_bytes(torn)
    with pytest.raises(RuntimeError, match=r"torn\.gz can't be read"):
        lines.rewrite_object(objects.FolderStore(str(tmp_path)), objects.Object("torn.gz"), lines.id_finder(ID))
    assert (tmp_path / "torn.gz").read_bytes() == torn


@pytest.mark.parametrize(
    "wrong",
    [
        ["--ad", "7"],
        ["--event", ID + "0"],
        [],
        ["--ad", ID, "--event", ID],
        ["--ad", ID, "--dry_run", "no"],
        ["--by", "ad_id"],
        ["--by", "=7"],
        ["--by", "ad_id="],
        ["--by", f"ad_id={ID}", "--ad", ID],
    ],
)
def test_bad_arguments_are_refused(wrong):
    assert erase.parse_arguments([*ARGUMENTS, "--ad", ID.upper()]).id == ID
    assert erase.parse_arguments([*ARGUMENTS, "--ad", ID]).dry_run
    with pytest.raises(ValueError):
        erase.parse_arguments([*ARGUMENTS, *wrong])


# --- S3 ---


@pytest.mark.parametrize("status", [None, "Enabled", "Suspended"])
def test_in_s3_no_version_of_a_rewritten_object_is_left(monkeypatch, status):
    bucket = VersionedBucket(status)
    monkeypatch.setattr(objects.boto3, "client", lambda service: bucket)
    bucket.put_object("b", "data/raw/x.gz", gzip.compress(HIT + OTHER))
    bucket.put_object("b", "data/raw/y.gz", OTHER)
    store = objects.open_store("s3://b/data")
    for item in list(store.objects("raw/")):
        if item.key == "raw/x.gz":
            lines.rewrite_object(store, item, lines.id_finder(ID))
    left = {key: content for key, _, content in bucket.stored}
    assert len(bucket.stored) == 2
    assert gzip.decompress(left["data/raw/x.gz"]) == OTHER and left["data/raw/y.gz"] == OTHER
    assert bucket.described["data/raw/x.gz"] == {"ContentType": "application/octet-stream", "Metadata": {"kept": "yes"}}


def test_earlier_versions_of_derived_files_go_and_live_ones_stay(monkeypatch):
    bucket = VersionedBucket("Enabled")
    monkeypatch.setattr(objects.boto3, "client", lambda service: bucket)
    for key in (
        "data/lake/a",
        "data/lake/a",
        "data/loaded/b",
        "data/ledger/c",
        "data/ledger/c",
        "other/lake/a",
        "other/lake/a",
    ):
        bucket.put_object("b", key, b"")
    store = objects.open_store("s3://b/data")
    found = erase.find_versions(store)
    assert [item.key for item in found] == ["lake/a"]
    store.delete_versions(found)
    assert [key for key, *_ in bucket.stored].count("data/lake/a") == 1
    assert len(bucket.stored) == 6
    assert erase.find_versions(objects.S3Store("b", "data")) == []
    bucket.status = None
    assert erase.find_versions(store) is None


# --- the whole ---


def digest(folder) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_an_impression_then_an_ad_are_erased_everywhere_however_often_the_job_is_killed(
    warehouse, dynamodb, capsys, monkeypatch
):
    other = nasty.OTHER_AD
    warehouse.put_lines(
        "impressions",
        [
            (f"{DAY} 10", "a.gz", impression(ID, nasty.AD)),
            (f"{DAY} 10", "a.gz", impression(nasty.own_id(2), other, note="für Ödön 🦀 \u2028")),
            (f"{DAY} 10", "a.gz", impression(ID.upper(), nasty.AD)),
            (f"{DAY} 10", "a.gz", impression(ID.upper(), nasty.AD)[:-1]),
            (f"{DAY} 10", "b.gz", impression(nasty.own_id(4), other)),
            ("2026-11-21 09", "c.gz", impression(nasty.own_id(3), nasty.AD)),
        ],
    )
    clicks = [
        json.dumps(
            {
                "click_id": nasty.own_id(number),
                "impression_id": shown,
                "ad_id": ad,
                "occurred_at": f"{DAY} 10:00:01.000",
            }
        )
        for number, shown, ad in ((101, ID, nasty.AD), (102, nasty.own_id(2), other))
    ]
    warehouse.put_lines("clicks", [(f"{DAY} 10", "a.gz", line) for line in clicks])
    for table in ("impressions", "clicks"):
        run_etl(warehouse, DAY, "2026-11-21", table=table)
    monkeypatch.setattr(erase, "yesterday", lambda: date(2026, 11, 23))
    advertising = [
        {"ad_id": ad, "impression_id": shown, "impression_at": f"{DAY} 10:00:00", "click_at": None} | DAY_KEYS
        for shown, ad in (
            (ID, nasty.AD),
            (nasty.own_id(2), other),
            (nasty.own_id(3), nasty.AD),
            (nasty.own_id(4), other),
        )
    ]
    warehouse.insert("advertising", advertising)
    warehouse.insert(
        "ad_traffic", [{"ad_id": ad, "impressions": 2, "clicks": 1} | DAY_KEYS for ad in (nasty.AD, other)]
    )
    dynamodb.items = {(nasty.AD, DAY), (other, DAY), (nasty.AD, "2026-11-19")}
    manifests = load_ad_traffic.manifest_folder(warehouse.data_path, "id-of-the-table", DAY)
    manifest = load_ad_traffic.new_manifest(manifests)
    rows = warehouse.spark.createDataFrame([(nasty.AD, 2, 1), (other, 2, 1)], load_ad_traffic.ITEMS_SCHEMA)
    rows.write.orc(manifest)
    load_ad_traffic.mark_loaded(warehouse.spark, manifest)

    # An impression. A dry run tells what would go, and touches nothing.
    before, untouched = digest(warehouse.folder), everything(warehouse)
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
    with monkeypatch.context() as patch:
        patch.setattr(erase, "rewrite_objects", kill)
        with pytest.raises(KeyboardInterrupt):
            run_erase(warehouse, capsys, "--event", ID, "--dry_run", "false")
    with monkeypatch.context() as patch:
        patch.setattr(erase, "delete_journal", kill)
        with pytest.raises(KeyboardInterrupt):
            run_erase(warehouse, capsys, "--event", ID, "--dry_run", "false")
    last = run_erase(warehouse, capsys, "--event", ID, "--dry_run", "false")
    assert (last["places"], last["rerun"]) == ([], planned["rerun"])

    raw = {
        path.name: gzip.decompress(path.read_bytes()).decode().split("\n")[:-1]
        for path in warehouse.folder.glob("data/raw/ad/impressions/**/*.gz")
    }
    assert {name: len(lines) for name, lines in raw.items()} == {"a.gz": 1, "b.gz": 1, "c.gz": 1}
    assert raw["a.gz"] == [impression(nasty.own_id(2), other, note="für Ödön 🦀 \u2028")]
    after = digest(warehouse.folder)
    neighbours = [name for name in before if name.endswith(("b.gz", "c.gz")) or "loaded" in name or "ledger" in name]
    assert len(neighbours) > 6 and all(after[name] == before[name] for name in neighbours)
    erased = {
        table: [row for row in rows if ID not in str(row).lower()] if table != "ledger" else rows
        for table, rows in untouched.items()
    }
    assert everything(warehouse) == erased
    assert len(warehouse.rows("advertising")) == 3

    # The books are right once the days of the receipt ran again, and the lake is what it was.
    run_etl(warehouse, DAY, "2026-11-21")
    assert ledger(warehouse)[DAY] == {
        "raw": 2, "kept": 2, "repeats": 0, "rejected": 0, "late": 0, "stored": 2, "undelivered": 0,
    }  # fmt: skip
    assert everything(warehouse) | {"ledger": None} == erased | {"ledger": None}

    # An ad, of which DynamoDB holds a day more than the lake.
    receipt = run_erase(warehouse, capsys, "--ad", nasty.AD, "--dry_run", "false")
    run = receipt["places"][2]["name"]
    assert run.startswith("ad_traffic/id-of-the-table/")
    assert places(receipt) == {
        ("dynamodb", "2026-11-19", 1),
        ("dynamodb", DAY, 1),
        ("loaded", run, 1),
        ("raw", "raw/ad/impressions/year=2026/month=11/day=21/hour=09/c.gz", 1),
        ("impressions", f"{DAY_PATH}/arrived=2026-11-21", 1),
        ("advertising", DAY_PATH, 1),
        ("ad_traffic", DAY_PATH, 1),
    }
    assert (receipt["rerun"], receipt["batch_only"]) == ({"from": "2026-11-21", "to": "2026-11-23"}, [DAY])
    assert dynamodb.items == {(other, DAY)}
    (left,) = (warehouse.folder / "data/loaded/ad_traffic/id-of-the-table" / DAY_PATH).iterdir()
    assert load_ad_traffic.is_loaded(warehouse.spark, f"file://{left}")
    assert [row[:3] for row in warehouse.rows("ad_traffic")] == [(other, 2, 1)]
    assert [row[1] for row in warehouse.rows("advertising")] == [nasty.own_id(2), nasty.own_id(4)]
    assert [tuple(row) for row in load_ad_traffic.read_manifests(warehouse.spark, [f"file://{left}"]).collect()] == [
        (other, 2, 1)
    ]
    assert not list(warehouse.folder.glob("data/erasing/*.json"))

    # With raw gone, the lake is erased all the same, and only the batch can run again.
    arrived = {date(2026, 11, day) for day in (20, 21, 22)}
    raw = [objects.Object(f"raw/ad/clicks/year=2026/month=11/day={day}/hour=10/a") for day in (21, 22)]
    assert erase.complete_days(warehouse.spark, warehouse.database, arrived, raw) == {date(2026, 11, 22)}
    shutil.rmtree(warehouse.folder / "data/raw")
    receipt = run_erase(warehouse, capsys, "--event", nasty.own_id(102), "--dry_run", "false")
    assert places(receipt) == {("clicks", ARRIVED_PATH, 1)}
    assert (receipt["rerun"], receipt["batch_only"]) == (None, [DAY])
    assert warehouse.rows("clicks") == []


@pytest.mark.parametrize(
    ("table", "fields"),
    [
        ("impressions", {"impression_id", "ad_id"}),
        ("clicks", {"click_id", "impression_id", "ad_id"}),
        ("advertising", {"ad_id", "impression_id"}),
        ("ad_traffic", {"ad_id"}),
    ],
)
def test_a_row_goes_when_any_of_its_id_fields_has_the_id(warehouse, table, fields):
    schema = [
        name
        for name, kind in warehouse.schema(table)
        if kind == "string" and name not in ("year", "month", "day", "arrived")
    ]
    arguments = erase.parse_arguments([*ARGUMENTS, "--ad", ID])
    holds = erase.row_conditions(arguments, event_tables(warehouse.spark, warehouse.database))
    assert set(holds) == {"impressions", "clicks", "advertising", "ad_traffic", "rejected"}
    for name in schema:
        row = warehouse.spark.createDataFrame(
            [tuple(ID if one == name else None for one in schema)], ", ".join(f"{one} string" for one in schema)
        )
        assert row.where(holds[table]).count() == (name in fields), name


def november(*days: int) -> set[date]:
    return {date(2026, 11, day) for day in days}


@pytest.mark.parametrize(
    ("arrivals", "event_days", "rerun", "batch_only"),
    [
        ((), (), None, []),
        ((10,), (9, 10), ("2026-11-10", "2026-11-14"), ["2026-11-09"]),
        ((10, 12), (16, 17), ("2026-11-10", "2026-11-16"), ["2026-11-17"]),
        ((28,), (28,), ("2026-11-28", "2026-11-29"), []),
        # Today's run is still to come, and so are today's sums.
        ((30,), (29, 30), None, ["2026-11-29"]),
        ((29, 30), (30,), ("2026-11-29", "2026-11-29"), []),
    ],
)
def test_days_run_again_from_the_first_that_changed_until_none_depends_on_it(
    monkeypatch, arrivals, event_days, rerun, batch_only
):
    monkeypatch.setattr(erase, "yesterday", lambda: date(2026, 11, 29))
    arguments = erase.parse_arguments(
        [
            "erase.py",
            "--ad",
            ID,
            "--database",
            "d",
            "--data_path",
            "s3://b",
            "--table_name",
            "t",
            "--lookback_days",
            "3",
            "--attribution_days",
            "1",
        ]
    )
    journal = erase.Journal(november(*arrivals), november(*event_days))
    days = erase.days_to_run(arguments, journal, november(*arrivals))
    assert days == {"rerun": rerun and dict(zip(("from", "to"), rerun, strict=True)), "batch_only": batch_only}


def test_a_click_decides_the_days_of_the_attribution_window_before_its_own(warehouse):
    for day in ("18", "19"):
        keys = f"year='2026', month='11', day='{day}'"
        warehouse.spark.sql(f"ALTER TABLE `{warehouse.database}`.advertising ADD PARTITION ({keys})")
    found = {
        (table, days): list(ads.days_before(warehouse.spark, warehouse.database, table, date(2026, 11, 20), days))
        for table, days in (("clicks", 0), ("clicks", 1), ("clicks", 3), ("impressions", 3))
    }
    assert found == {
        ("clicks", 0): [],
        ("clicks", 1): [date(2026, 11, 19)],
        ("clicks", 3): [date(2026, 11, 19), date(2026, 11, 18)],
        ("impressions", 3): [],
    }
