"""The mirror of a bucket and the import into it, against a bucket in memory."""

import pytest

import mirror
import put_raw
from fakes import CountingBucket


@pytest.fixture
def bucket():
    return CountingBucket()


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
    # Uploads come before deletions: a reader in between finds one or the other.
    assert bucket.calls == [("put", "data/new"), ("delete", "data/old")]
    assert bucket.objects == {"data/same": b"2", "data/new": b"3", "data/raw": b"came while the job ran"}


def test_an_object_that_is_named_like_a_check_sum_is_an_object(bucket, folder):
    bucket.objects |= {"data/raw/a.gz": b"1", "data/raw/sums.crc": b"2", "data/raw/.b.crc": b"3"}
    before = dict(bucket.objects)
    here = make(bucket, folder)
    here.fetch()
    assert here.put_back() == set()
    assert (bucket.objects, make(bucket, folder).fetch()) == (before, set())
    # One that Hadoop would take for its own checksum is not downloaded.
    assert files(folder) == {"data/raw/a.gz": b"1", "data/raw/sums.crc": b"2"}


def test_only_what_a_job_deleted_is_deleted(bucket, folder):
    bucket.objects |= {"data/a": b"1", "data/b": b"2"}
    here = make(bucket, folder)
    here.fetch()
    (folder / "data/a").unlink()
    (folder / "data/b").unlink()
    # Rewritten while the job ran: the job deleted the earlier object.
    bucket.objects["data/b"] = b"3"
    here.put_back()
    assert bucket.objects == {"data/b": b"3"}


def test_a_folder_is_listed_by_itself_when_the_bucket_has_many_objects(bucket, folder, monkeypatch):
    monkeypatch.setattr(mirror, "MAX_LISTED_KEYS", 4)
    bucket.objects |= {f"data/a/{number}": b"1" for number in range(6)} | {"data/b/0": b"2", "data/b/c/0": b"3"}
    here = make(bucket, folder)
    here.fetch()
    bucket.listed.clear()
    for gone in ("data/b/0", "data/a/5"):
        (folder / gone).unlink()
    bucket.objects["data/a/5"] = b"came while the job ran"
    assert here.put_back() == {"data/b/0"}
    assert bucket.listed == ["data/a/", "data/b/"]
    # Of few objects, one listing has them all.
    bucket.listed.clear()
    for gone in ("data/a/4", "data/b/c/0"):
        (folder / gone).unlink()
    assert here.put_back() == {"data/a/4", "data/b/c/0"}
    assert bucket.listed == ["data/"]
    assert bucket.objects.keys() == {*(f"data/a/{number}" for number in (0, 1, 2, 3, 5))}


def test_what_a_killed_job_left_behind_goes(bucket, folder):
    here = make(bucket, folder)
    here.fetch()
    (folder / "data").mkdir(parents=True)
    (folder / "data/half").write_bytes(b"half")
    assert make(bucket, folder).fetch() == {"data/half"}
    assert files(folder) == {}


RAW = "ad/clicks/year=2026/month=11/day=20/hour=09"
TYPES = ["ad/impressions", "ad/clicks", "shop/orders"]


def put_file(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_an_import_stores_what_is_new_and_a_second_one_nothing(bucket, folder):
    put_file(folder, f"{RAW}/a.gz", b"1")
    put_file(folder, "shop/orders/year=2026/month=12/day=01/hour=23/b.gz", b"22")
    first = put_raw.put(bucket, "lake", folder, TYPES)
    assert (len(first["keys"]), first["bytes"], first["first_day"], first["last_day"]) == (
        2,
        3,
        "2026-11-20",
        "2026-12-01",
    )
    assert bucket.objects[f"data/raw/{RAW}/a.gz"] == b"1"
    second = put_raw.put(bucket, "lake", folder, TYPES)
    assert (second["keys"], second["unchanged"], second["bytes"]) == ([], 2, 0)


def test_raw_is_never_written_over(bucket, folder):
    bucket.objects[f"data/raw/{RAW}/a.gz"] = b"1"
    put_file(folder, f"{RAW}/a.gz", b"2")
    put_file(folder, f"{RAW}/b.gz", b"3")
    with pytest.raises(ValueError, match="another content"):
        put_raw.put(bucket, "lake", folder, TYPES)
    assert bucket.objects == {f"data/raw/{RAW}/a.gz": b"1"}


@pytest.mark.parametrize(
    "name",
    [
        "ad/views/year=2026/month=11/day=20/hour=09/a",
        RAW.replace("ad/", "shop/") + "/a",
        "ad/clicks/2026-11-20/a",
        f"{RAW}/b/a",
    ],
)
def test_a_file_without_a_place_in_the_raw_zone_is_an_error(bucket, folder, name):
    put_file(folder, name, b"1")
    with pytest.raises(ValueError, match="no place in the raw zone"):
        put_raw.put(bucket, "lake", folder, TYPES)


@pytest.mark.parametrize("name", ["_late.gz", "_part=1.gz", "c.gz._COPYING_"])
def test_a_file_that_spark_would_skip_is_refused_with_all_others(bucket, folder, name):
    put_file(folder, f"{RAW}/a.gz", b"1")
    put_file(folder, f"{RAW}/{name}", b"2")
    with pytest.raises(ValueError, match="would never be read"):
        put_raw.put(bucket, "lake", folder, TYPES)
    assert bucket.objects == {}


def test_hidden_files_are_passed_over(bucket, folder):
    put_file(folder, f"{RAW}/a.gz", b"1")
    put_file(folder, f"{RAW}/.a.gz.partial", b"half")
    put_file(folder, ".DS_Store", b"a file browser's own")
    assert put_raw.put(bucket, "lake", folder, TYPES)["keys"] == [f"data/raw/{RAW}/a.gz"]


@pytest.mark.parametrize("day", ["2026/02/30", "2026/02/29", "2026/04/31", "2026/13/01", "2026/00/10", "0000/01/01"])
def test_a_day_that_no_calendar_has_is_refused(bucket, folder, day):
    year, month, of_month = day.split("/")
    put_file(folder, f"ad/clicks/year={year}/month={month}/day={of_month}/hour=09/a.gz", b"1")
    with pytest.raises(ValueError, match=f"{year}-{month}-{of_month} is not a day"):
        put_raw.put(bucket, "lake", folder, TYPES)
    assert bucket.objects == {}


def test_a_leap_day_is_a_day(bucket, folder):
    put_file(folder, "ad/clicks/year=2028/month=02/day=29/hour=09/a.gz", b"1")
    assert put_raw.put(bucket, "lake", folder, TYPES)["first_day"] == "2028-02-29"


def test_linked_folders_and_files_are_stored(bucket, folder, tmp_path):
    put_file(tmp_path / "elsewhere", "month=11/day=20/hour=09/a.gz", b"1")
    (folder / "ad/clicks").mkdir(parents=True)
    (folder / "ad/clicks/year=2026").symlink_to(tmp_path / "elsewhere")
    put_file(tmp_path, "b.gz", b"2")
    (folder / RAW / "b.gz").symlink_to(tmp_path / "b.gz")
    put_raw.put(bucket, "lake", folder, TYPES)
    assert bucket.objects == {f"data/raw/{RAW}/a.gz": b"1", f"data/raw/{RAW}/b.gz": b"2"}


@pytest.mark.parametrize("target, problem", [("..", "one of its own parents"), ("nowhere", "broken link")])
def test_a_link_that_leads_nowhere_or_in_a_circle_is_refused(bucket, folder, target, problem):
    put_file(folder, f"{RAW}/a.gz", b"1")
    (folder / RAW / "link").symlink_to(target)
    with pytest.raises(ValueError, match=problem):
        put_raw.put(bucket, "lake", folder, TYPES)
    assert bucket.objects == {}


@pytest.mark.parametrize(
    "key", ["data/raw/../../outside", "data//a", "data/./a", "data/a/../b", "data/raw/a\0b", "data/x" * 3 + "/.." * 9]
)
def test_an_object_whose_key_leads_elsewhere_stays_in_the_bucket(bucket, folder, key):
    bucket.objects |= {"data/a": b"1", key: b"2"}
    before = dict(bucket.objects)
    here = make(bucket, folder)
    assert here.fetch() == {"data/a"}
    assert here.put_back() == set()
    assert (files(folder.parent).keys() - {"bucket.index.json"}, bucket.objects) == ({"bucket/data/a"}, before)


def test_below_an_object_there_is_no_folder(bucket, folder):
    bucket.objects |= {"data/a": b"1", "data/a/b": b"2", "data/a/b/c": b"3", "data/ab": b"4", "data/d/": b""}
    before = dict(bucket.objects)
    here = make(bucket, folder)
    here.fetch()
    assert files(folder) == {"data/a": b"1", "data/ab": b"4"}
    assert (here.put_back(), bucket.objects) == (set(), before)


HOUR = f"data/raw/{RAW}"


@pytest.mark.parametrize(
    "name",
    [
        "10:15 a+b%2F=.gz",
        "\x01\x1f\x7f.gz",
        "\n\r\t",
        "🦀" * 63,
        "é" * 127,
        "a\\b\"c'.gz",
        "*?[a]{b,c}^#",
        "x" * 252 + ".gz",
        "x" * 245,
        " ",
        "~",
    ],
)
def test_any_name_of_a_file_is_one_of_an_object_and_the_other_way_round(bucket, folder, name):
    bucket.objects |= {f"{HOUR}/{name}": b"1"}
    here = make(bucket, folder)
    assert here.fetch() == {f"{HOUR}/{name}"}
    assert files(folder) == {f"{HOUR}/{name}": b"1"}
    (folder / HOUR / name).write_bytes(b"22")
    here.put_back()
    assert bucket.objects == {f"{HOUR}/{name}": b"22"}
    bucket.objects[f"{HOUR}/{name}"] = b"333"
    here.fetch()
    assert files(folder) == {f"{HOUR}/{name}": b"333"}


@pytest.mark.parametrize("name", ["x" * 256, "🦀" * 64, "x" * 900 + ".gz"])
def test_a_raw_object_that_no_file_can_be_named_like_is_an_error_that_names_it(bucket, folder, name):
    bucket.objects |= {f"{HOUR}/a.gz": b"1", f"{HOUR}/{name}": b"2"}
    with pytest.raises(RuntimeError, match=f"the raw object {HOUR}/{name} has a name of more than 255 bytes"):
        make(bucket, folder).fetch()
    # Outside of raw, or where no reader looks, it does not matter.
    bucket.objects = {
        f"{HOUR}/a.gz": b"1",
        f"data/lake/{name}": b"2",
        f"{HOUR}/_{name}": b"3",
        f"{HOUR}/b/{name}": b"4",
    }
    make(bucket, folder).fetch()
    assert files(folder) == {f"{HOUR}/a.gz": b"1"}


@pytest.mark.parametrize(
    "name", ["10:15 a+b%2F=.gz", "\x01\x1f.gz", "a\nb.gz", "🦀" * 63, "x" * 252 + ".gz", "a\\b\"c'.gz", "-rf", "*.gz"]
)
def test_an_import_keeps_any_name(bucket, folder, name):
    put_file(folder, f"{RAW}/{name}", b"1")
    assert put_raw.put(bucket, "lake", folder, TYPES)["keys"] == [f"data/raw/{RAW}/{name}"]
    assert bucket.objects == {f"data/raw/{RAW}/{name}": b"1"}
