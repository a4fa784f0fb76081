"""What an erasure does to earlier versions and delete markers."""

import gzip
from datetime import date

import pytest

import erase
from erasure import HIT, ID, OTHER, arguments
from fakes import VersionedBucket
from lake import lines, objects


def test_delete_markers_go_where_they_hide_nothing(monkeypatch):
    bucket = VersionedBucket("Enabled")
    monkeypatch.setattr(objects.boto3, "client", lambda service: bucket)
    for key, content in [
        ("data/lake/a", b""),
        ("data/lake/a", None),
        ("data/lake/b", None),
        ("data/raw/x", OTHER),
        ("data/raw/x", None),
        ("data/raw-errors/y", None),
        ("data/ledger/c", None),
        ("other/lake/b", None),
    ]:
        bucket.stored.append((key, f"v{len(bucket.stored)}", content))
    erase.erase_versions(erase.parse_arguments(arguments("--ad", ID)))
    # In raw, an object behind a delete marker may be needed again: none of its lines contains what is erased.
    left = [("data/raw/x", OTHER), ("data/raw/x", None), ("data/ledger/c", None), ("other/lake/b", None)]
    assert [(key, content) for key, _, content in bucket.stored] == left


def test_what_is_forgotten_is_in_no_version(monkeypatch):
    for status, left in ((None, 2), ("Enabled", 3), ("Suspended", 2)):
        bucket = VersionedBucket(status)
        monkeypatch.setattr(objects.boto3, "client", lambda service, bucket=bucket: bucket)
        for key in ("data/erasing/a", "data/erasing/a", "data/erasing/abc", "data/raw/x", "data/raw/x"):
            bucket.put_object("b", key, b"")
        store = objects.open_store("s3://b/data")
        store.forget("erasing/a")
        store.forget("erasing/a")
        assert [key for key, *_ in bucket.stored if key.endswith("/a")] == []
        assert len(bucket.stored) == left


def test_the_versions_of_a_copied_bucket_are_those_of_the_bucket(tmp_path, monkeypatch):
    bucket = VersionedBucket("Enabled")
    monkeypatch.setattr(objects.boto3, "client", lambda service: bucket)
    for _ in range(2):
        bucket.put_object("b", "data/raw/x", HIT)
        bucket.put_object("b", "data/lake/a", b"")
    (tmp_path / "raw").mkdir()
    for name in ("x", "y"):
        (tmp_path / "raw" / name).write_bytes(OTHER)
    local = arguments("--ad", ID, data_path=f"file://{tmp_path}")
    copied = erase.parse_arguments([*local, "--versions_path", "s3://b/data"])
    found = sorted(erase.stored_objects(copied, "raw/"), key=lambda item: (item.key, item.version))
    assert found == [objects.Object("raw/x"), objects.Object("raw/x", "v0", False), objects.Object("raw/y")]
    assert [item.is_live for item in erase.stored_objects(erase.parse_arguments(local), "raw/")] == [True, True]
    erase.erase_versions(copied)
    assert [key for key, *_ in bucket.stored].count("data/lake/a") == 1


def test_of_a_day_that_is_done_only_earlier_versions_are_searched():
    day = "raw/ad/clicks/year=2026/month=11/day=20/hour=10/"
    live, version = objects.Object(f"{day}a.gz"), objects.Object(f"{day}a.gz", "v0", False)
    done = {date(2026, 11, 20): erase.name_hash([live])}
    assert list(erase.steps([live, version], done)) == [[version]]
    assert list(erase.steps([live], done)) == []
    assert list(erase.steps([live, version], {})) == [[live, version]]


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
