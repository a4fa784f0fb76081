"""Where an erasure looks for objects, whatever they are called. No Spark."""

import io

import pytest

from lake import objects

NAMES = [
    "_late.gz",
    ".hidden",
    "c._COPYING_",
    "a b%2F+=:.gz",
    "\x01\n.gz",
    "🦀" * 63,
    "x" * 252 + ".gz",
    "sums.crc",
    "a\\b\"'*?[c]",
]


@pytest.fixture
def store(tmp_path):
    store = objects.FolderStore(str(tmp_path))
    for name in NAMES:
        store.write(f"raw/{name}", b"old")
    return store


def test_what_no_job_reads_is_searched_all_the_same(store, tmp_path):
    (tmp_path / "raw/.a.gz.crc").write_bytes(b"Hadoop's own")
    (tmp_path / f"raw/{objects.TEMPORARY}a").write_bytes(b"left by a run that was killed")
    assert {item.key for item in store.objects("raw/")} == {f"raw/{name}" for name in NAMES}


def test_an_object_of_any_name_is_replaced(store, tmp_path):
    for item in list(store.objects("raw/")):
        store.put(item, io.BytesIO(b"new"))
    assert {path.name: path.read_bytes() for path in (tmp_path / "raw").iterdir()} == dict.fromkeys(NAMES, b"new")


class Bucket:
    """S3 that deletes versions. A batch is XML, which can't represent some characters."""

    def __init__(self):
        self.deleted = []

    def delete_object(self, Bucket, Key, VersionId):
        self.deleted.append((Key, VersionId))

    def delete_objects(self, Bucket, Delete):
        for entry in Delete["Objects"]:
            assert not any(character < " " for character in entry["Key"]), "MalformedXML"
            self.deleted.append((entry["Key"], entry["VersionId"]))
        return {}


def test_versions_of_any_name_are_deleted(monkeypatch):
    bucket = Bucket()
    monkeypatch.setattr(objects.boto3, "client", lambda _: bucket)
    items = [objects.Object(f"raw/{name}", str(number)) for number, name in enumerate(NAMES)]
    objects.S3Store("lake", "data").delete_versions(items)
    assert sorted(bucket.deleted) == sorted((f"data/raw/{name}", str(number)) for number, name in enumerate(NAMES))


@pytest.mark.parametrize("name", ["feature%2Fx", "c#", "what?", "two words", "für"])
def test_the_store_of_a_folder_is_that_folder_whatever_its_name(tmp_path, name):
    (tmp_path / name / "data/raw").mkdir(parents=True)
    (tmp_path / name / "data/raw/a").write_bytes(b"{}\n")
    store = objects.open_store(f"file://{tmp_path}/{name}/data")
    assert [item.key for item in store.objects("raw/")] == ["raw/a"]
