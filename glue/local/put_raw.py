"""Puts files into the raw zone of a bucket: those below FOLDER/<group>/<type>/year=/month=/day=/hour=/.

    python glue/local/put_raw.py --bucket BUCKET --folder FOLDER --types GROUP/TYPE [GROUP/TYPE …]

Folders may be links. Every file must have a place in the raw zone; only hidden files, whose names begin with a dot, are
skipped. Raw is never overwritten. A file whose object exists with the same content is skipped; different content is an
error, and then nothing is stored. Prints one JSON object: keys, unchanged, bytes, first_day, last_day.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

RAW = "data/raw/"
LAYOUT = re.compile(r"([^/]+/[^/]+)/year=([0-9]{4})/month=([0-9]{2})/day=([0-9]{2})/hour=(?:[01][0-9]|2[0-3])/[^/]+")
THREADS = 8


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Puts files into the raw zone of a bucket.")
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--types", required=True, nargs="+", help="the event types that the catalog has, as group/type")
    arguments = parser.parse_args(argv[1:])
    clients = Config(max_pool_connections=THREADS, s3={"addressing_style": "path"})
    try:
        print(json.dumps(put(boto3.client("s3", config=clients), arguments.bucket, arguments.folder, arguments.types)))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def put(s3: Any, bucket: str, folder: Path, types: list[str]) -> dict[str, Any]:
    """Stores what is new. Raises `ValueError` for a file that has no place in the raw zone, or whose object has
    different content."""
    files = {RAW + name: path for name, path in find(folder, types)}
    places = sorted({found.groups() for key in files if (found := LAYOUT.fullmatch(key.removeprefix(RAW)))})
    days = sorted({"-".join(parts) for _, *parts in places})
    stored: dict[str, str] = {}
    for group_and_type, year, month, day in places:
        stored |= list_etags(s3, bucket, f"{RAW}{group_and_type}/year={year}/month={month}/day={day}/")
    with ThreadPoolExecutor(THREADS) as threads:
        there = [key for key in files if key in stored]
        same = dict(zip(there, threads.map(lambda key: etag(files[key]) == stored[key], there), strict=True))
        taken = sorted(key for key, is_same in same.items() if not is_same)
        if taken:
            raise ValueError(f"{len(taken)} objects exist with another content, such as {taken[0]}: nothing was stored")
        fresh = sorted(key for key in files if key not in stored)
        list(threads.map(lambda key: upload(s3, bucket, key, files[key]), fresh))
    return {
        "keys": fresh,
        "unchanged": len(there),
        "bytes": sum(files[key].stat().st_size for key in fresh),
        "first_day": days[0] if days else "",
        "last_day": days[-1] if days else "",
    }


def find(folder: Path, types: list[str]) -> Iterator[tuple[str, Path]]:
    """The files below a folder with their names below `data/raw/`, in order. Linked folders are followed."""
    for path in sorted(walk(folder, ())):
        if path.name.startswith("."):
            continue
        name = path.relative_to(folder).as_posix()
        place = LAYOUT.fullmatch(name)
        if not place or place[1] not in types:
            raise ValueError(
                f"{path} has no place in the raw zone: files are at <group>/<type>/year=YYYY/month=MM/day=DD/hour=HH/, where "
                f"<group>/<type> is one of {', '.join(types)}"
            )
        _, *day = place.groups()
        if not is_day(*day):
            raise ValueError(f"{path}: {'-'.join(day)} is not a day")
        # Spark and Hadoop skip such files silently: their lines would never reach the lake.
        if path.name.startswith("_") or path.name.endswith("._COPYING_"):
            raise ValueError(
                f"{path} would never be read: rename it, without `_` at its start or `._COPYING_` at its end"
            )
        yield name, path


def walk(folder: Path, parents: tuple[str, ...]) -> Iterator[Path]:
    """The files below a folder, also behind links. Raises `ValueError` for a link to a parent or to nothing."""
    real = os.path.realpath(folder)
    if real in parents:
        raise ValueError(f"{folder} is a link to one of its own parents")
    for path in folder.iterdir():
        if path.is_dir():
            yield from walk(path, (*parents, real))
        elif path.is_file():
            yield path
        elif not path.name.startswith("."):
            raise ValueError(f"{path} is not a file: a broken link, or a special file")


def is_day(year: str, month: str, day: str) -> bool:
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


def list_etags(s3: Any, bucket: str, prefix: str) -> dict[str, str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {found["Key"]: found["ETag"].strip('"') for page in pages for found in page.get("Contents", [])}


def etag(path: Path) -> str:
    """The ETag of an object that was put in one part: the MD5 of its bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def upload(s3: Any, bucket: str, key: str, path: Path) -> None:
    with path.open("rb") as file:
        s3.put_object(Bucket=bucket, Key=key, Body=file)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
