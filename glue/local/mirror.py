"""A folder that mirrors a bucket's prefixes: downloaded before a job, uploaded after it.

Spark from PyPI has no file system for S3. Objects with equal name, size and ETag are not transferred, so without
changes a run costs one listing. The index of known objects is in a file beside the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Concurrent requests. The emulator uses one core.
THREADS = 8

# The longest file name on Linux and macOS. A key may have 1,024 bytes.
MAX_NAME_BYTES = 255

# The layout in docs/lake.md.
RAW_OBJECT = re.compile(
    r"(.*/)?raw/[^/]+/[^/]+/year=\d{4}/month=\d\d/day=\d\d/hour=\d\d/(?![._])[^/]+(?<!\._COPYING_)", re.DOTALL
)

# https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
MAX_DELETED_KEYS = 1000

# https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
MAX_LISTED_KEYS = 1000


@dataclass(frozen=True)
class Seen:
    """An object as it was when both sides were equal: its ETag, and the file's size and time."""

    etag: str
    size: int
    modified: int


class Mirror:
    """The bucket's objects below the prefixes, as files below `folder`, named by their keys.

    `s3` is a boto3 client. Prefixes end with a slash.
    """

    def __init__(self, s3: Any, bucket: str, folder: Path, prefixes: list[str]):
        self.s3, self.bucket, self.folder, self.prefixes = s3, bucket, folder, prefixes
        self.index_path = folder.with_name(f"{folder.name}.index.json")
        self.index = read_index(self.index_path)

    def fetch(self) -> set[str]:
        """Makes the folder equal to the bucket; returns the keys that changed."""
        objects = files_of({key: etag for prefix in self.prefixes for key, etag in self.list_objects(prefix)})
        files = self.list_files()
        stale = [key for key in objects if self.seen(key, files) != objects[key]]
        gone = [key for key in files if key not in objects]
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(self.download, stale))
        for key in gone:
            self.path(key).unlink()
            self.index.pop(key, None)
        self.index = {key: seen for key, seen in self.index.items() if key in objects}
        self.save_index()
        return {*stale, *gone}

    def put_back(self, for_good: bool = False) -> set[str]:
        """Makes the bucket equal to the folder: new objects first, then what is gone; returns the keys that changed.

        Only objects that were downloaded and have not changed since are deleted. What is replaced or deleted stays in
        the bucket as an earlier version, unless `for_good`.
        """
        files = self.list_files()
        fresh = [key for key in files if self.seen(key, files) is None]
        missing = [key for key in self.index if key not in files]
        objects = {key: etag for prefix in self.prefixes_of(missing) for key, etag in self.list_objects(prefix)}
        gone = [key for key in missing if objects.get(key) == self.index[key].etag]
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(self.upload, fresh))
        self.delete({"Key": key} for key in gone)
        if for_good:
            self.forget(set(fresh), set(gone))
        for key in missing:
            del self.index[key]
        self.save_index()
        return {*fresh, *gone}

    def forget(self, replaced: set[str], deleted: set[str]) -> None:
        """Deletes all versions of the keys except the latest of replaced ones, and the delete markers."""
        if not replaced and not deleted:
            return
        pages = [
            page
            for prefix in self.prefixes
            for page in self.s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix)
        ]
        # If the marker went first, what it hides would be visible for a moment.
        for kind in ("Versions", "DeleteMarkers"):
            self.delete(
                {"Key": entry["Key"], "VersionId": entry["VersionId"]}
                for page in pages
                for entry in page.get(kind, [])
                if entry["Key"] in deleted or (entry["Key"] in replaced and not entry["IsLatest"])
            )

    def prefixes_of(self, keys: list[str]) -> list[str]:
        """The prefixes to list for these keys: their own folders, if all objects together take more requests."""
        folders = sorted({f"{key.rpartition('/')[0]}/" for key in keys})
        return folders if len(folders) <= len(self.index) / MAX_LISTED_KEYS else self.prefixes

    def delete(self, found: Iterable[dict[str, str]]) -> None:
        """Deletes objects, or single versions of them."""
        entries = list(found)
        for start in range(0, len(entries), MAX_DELETED_KEYS):
            objects = {"Objects": entries[start : start + MAX_DELETED_KEYS], "Quiet": True}
            answer = self.s3.delete_objects(Bucket=self.bucket, Delete=objects)
            if answer.get("Errors"):
                raise RuntimeError(f"objects cannot be deleted: {answer['Errors']}")

    def path(self, key: str) -> Path:
        return self.folder / key

    def list_objects(self, prefix: str) -> list[tuple[str, str]]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [
            (found["Key"], found["ETag"])
            for page in pages
            for found in page.get("Contents", [])
            if not found["Key"].endswith("/") and not is_checksum(found["Key"].rpartition("/")[2])
        ]

    def list_files(self) -> dict[str, os.stat_result]:
        """Files by key."""
        found = {}
        for prefix in self.prefixes:
            for folder, _, names in os.walk(self.folder / prefix):
                for name in names:
                    if not is_checksum(name):
                        path = Path(folder) / name
                        found[path.relative_to(self.folder).as_posix()] = path.stat()
        return found

    def seen(self, key: str, files: dict[str, os.stat_result]) -> str | None:
        """The ETag of the object that the file equals, unless the file has changed since."""
        seen, file = self.index.get(key), files.get(key)
        if seen and file and (file.st_size, file.st_mtime_ns) == (seen.size, seen.modified):
            return seen.etag
        return None

    def download(self, key: str) -> None:
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        answer = self.s3.get_object(Bucket=self.bucket, Key=key)
        # Written to another name and renamed, so that an interrupted download leaves no partial file.
        partial = path.with_name(f".{hashlib.md5(os.fsencode(path.name)).hexdigest()}.partial.crc")
        with partial.open("wb") as file:
            for chunk in answer["Body"].iter_chunks(1 << 20):
                file.write(chunk)
        partial.replace(path)
        # With an old checksum Hadoop would refuse the new content.
        with contextlib.suppress(OSError):
            # There is none, or its name would be too long.
            path.with_name(f".{path.name}.crc").unlink()
        self.remember(key, answer["ETag"])

    def upload(self, key: str) -> None:
        with self.path(key).open("rb") as file:
            answer = self.s3.put_object(Bucket=self.bucket, Key=key, Body=file)
        self.remember(key, answer["ETag"])

    def remember(self, key: str, etag: str) -> None:
        file = self.path(key).stat()
        self.index[key] = Seen(etag, file.st_size, file.st_mtime_ns)

    def save_index(self) -> None:
        partial = self.index_path.with_suffix(".partial")
        partial.write_text(json.dumps({key: vars(seen) for key, seen in self.index.items()}), encoding="utf-8")
        partial.replace(self.index_path)


def files_of(objects: dict[str, str]) -> dict[str, str]:
    """The objects that can be files below a folder. Others stay untouched in the bucket: no reader takes them for data.
    Raises `RuntimeError` for a raw object that can't be a file, since its lines would never be read.

    A key such as `a/../b` leads elsewhere, `a//b` is another file's, and below the object `a` there can be no `a/b`.
    """
    found = {}
    for key, etag in objects.items():
        parts = key.split("/")
        folders = ("/".join(parts[:count]) for count in range(1, len(parts)))
        is_path = (
            not {"", ".", ".."} & set(parts) and "\0" not in key and not any(folder in objects for folder in folders)
        )
        if is_path and all(len(os.fsencode(part)) <= MAX_NAME_BYTES for part in parts):
            found[key] = etag
        elif is_path and RAW_OBJECT.fullmatch(key):
            raise RuntimeError(
                f"the raw object {key} has a name of more than {MAX_NAME_BYTES} bytes, which no file here can have: rename it"
            )
    return found


def is_checksum(name: str) -> bool:
    """Whether a name is that of a Hadoop checksum of another file.

    An object of such a name is not downloaded: no reader takes it for data, and it would make the file unreadable.
    """
    return name.startswith(".") and name.endswith(".crc")


def read_index(path: Path) -> dict[str, Seen]:
    """The index of an earlier process. Without one, everything is downloaded again."""
    try:
        return {key: Seen(**seen) for key, seen in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError):
        return {}
