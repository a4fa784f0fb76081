"""Removes what is erased from lines of raw objects and error objects."""

from __future__ import annotations

import base64
import gzip
import json
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import IO

from lake.error_objects import GZIP_MAGIC, read_events
from lake.objects import Object, Store

# Below the data path. An error object of Firehose holds the events it could not deliver.
RAW_ERRORS = "raw-errors/"


def id_pattern(erased: str) -> str:
    """A regular expression, for Python and Java alike, of the id in any letter case, with JSON's escapes or without.

    JSON nested as text in JSON has more than one backslash per escape.
    """
    characters = []
    for character in erased:
        codes = "|".join(f"{ord(case):02x}" for case in sorted({character, character.upper()}))
        characters.append(rf"(?:{re.escape(character)}|\\+u00(?:{codes}))")
    return "(?i)" + "".join(characters)


def id_finder(erased: str) -> Callable[[bytes], bool]:
    """Whether a line contains the id. Most lines have no escapes and are decided quickly."""
    text, pattern = erased.encode(), re.compile(id_pattern(erased).encode())
    return lambda line: text in line.lower() or (b"\\u" in line and pattern.search(line) is not None)


def strip_lines(store: Store, item: Object, holds: Callable[[bytes], bool]) -> Iterator[tuple[bytes, int]]:
    """What is left of each line of the object, and the number of events removed from it."""
    strip = strip_error if item.key.startswith(RAW_ERRORS) else strip_line
    with store.open(item) as stored:
        try:
            for line in gzip.GzipFile(fileobj=stored) if is_gzip(stored) else stored:
                yield strip(line, holds)
        except (EOFError, OSError, zlib.error) as error:
            raise RuntimeError(f"{item.key} can't be read: {error}") from error


def strip_line(line: bytes, holds: Callable[[bytes], bool]) -> tuple[bytes, int]:
    return (b"", 1) if holds(line) else (line, 0)


def strip_error(line: bytes, holds: Callable[[bytes], bool]) -> tuple[bytes, int]:
    """As `strip_line`, for a line of an error object of Firehose, whose `rawData` are events in base64."""
    events = read_events(line)
    if events is None:
        return strip_line(line, holds)
    kept = [event for event in events if not holds(event)]
    if len(kept) == len(events):
        return line, 0
    rest = json.dumps(json.loads(line) | {"rawData": base64.b64encode(b"".join(kept)).decode()}).encode() + b"\n"
    return rest if kept else b"", len(events) - len(kept)


def is_gzip(stored: IO[bytes]) -> bool:
    """Whether an object is gzip, by its first bytes."""
    magic = stored.read(len(GZIP_MAGIC))
    stored.seek(0)
    return magic == GZIP_MAGIC


def rewrite_object(store: Store, item: Object, holds: Callable[[bytes], bool]) -> None:
    """Replaces a raw object by one without the lines that contain what is erased, compressed as before."""
    with store.open(item) as stored:
        packed = is_gzip(stored)
    with tempfile.TemporaryFile() as content:
        with gzip.GzipFile(fileobj=content, mode="wb", mtime=0) if packed else nullcontext(content) as out:
            for rest, _ in strip_lines(store, item, holds):
                out.write(rest)
        content.seek(0)
        store.put(item, content)
