"""What a job deletes from a bucket with versions, through the local mirror."""

import pytest

import mirror
from fakes import CountingBucket, tag
from test_mirror import make


class Versions(CountingBucket):
    """A bucket that keeps versions: (key, version, content or None for a delete marker), the newest of a key last."""

    def __init__(self):
        super().__init__()
        self.history, self.operation = [], ""

    @property
    def objects(self):
        newest = {key: content for key, _, content in self.history}
        return {key: content for key, content in newest.items() if content is not None}

    @objects.setter
    def objects(self, _):
        pass

    def add(self, key, content):
        self.history.append((key, f"v{len(self.history)}", content))

    def get_paginator(self, name):
        self.operation = name
        return self

    def paginate(self, Bucket, Prefix):
        if self.operation == "list_objects_v2":
            return super().paginate(Bucket, Prefix)
        newest = {key: version for key, version, _ in self.history}
        return [
            {
                "DeleteMarkers" if content is None else "Versions": [
                    {"Key": key, "VersionId": version, "IsLatest": newest[key] == version}
                ]
            }
            for key, version, content in self.history
            if key.startswith(Prefix)
        ]

    def put_object(self, Bucket, Key, Body):
        self.add(Key, Body.read())
        return {"ETag": tag(self.objects[Key])}

    def delete_objects(self, Bucket, Delete):
        for entry in Delete["Objects"]:
            if "VersionId" not in entry:
                self.add(entry["Key"], None)
            else:
                gone = (entry["Key"], entry["VersionId"])
                assert gone in [version[:2] for version in self.history]
                self.history = [version for version in self.history if version[:2] != gone]
        return {}

    @property
    def contents(self):
        return [(key, content) for key, _, content in self.history]


@pytest.fixture
def bucket():
    bucket = Versions()
    bucket.add("data/raw/changed", b"erased, other")
    bucket.add("data/raw/changed", b"erased, other, more")
    bucket.add("data/lake/gone", b"erased")
    bucket.add("data/lake/same", b"an earlier one")
    bucket.add("data/lake/same", b"same")
    bucket.add("elsewhere/x", b"erased")
    return bucket


def erase(bucket, folder):
    here = make(bucket, folder)
    here.fetch()
    (folder / "data/raw/changed").write_bytes(b"other, more")
    (folder / "data/lake/gone").unlink()
    (folder / "data/lake/new").write_bytes(b"new")
    return here


def test_what_is_put_back_for_good_leaves_no_version_of_what_it_replaced_or_deleted(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(mirror, "MAX_DELETED_KEYS", 1)
    here = erase(bucket, tmp_path / "lake")
    assert here.put_back(for_good=True) == {"data/raw/changed", "data/lake/gone", "data/lake/new"}
    assert sorted(bucket.contents) == [
        ("data/lake/new", b"new"),
        # Neither replaced nor deleted: the job itself deletes what must go.
        ("data/lake/same", b"an earlier one"),
        ("data/lake/same", b"same"),
        ("data/raw/changed", b"other, more"),
        ("elsewhere/x", b"erased"),
    ]
    assert here.put_back(for_good=True) == set()
    assert len(bucket.history) == 5


def test_what_another_job_puts_back_stays_as_an_earlier_version(bucket, tmp_path):
    before = bucket.contents
    erase(bucket, tmp_path / "lake").put_back()
    assert bucket.contents[: len(before)] == before
    assert bucket.contents[-1] == ("data/lake/gone", None)
