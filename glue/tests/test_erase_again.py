"""An erasure that was killed, or takes several runs, has the same result as a single run."""

import gzip
import shutil
from datetime import date

import pytest

import erase
import load_ad_traffic
import nasty
from erasure import DAY, DAY_KEYS, ID, arguments, impression, kill, places, run_erase
from etl_runs import everything, run_etl
from fakes import VersionedBucket
from lake import files, objects
from lake.partition import Partition


def journals(warehouse) -> list:
    return list(warehouse.folder.glob("data/erasing/*"))


def test_a_long_history_is_erased_in_several_runs_that_each_go_on_where_the_last_one_ended(
    warehouse,
    dynamodb,
    capsys,
    monkeypatch,
):
    days = ["2026-11-18", "2026-11-20", "2026-11-22"]
    warehouse.put_lines("impressions", [(f"{day} 10", "a.gz", impression(ID, nasty.AD)) for day in days])
    warehouse.put_lines("impressions", [("2026-11-24 10", "a.gz", impression(nasty.own_id(2), nasty.AD))])
    monkeypatch.setattr(erase, "yesterday", lambda: date(2026, 11, 24))
    monkeypatch.setattr(erase, "OBJECTS_OF_STEP", 1)
    find_lines, read = erase.find_lines, []

    def find_twice(spark, arguments, items):
        if len(read) == 2:
            raise KeyboardInterrupt
        read.append([item.key for item in items])
        return find_lines(spark, arguments, items)

    with monkeypatch.context() as patch:
        patch.setattr(erase, "find_lines", find_twice)
        with pytest.raises(KeyboardInterrupt):
            run_erase(warehouse, capsys, "--event", ID, "--dry_run", "false")
    raw = "raw/ad/impressions/year=2026/month=11/day={}/hour=10/a.gz"
    assert read == [[raw.format(18)], [raw.format(20)]]
    with monkeypatch.context() as patch:
        read.clear()
        patch.setattr(erase, "find_lines", find_twice)
        planned = run_erase(warehouse, capsys, "--event", ID)
    assert read == [[raw.format(22)], [raw.format(24)]]
    assert places(planned) == {("raw", raw.format(22), 1)}
    # A day that was done gets an object with the id, for example from a replay.
    warehouse.put_lines("impressions", [(f"{days[0]} 10", "later.gz", impression(ID, nasty.AD))])
    later = raw.format(18).replace("a.gz", "later.gz")
    receipt = run_erase(warehouse, capsys, "--event", ID, "--dry_run", "false")
    assert places(receipt) == {("raw", raw.format(22), 1), ("raw", later, 1)}
    assert receipt["rerun"] == planned["rerun"] == {"from": days[0], "to": "2026-11-24"}
    assert run_erase(warehouse, capsys, "--event", ID)["places"] == []


def test_an_erasure_that_ends_in_between_leaves_an_unfinished_one_as_it_was(
    warehouse,
    dynamodb,
    capsys,
    monkeypatch,
):
    other, days = nasty.own_id(5), ("2026-11-18", "2026-11-20")
    for day in days:
        found = (impression(ID, nasty.AD), impression(other, nasty.AD), impression(nasty.own_id(6), nasty.AD))
        warehouse.put_lines("impressions", [(f"{day} 10", "a.gz", line) for line in found])
    monkeypatch.setattr(erase, "yesterday", lambda: date(2026, 11, 24))
    monkeypatch.setattr(erase, "OBJECTS_OF_STEP", 1)
    rewrite_objects = erase.rewrite_objects

    def rewrite_first(spark, arguments, items):
        if days[0].rpartition("-")[2] not in items[0].key:
            raise KeyboardInterrupt
        rewrite_objects(spark, arguments, items)

    with monkeypatch.context() as patch:
        patch.setattr(erase, "rewrite_objects", rewrite_first)
        with pytest.raises(KeyboardInterrupt):
            run_erase(warehouse, capsys, "--event", ID, "--dry_run", "false")
    raw = "raw/ad/impressions/year=2026/month=11/day={}/hour=10/a.gz"
    receipt = run_erase(warehouse, capsys, "--event", other, "--dry_run", "false")
    assert places(receipt) == {("raw", raw.format(18), 1), ("raw", raw.format(20), 1)}
    assert len(journals(warehouse)) == 1
    finished = run_erase(warehouse, capsys, "--event", ID, "--dry_run", "false")
    assert places(finished) == {("raw", raw.format(20), 1)}
    assert finished["rerun"] == receipt["rerun"] == {"from": days[0], "to": "2026-11-24"}
    left = [gzip.decompress(path.read_bytes()) for path in warehouse.folder.glob("data/raw/**/*.gz")]
    assert left == [impression(nasty.own_id(6), nasty.AD).encode() + b"\n"] * 2
    assert journals(warehouse) == []


AD_LINES = [
    impression(nasty.own_id(1), ID),
    impression(nasty.own_id(2), nasty.OTHER_AD),
    impression(nasty.own_id(3), ID)[:-1],
    "{",
]
DERIVED = ("advertising", "ad_traffic")


def fill(warehouse) -> None:
    """The ad and another one in raw, the lake, a dead run, the derived tables and a manifest."""
    warehouse.put_lines("impressions", [(f"{DAY} 10", "a.gz", line) for line in AD_LINES])
    run_etl(warehouse, DAY)
    ads = (ID, nasty.OTHER_AD)
    advertising = [
        {"ad_id": ad, "impression_id": nasty.own_id(number), "impression_at": f"{DAY} 10:00:00", "click_at": None}
        | DAY_KEYS
        for number, ad in enumerate(ads, 1)
    ]
    warehouse.insert("advertising", advertising)
    warehouse.insert("ad_traffic", [{"ad_id": ad, "impressions": 1, "clicks": 0} | DAY_KEYS for ad in ads])
    (live,) = (warehouse.folder / f"data/lake/ad/impressions/arrived={DAY}").iterdir()
    shutil.copytree(live, live.parent / "run-29991231T000000-00000001")
    manifest = load_ad_traffic.new_manifest(load_ad_traffic.manifest_folder(warehouse.data_path, "table", DAY))
    items = warehouse.spark.createDataFrame([(ad, 1, 0) for ad in ads], load_ad_traffic.ITEMS_SCHEMA)
    items.write.orc(manifest)
    load_ad_traffic.mark_loaded(warehouse.spark, manifest)


def stored(warehouse) -> dict[str, list[tuple]]:
    return everything(warehouse) | {table: warehouse.rows(table) for table in DERIVED}


class Killer:
    """Kills a run before the first step of a kind, and after each."""

    def __init__(self, patch):
        self.patch = patch
        self.steps: list[str] = []
        self.first: set[str] = set()

    def watch(self, owner, name: str) -> None:
        work = getattr(owner, name)

        def step(*arguments):
            is_step = arguments[-1] and not str(arguments[-1]).endswith(".json")
            if is_step and name in self.first:
                self.first.remove(name)
                raise KeyboardInterrupt
            result = work(*arguments)
            if is_step:
                self.steps.append(name)
                raise KeyboardInterrupt
            return result

        self.first.add(name)
        self.patch.setattr(owner, name, step)


def test_an_erasure_that_is_killed_after_each_of_its_steps_ends_all_the_same(warehouse, dynamodb, capsys, monkeypatch):
    fill(warehouse)
    dynamodb.items = {(ID, DAY), (nasty.OTHER_AD, DAY)}
    monkeypatch.setattr(erase, "yesterday", lambda: date(2026, 11, 24))
    before = stored(warehouse)
    # Files that nothing points to yet are written again.
    for owner, name in ((dynamodb, "batch_write_item"), (load_ad_traffic, "mark_loaded")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(owner, name, kill)
            run_erase(warehouse, capsys, "--ad", ID, "--dry_run", "false")
    receipt = None
    with monkeypatch.context() as patch:
        killer = Killer(patch)
        for owner, name in ((files, "delete"), (Partition, "point_at"), (erase, "rewrite_objects")):
            killer.watch(owner, name)
        while not receipt:
            try:
                receipt = run_erase(warehouse, capsys, "--ad", ID, "--dry_run", "false")
            except KeyboardInterrupt:
                assert len(killer.steps) < 30
    # Impressions, rejected, advertising and ad_traffic are replaced. Their old files, the manifest and the dead run are
    # deleted.
    steps = killer.steps
    assert {name: steps.count(name) for name in set(steps) - {"delete"}} == {"point_at": 4, "rewrite_objects": 1}
    assert steps.count("delete") >= 6
    assert (receipt["places"], receipt["rerun"]) == ([], {"from": DAY, "to": "2026-11-24"})
    assert stored(warehouse) == {table: [row for row in rows if ID not in str(row)] for table, rows in before.items()}
    assert dynamodb.items == {(nasty.OTHER_AD, DAY)} and journals(warehouse) == []
    (raw,) = warehouse.folder.glob("data/raw/**/*.gz")
    assert gzip.decompress(raw.read_bytes()).decode().splitlines() == [AD_LINES[1], AD_LINES[3]]
    for folder in ("lake/ad/impressions", "lake/ad/advertising", "lake/ad/ad_traffic", "rejected", "loaded"):
        left = warehouse.spark.read.option("recursiveFileLookup", "true").orc(f"{warehouse.data_path}/{folder}")
        assert left.count() and not [row for row in left.collect() if ID in str(row)]


# --- the journal ---


@pytest.fixture
def store(tmp_path):
    return objects.FolderStore(str(tmp_path))


ARGUMENTS = erase.parse_arguments(arguments("--ad", ID, data_path="s3://b"))
JOURNAL = erase.Journal({date(2026, 11, 20)}, {date(2026, 11, 19)}, {date(2026, 11, 20): "hash"})


def test_a_journal_is_read_as_it_was_written_and_does_not_name_the_id(store, tmp_path):
    assert erase.read_journal(store, ARGUMENTS) == erase.Journal()
    erase.write_journal(store, ARGUMENTS, erase.Journal())
    erase.write_journal(store, ARGUMENTS, JOURNAL)
    assert erase.read_journal(store, ARGUMENTS) == JOURNAL
    (path,) = tmp_path.rglob("*.json")
    assert ID not in str(path) + path.read_text()


@pytest.mark.parametrize("status", [None, "Enabled"])
def test_a_journal_in_s3_is_its_last_version(monkeypatch, status):
    bucket = VersionedBucket(status)
    monkeypatch.setattr(objects.boto3, "client", lambda service: bucket)
    store = objects.open_store("s3://b/data")
    assert erase.read_journal(store, ARGUMENTS) == erase.Journal()
    erase.write_journal(store, ARGUMENTS, erase.Journal())
    erase.write_journal(store, ARGUMENTS, JOURNAL)
    assert erase.read_journal(store, ARGUMENTS) == JOURNAL
    # A bucket with versions keeps a deleted one.
    monkeypatch.setattr(
        objects.S3Store, "objects", lambda *_: iter([objects.Object(erase.journal_key(ARGUMENTS), "v1", False)])
    )
    assert erase.read_journal(store, ARGUMENTS) == erase.Journal()


def test_a_run_that_is_killed_as_it_writes_its_journal_leaves_the_one_before(store, monkeypatch):
    erase.write_journal(store, ARGUMENTS, JOURNAL)
    with monkeypatch.context() as patch:
        patch.setattr(objects.os, "replace", kill)
        with pytest.raises(KeyboardInterrupt):
            erase.write_journal(store, ARGUMENTS, erase.Journal())
    assert erase.read_journal(store, ARGUMENTS) == JOURNAL


def test_a_journal_of_the_first_format_has_days_of_both_kinds_and_no_progress(store):
    store.write(erase.journal_key(ARGUMENTS), b'["2026-11-19", "2026-11-20"]')
    days = {date(2026, 11, 19), date(2026, 11, 20)}
    assert erase.read_journal(store, ARGUMENTS) == erase.Journal(days, days, {})


@pytest.mark.parametrize(
    "content",
    [b"", b"7", b"[7]", b"{}", b"\xff", b'["soon"]', b'{"arrivals": [], "event_days": [], "done": ["2026-11-20"]}'],
)
def test_a_journal_that_is_not_understood_stops_the_job(store, content):
    store.write(erase.journal_key(ARGUMENTS), content)
    with pytest.raises(RuntimeError, match=r"erasing/\w+.json can't be read.*Delete it to start over"):
        erase.read_journal(store, ARGUMENTS)
