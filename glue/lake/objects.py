"""Objects below the data path, and their earlier versions: in a bucket of S3, or in a folder on a laptop."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import boto3

# https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
MAX_DELETED_OBJECTS = 1000


CONTROL = re.compile(r"[\x00-\x1f]")

# The prefix of files that are not objects yet.
TEMPORARY = ".erasing-"


@dataclass(frozen=True)
class Object:
    """An object, or an earlier version of one. `key` is below the data path; without versions, `version` is empty."""

    key: str
    version: str = ""
    is_live: bool = True


class Store(Protocol):
    """A place with objects."""

    def objects(self, prefix: str) -> Iterator[Object]: ...

    def open(self, item: Object) -> IO[bytes]:
        """The content, which can be read again from the start."""

    def put(self, item: Object, content: IO[bytes]) -> None:
        """Replaces the object in one step, and leaves no earlier version of it."""

    def write(self, key: str, content: bytes) -> None:
        """Puts an object in one step, whether there is one or not."""

    def delete_versions(self, items: Iterable[Object]) -> None: ...

    def keeps_versions(self) -> bool: ...

    def orphaned_markers(self, prefix: str) -> list[Object]:
        """The delete markers of keys without any version."""

    def forget(self, key: str) -> None:
        """Deletes the object, if there is one, with all its versions and delete markers."""


def open_store(data_path: str) -> Store:
    """The store of `s3://…` or `file:///…`. Raises `ValueError` for anything else.

    As in Hadoop, the rest is taken literally: `%2F` and `#` are not decoded.
    """
    scheme, _, location = data_path.rpartition("://")
    if scheme in ("s3", "s3a"):
        bucket, _, prefix = location.partition("/")
        return S3Store(bucket, prefix.strip("/"))
    if scheme in ("file", ""):
        return FolderStore(location)
    raise ValueError(f"{data_path} is neither s3:// nor file://")


def is_checksum_or_temporary(name: str) -> bool:
    """Whether a file is not an object, but a checksum of Hadoop's or an unfinished file."""
    return name.startswith(".") and (name.endswith(".crc") or name.startswith(TEMPORARY))


class FolderStore:
    """A local folder, which keeps no versions."""

    def __init__(self, root: str):
        self.root = Path(root)

    def objects(self, prefix: str) -> Iterator[Object]:
        for folder, _, names in os.walk(self.root / prefix):
            for name in names:
                if not is_checksum_or_temporary(name):
                    yield Object(str(Path(folder, name).relative_to(self.root)))

    def open(self, item: Object) -> IO[bytes]:
        return (self.root / item.key).open("rb")

    def put(self, item: Object, content: IO[bytes]) -> None:
        self.replace(item.key, content)

    def write(self, key: str, content: bytes) -> None:
        (self.root / key).parent.mkdir(parents=True, exist_ok=True)
        self.replace(key, io.BytesIO(content))

    def replace(self, key: str, content: IO[bytes]) -> None:
        path = self.root / key
        # Hidden from every reader, and overwritten by the next run if this one is killed.
        temporary = path.with_name(f"{TEMPORARY}{hashlib.md5(os.fsencode(path.name)).hexdigest()}")
        with temporary.open("wb") as out:
            shutil.copyfileobj(content, out)
        temporary.replace(path)

    def delete_versions(self, items: Iterable[Object]) -> None:
        pass

    def keeps_versions(self) -> bool:
        return False

    def orphaned_markers(self, prefix: str) -> list[Object]:
        return []

    def forget(self, key: str) -> None:
        (self.root / key).unlink(missing_ok=True)


class S3Store:
    """A prefix of a bucket."""

    def __init__(self, bucket: str, prefix: str):
        self.bucket, self.prefix = bucket, prefix
        self.client = boto3.client("s3")

    def objects(self, prefix: str) -> Iterator[Object]:
        """All objects, and all earlier versions if the bucket keeps them."""
        operation = "list_object_versions" if self.keeps_versions() else "list_objects_v2"
        pages = self.client.get_paginator(operation).paginate(Bucket=self.bucket, Prefix=f"{self.prefix}/{prefix}")
        for page in pages:
            for found in page.get("Versions", page.get("Contents", [])):
                key = found["Key"].removeprefix(f"{self.prefix}/")
                yield Object(key, found.get("VersionId", ""), found.get("IsLatest", True))

    def open(self, item: Object) -> IO[bytes]:
        content = tempfile.TemporaryFile()  # noqa: SIM115  The caller closes it.
        shutil.copyfileobj(self.client.get_object(**self.address(item))["Body"], content)
        content.seek(0)
        return content

    def put(self, item: Object, content: IO[bytes]) -> None:
        stored = self.client.head_object(**self.address(item))
        described = {name: stored[name] for name in ("ContentType", "ContentEncoding", "Metadata") if name in stored}
        answer = self.client.put_object(Bucket=self.bucket, Key=self.key(item), Body=content, **described)
        # Where versions are suspended, the object has replaced the one of the same version, `null`.
        if item.version and item.version != answer.get("VersionId", "null"):
            self.delete_versions([item])

    def write(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self.key(Object(key)), Body=content)

    def delete_versions(self, items: Iterable[Object]) -> None:
        versions = [{"Key": self.key(item), "VersionId": item.version} for item in items]
        # XML can't represent their characters, and a batch is XML.
        for version in (version for version in versions if CONTROL.search(version["Key"])):
            self.client.delete_object(Bucket=self.bucket, **version)
        versions = [version for version in versions if not CONTROL.search(version["Key"])]
        for start in range(0, len(versions), MAX_DELETED_OBJECTS):
            batch = {"Objects": versions[start : start + MAX_DELETED_OBJECTS], "Quiet": True}
            errors = self.client.delete_objects(Bucket=self.bucket, Delete=batch).get("Errors")
            if errors:
                raise RuntimeError(f"{len(errors)} earlier versions can't be deleted, the first: {errors[0]}")

    def keeps_versions(self) -> bool:
        return self.client.get_bucket_versioning(Bucket=self.bucket).get("Status") in ("Enabled", "Suspended")

    def orphaned_markers(self, prefix: str) -> list[Object]:
        marks = [item for is_mark, item in self.history(prefix) if is_mark]
        if not marks:
            return []
        left = {item.key for is_mark, item in self.history(prefix) if not is_mark}
        return [mark for mark in marks if mark.key not in left]

    def forget(self, key: str) -> None:
        if not self.keeps_versions():
            self.client.delete_object(Bucket=self.bucket, Key=self.key(Object(key)))
            return
        history = [(is_mark, item) for is_mark, item in self.history(key) if item.key == key]
        # If the marker went first, what it hides would be visible for a moment.
        for of_marks in (False, True):
            self.delete_versions(item for is_mark, item in history if is_mark is of_marks)

    def history(self, prefix: str) -> Iterator[tuple[bool, Object]]:
        """All versions and delete markers: whether it is a marker, its key and version."""
        pages = self.client.get_paginator("list_object_versions").paginate(
            Bucket=self.bucket, Prefix=f"{self.prefix}/{prefix}"
        )
        for page in pages:
            for kind in ("Versions", "DeleteMarkers"):
                for found in page.get(kind, []):
                    key = found["Key"].removeprefix(f"{self.prefix}/")
                    yield kind == "DeleteMarkers", Object(key, found["VersionId"], found["IsLatest"])

    def address(self, item: Object) -> dict[str, str]:
        version = {"VersionId": item.version} if item.version else {}
        return {"Bucket": self.bucket, "Key": self.key(item)} | version

    def key(self, item: Object) -> str:
        return f"{self.prefix}/{item.key}"
