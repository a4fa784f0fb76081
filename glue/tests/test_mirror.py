"""The mirror of a bucket and the import into it, against a bucket in memory."""

import hashlib
import io

import pytest

import mirror
import put_raw


class Body(io.BytesIO):
    def iter_chunks(self, size):
        while chunk := self.read(size):
            yield chunk


class Bucket:
    """As much of S3 as both use. Counts what is sent, by call."""

    def __init__(self):
        self.objects, self.calls = {}, []

    def get_paginator(self, _name):
        return self

    def paginate(self, Bucket, Prefix):
        found = [{"Key": key, "ETag": tag(body)} for key, body in self.objects.items() if key.startswith(Prefix)]
        # A page each, so that more than one page is met.
        return [{"Contents": [entry]} for entry in found] or [{}]

    def get_object(self, Bucket, Key):
        self.calls.append(("get", Key))
        return {"Body": Body(self.objects[Key]), "ETag": tag(self.objects[Key])}

    def put_object(self, Bucket, Key, Body):
        self.calls.append(("put", Key))
        self.objects[Key] = Body.read()
        return {"ETag": tag(self.objects[Key])}

    def delete_objects(self, Bucket, Delete):
        for entry in Delete["Objects"]:
            self.calls.append(("delete", entry["Key"]))
            del self.objects[entry["Key"]]
        return {}


def tag(body):
    return f'"{hashlib.md5(body).hexdigest()}"'


@pytest.fixture
def bucket():
    return Bucket()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "bucket"


def make(bucket, folder):
    return mirror.Mirror(bucket, "lake", folder, ["data/"])


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_equal_is_left_alone_also_by_the_next_process(bucket, folder):
    bucket.objects |= {"data/a": b"1", "data/b/c": b"22", "other/d": b"3"}
    assert make(bucket, folder).fetch() == {"data/a", "data/b/c"}
    assert files(folder) == {"data/a": b"1", "data/b/c": b"22"}
    bucket.calls.clear()
    assert make(bucket, folder).fetch() == set()
    assert bucket.calls == []


def test_changes_of_the_bucket_arrive_even_of_the_same_size(bucket, folder):
    bucket.objects |= {"data/a": b"1", "data/b": b"2"}
    here = make(bucket, folder)
    here.fetch()
    (folder / "data" / ".a.crc").write_bytes(b"sum of the old content")
    bucket.objects["data/a"] = b"9"
    del bucket.objects["data/b"]
    assert here.fetch() == {"data/a", "data/b"}
    assert files(folder) == {"data/a": b"9"}


def test_what_a_job_wrote_is_put_back_and_what_came_meanwhile_stays(bucket, folder):
    bucket.objects |= {"data/old": b"1", "data/same": b"2"}
    here = make(bucket, folder)
    here.fetch()
    bucket.objects["data/raw"] = b"came while the job ran"
    (folder / "data/old").unlink()
    (folder / "data/new").write_bytes(b"3")
    (folder / "data/.new.crc").write_bytes(b"Hadoop's own")
    bucket.calls.clear()
    assert here.put_back() == {"data/new", "data/old"}
    # New before gone: whoever reads in between finds the one or the other.
    assert bucket.calls == [("put", "data/new"), ("delete", "data/old")]
    assert bucket.objects == {"data/same": b"2", "data/new": b"3", "data/raw": b"came while the job ran"}


def test_what_a_killed_job_left_behind_goes(bucket, folder):
    here = make(bucket, folder)
    here.fetch()
    (folder / "data").mkdir(parents=True)
    (folder / "data/half").write_bytes(b"half")
    assert make(bucket, folder).fetch() == {"data/half"}
    assert files(folder) == {}


RAW = "ad/clicks/year=2026/month=11/day=20/hour=09"


def put_file(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_an_import_stores_what_is_new_and_a_second_one_nothing(bucket, folder):
    put_file(folder, f"{RAW}/a.gz", b"1")
    put_file(folder, "ad/impressions/year=2026/month=12/day=01/hour=23/b.gz", b"22")
    first = put_raw.put(bucket, "lake", folder)
    assert (len(first["keys"]), first["bytes"], first["first_day"], first["last_day"]) == (2, 3, "2026-11-20", "2026-12-01")
    assert bucket.objects[f"data/raw/{RAW}/a.gz"] == b"1"
    second = put_raw.put(bucket, "lake", folder)
    assert (second["keys"], second["unchanged"], second["bytes"]) == ([], 2, 0)


def test_raw_is_never_written_over(bucket, folder):
    bucket.objects[f"data/raw/{RAW}/a.gz"] = b"1"
    put_file(folder, f"{RAW}/a.gz", b"2")
    put_file(folder, f"{RAW}/b.gz", b"3")
    with pytest.raises(ValueError, match="another content"):
        put_raw.put(bucket, "lake", folder)
    assert bucket.objects == {f"data/raw/{RAW}/a.gz": b"1"}


@pytest.mark.parametrize("name", ["ad/views/year=2026/month=11/day=20/hour=09/a", "ad/clicks/2026-11-20/a", f"{RAW}/b/a"])
def test_a_file_without_a_place_in_the_raw_zone_is_an_error(bucket, folder, name):
    put_file(folder, name, b"1")
    with pytest.raises(ValueError, match="no place in the raw zone"):
        put_raw.put(bucket, "lake", folder)
