"""Puts files into the raw zone of a bucket: those below FOLDER/ad/{impressions,clicks}/year=/month=/day=/hour=/.

    python glue/local/put_raw.py --bucket BUCKET --folder FOLDER

Raw is never written over. A file whose object exists with the same content is left alone; one whose object has another
content is an error, and then nothing is stored. Prints one JSON object: keys, unchanged, bytes, first_day, last_day.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

RAW = "data/raw/"
LAYOUT = re.compile(
    r"ad/(impressions|clicks)/year=(\d{4})/month=(0[1-9]|1[0-2])/day=(0[1-9]|[12]\d|3[01])/hour=([01]\d|2[0-3])/[^/]+"
)
THREADS = 8


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Puts files into the raw zone of a bucket.")
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    arguments = parser.parse_args(argv[1:])
    clients = Config(max_pool_connections=THREADS, s3={"addressing_style": "path"})
    try:
        print(json.dumps(put(boto3.client("s3", config=clients), arguments.bucket, arguments.folder)))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def put(s3: Any, bucket: str, folder: Path) -> dict[str, Any]:
    """Stores what is new. Raises `ValueError` for a file that has no place in the raw zone, or whose place is taken."""
    files = {RAW + name: path for name, path in find(folder)}
    days = sorted({"-".join(LAYOUT.fullmatch(key.removeprefix(RAW)).group(2, 3, 4)) for key in files})
    stored = {}
    for table in ("impressions", "clicks"):
        for day in days:
            year, month, date = day.split("-")
            stored |= list_etags(s3, bucket, f"{RAW}ad/{table}/year={year}/month={month}/day={date}/")
    with ThreadPoolExecutor(THREADS) as threads:
        there = [key for key in files if key in stored]
        same = dict(zip(there, threads.map(lambda key: etag(files[key]) == stored[key], there)))
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


def find(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            name = path.relative_to(folder).as_posix()
            if not LAYOUT.fullmatch(name):
                raise ValueError(
                    f"{path} has no place in the raw zone: files lie below "
                    "ad/{impressions,clicks}/year=YYYY/month=MM/day=DD/hour=HH/"
                )
            yield name, path


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
