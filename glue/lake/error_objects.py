"""Error objects of Firehose: one JSON record per line, with the data in base64.

https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-failure-handling.html
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Iterator

GZIP_MAGIC = b"\x1f\x8b"
# What unpacking a torn object raises.
TORN = (EOFError, OSError, zlib.error)


def count_events(content: bytes) -> int:
    """The lines in an error object, gzip or not. A record that can't be read counts as one, and so does a torn object."""
    try:
        records = list(read_records(content))
    except TORN:
        return 1
    return sum(1 if lines is None else len(lines) for lines in map(read_events, records))


def read_records(content: bytes) -> Iterator[bytes]:
    """The records of an error object, gzip or not."""
    text = gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
    return (record for record in text.split(b"\n") if record.strip())


def read_events(record: bytes) -> list[bytes] | None:
    """The lines in a record's data, as they were put; None if it is not a record."""
    try:
        data = base64.b64decode(json.loads(record)["rawData"], validate=True)
    except (ValueError, KeyError, TypeError):
        return None
    lines = data.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + [lines[-1]] * (lines[-1] != b"")
