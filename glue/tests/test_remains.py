"""An erasure deletes files without a partition if they contain the id or can't be read, and no others."""

import shutil

import pytest
from pyspark.errors import AnalysisException

import etl
import lake.partition
import nasty
from erasure import ARRIVED_PATH, DAY, DAY_KEYS, DAY_PATH, ID, impression, kill, run_erase
from etl_runs import run_etl
from fakes import VersionedBucket
from lake import objects, remains
from lake.erased import Erased

ARRIVED = f"lake/ad/impressions/arrived={DAY}"
NEW_RUN = "run-29991231T000000-0000000{}"


def dead(receipt: dict) -> dict[str, int]:
    return {place["name"]: place["count"] for place in receipt["places"] if place["place"] == "dead run"}


def test_runs_of_dead_jobs_are_erased_when_they_contain_the_id_or_are_unreadable(warehouse, dynamodb, capsys):
    warehouse.put_lines("impressions", [(f"{DAY} 10", "a.gz", impression(ID, nasty.AD))])
    run_etl(warehouse, DAY)
    folder = warehouse.folder / "data" / ARRIVED
    (live,) = folder.iterdir()
    runs = [folder / NEW_RUN.format(number) for number in range(7)]
    for copied in (runs[1], runs[2]):
        shutil.copytree(live, copied)
    # From a job that died while it published its partitions, and from one that died while it wrote.
    (live / "event_day=open").mkdir()
    shutil.copy(next(live.glob("event_day=2026-11-20/*.orc")), live / "event_day=open")
    (runs[3] / "_temporary/0").mkdir(parents=True)
    (runs[3] / "_temporary/0/part.orc").write_bytes(b"ORC")
    # From an erasure that died while it wrote a partition.
    (runs[5] / "event_day=2026-11-20/_temporary/0").mkdir(parents=True)
    (runs[5] / "event_day=2026-11-20/_temporary/0/part.orc").write_bytes(b"ORC")
    whole = next(live.glob("event_day=2026-11-20/*.orc")).read_bytes()
    for torn, content in ((runs[4], b"ORC torn"), (runs[6], whole[: len(whole) // 2])):
        (torn / "event_day=2026-11-20").mkdir(parents=True)
        (torn / "event_day=2026-11-20/part.orc").write_bytes(content)
    # A day without lines has a run without files.
    (folder / NEW_RUN.format(7)).mkdir()
    (folder / NEW_RUN.format(7) / "_SUCCESS").touch()

    unreadable = {f"{ARRIVED}/{runs[number].name}": 0 for number in (3, 4, 5, 6)}
    assert dead(run_erase(warehouse, capsys, "--event", nasty.own_id(7))) == unreadable
    assert dead(run_erase(warehouse, capsys, "--event", ID, "--dry_run", "false")) == unreadable | {
        f"{ARRIVED}/{runs[1].name}": 1,
        f"{ARRIVED}/{runs[2].name}": 1,
        f"{ARRIVED}/{live.name}/event_day=open": 1,
    }
    assert warehouse.rows("impressions") == []
    assert [path.name for path in folder.glob("run-2999*")] == [NEW_RUN.format(7)]
    assert not (live / "event_day=open").exists()


def test_a_rejected_line_of_a_killed_job_is_found_with_its_escapes(
    warehouse,
    dynamodb,
    capsys,
    monkeypatch,
):
    escaped = "".join(rf"\u{ord(character):04x}" for character in ID)
    warehouse.put_lines("impressions", [(f"{DAY} 10", "a.gz", f'{{"impression_id":"{escaped}"')])
    with monkeypatch.context() as patch:
        patch.setattr(etl, "publish_rejected", kill)
        with pytest.raises(KeyboardInterrupt):
            run_etl(warehouse, DAY)
    (run,) = (warehouse.folder / "data" / ARRIVED).iterdir()
    assert dead(run_erase(warehouse, capsys, "--event", nasty.own_id(7))) == {}
    assert dead(run_erase(warehouse, capsys, "--event", ID, "--dry_run", "false")) == {f"{ARRIVED}/{run.name}": 1}
    assert not run.exists()


def test_files_that_a_plain_insert_left_beside_a_run_are_erased_and_the_run_stays(
    warehouse,
    dynamodb,
    capsys,
    monkeypatch,
):
    rows = [
        {"ad_id": nasty.AD, "impression_id": shown, "impression_at": f"{DAY} 10:00:00", "click_at": None} | DAY_KEYS
        for shown in (ID, nasty.own_id(2))
    ]
    warehouse.insert("advertising", rows)
    with monkeypatch.context() as patch:
        patch.setattr(lake.partition, "delete_replaced", kill)
        with pytest.raises(KeyboardInterrupt):
            run_erase(warehouse, capsys, "--event", ID, "--dry_run", "false")
    place = f"lake/ad/advertising/{DAY_PATH}"
    assert list((warehouse.folder / "data" / place).glob("part-*"))
    receipt = run_erase(warehouse, capsys, "--event", ID, "--dry_run", "false")
    assert receipt["places"] == [{"place": "dead run", "name": place, "count": 1}]
    assert receipt["batch_only"] == [DAY]
    assert not list((warehouse.folder / "data" / place).glob("part-*"))
    assert [row[1] for row in warehouse.rows("advertising")] == [nasty.own_id(2)]


def test_what_the_load_has_not_finished_is_erased(warehouse, dynamodb, capsys):
    manifest = f"loaded/ad_traffic/table/{DAY_PATH}/{NEW_RUN.format(1)}"
    torn = warehouse.folder / "data" / manifest / "_temporary/0/part.orc"
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b"ORC")
    assert dead(run_erase(warehouse, capsys, "--ad", ID, "--dry_run", "false")) == {f"{manifest}/_temporary": 0}
    assert (warehouse.folder / "data" / manifest).exists() and not torn.exists()


def test_tables_that_the_job_does_not_know_keep_their_files(warehouse, dynamodb, capsys):
    folder = warehouse.folder / f"data/lake/ad/summary/day={DAY}/{NEW_RUN.format(1)}"
    warehouse.spark.sql(f"SELECT '{ID}' AS ad_id, 1 AS impressions").write.orc(f"file://{folder}")
    assert run_erase(warehouse, capsys, "--ad", ID, "--dry_run", "false")["places"] == []
    assert warehouse.spark.read.orc(f"file://{folder}").count() == 1


def test_a_fault_of_another_kind_is_none_of_the_files(warehouse):
    gone = remains.Remains(f"{ARRIVED}/run-gone", (f"{ARRIVED}/run-gone",))
    with pytest.raises(AnalysisException, match="PATH_NOT_FOUND"):
        remains.count_rows(warehouse.spark, warehouse.data_path, gone, Erased(ID).in_files)
    with pytest.raises(RuntimeError, match=f"failed to read {ARRIVED}/run-gone"):
        remains.count_rows(warehouse.spark, "nothing-has-this-scheme://b/data", gone, Erased(ID).in_files)


def test_an_unreadable_file_of_someone_else_is_named_and_kept(warehouse, dynamodb, capsys):
    notes = warehouse.folder / f"data/lake/ad/impressions/{ARRIVED_PATH}/notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_bytes(b"no rows" * 100)
    with pytest.raises(RuntimeError, match=f"failed to read lake/ad/impressions/{ARRIVED_PATH}"):
        run_erase(warehouse, capsys, "--event", ID, "--dry_run", "false")
    assert notes.exists()


def test_in_s3_markers_and_earlier_versions_are_not_leftovers(monkeypatch):
    bucket = VersionedBucket("Enabled")
    monkeypatch.setattr(objects.boto3, "client", lambda service: bucket)
    for key in (
        "run-1/_SUCCESS",
        "run-1/",
        "run-2/_SUCCESS",
        "run-2/event_day=2026-11-20/a",
        "run-3/_temporary/0/a",
        "run-4/a",
    ):
        bucket.put_object("b", f"data/lake/ad/t/arrived={DAY}/{key}", b"")
    found = remains.dead_folders(objects.open_store("s3://b/data"), ["lake/ad/t"], {f"lake/ad/t/arrived={DAY}/run-4"})
    assert {(one.folder.rpartition("/")[2], one.is_unfinished) for one in found} == {("run-2", False), ("run-3", True)}


@pytest.mark.parametrize(
    ("data_path", "path", "name"),
    [
        ("s3://b/data", "s3a://b/data/lake/a", "lake/a"),
        ("file:///tmp/a b/data", "file:/tmp/a b/data/lake/a", "lake/a"),
        ("/tmp/data", "file:/tmp/data/lake", "lake"),
        ("s3://b/data", "s3://b/database/lake", ""),
        ("s3://b/data", "s3://other/data/lake", ""),
    ],
)
def test_a_path_below_the_data_path_has_a_name_there(data_path, path, name):
    assert remains.below(data_path, path) == name
