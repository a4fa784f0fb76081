"""Which lines an erasure removes, and how their objects are rewritten."""

import base64
import gzip
import json

import pytest

import nasty
from erasure import ID, impression
from lake import lines, objects


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
def test_a_line_contains_the_id_in_any_letter_case_with_escapes_or_without(line):
    assert lines.id_finder(ID)(line.encode())


@pytest.mark.parametrize("line", ["", ID[:-1], ID[:-1] + "b", ID.replace("-", ""), r"\u0062bcdef00" + ID[8:], "\\u"])
def test_a_line_without_the_id_does_not_contain_it(line):
    assert not lines.id_finder(ID)(line.encode())


def error_line(*events: bytes) -> bytes:
    record = {
        "attemptsMade": 4,
        "errorCode": "Lambda.FunctionError",
        "rawData": base64.b64encode(b"".join(events)).decode(),
    }
    return json.dumps(record).encode() + b"\n"


def test_an_error_line_loses_the_events_that_contain_the_id():
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


def test_an_object_that_is_torn_is_named_and_left_alone(tmp_path):
    torn = gzip.compress(NEIGHBOURS[1] * 100)[:-12]
    (tmp_path / "torn.gz").write_bytes(torn)
    with pytest.raises(RuntimeError, match=r"torn\.gz can't be read"):
        lines.rewrite_object(objects.FolderStore(str(tmp_path)), objects.Object("torn.gz"), lines.id_finder(ID))
    assert (tmp_path / "torn.gz").read_bytes() == torn
