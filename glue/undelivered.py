"""Takes the acknowledged lines that Firehose set aside on a day back into the raw zone.

    python3 glue/undelivered.py --bucket BUCKET --database DB --day YYYY-MM-DD [--dry_run]

When Firehose can't call the metrics sink, it writes the records of the batch as JSON, with the data in base64, below
data/raw-errors/<table>/processing-failed/. This script puts their lines, byte for byte, into the hour in which Firehose
received them, so an event that was in time then is in time now. Then it prints its report, and only then deletes the
error objects: a killed run has either printed the report or left everything for the next one. The next run recognises
by its name what is already in raw, and adds nothing twice. Don't run it during an erasure.

It does so for each table of events in the Glue database. It needs boto3, the folder lake/ beside it, and the rights to
read the database's tables, to list the bucket, to read and delete below data/raw-errors/, and to read and write below
data/raw/. The endpoint comes from AWS_ENDPOINT_URL, if set. With --dry_run it changes nothing. Prints one JSON object:

    lines       lines that were taken back, by table
    objects     keys that were added to the raw zone
    removed     error objects that are deleted after the report
    unreadable  error objects with a record that can't be read; nothing was taken from them, and the ledger stays open
    rerun       the first and the last arrival day to run the batch for, or null; the batch also runs the days
                that depend on them

Exit status: 0 when all was taken back, 1 when there are `unreadable` objects or the run failed.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import boto3

from lake.error_objects import TORN, read_events, read_records
from lake.registry import event_groups

ERRORS = "data/raw-errors/{table}/processing-failed/{day:year=%Y/month=%m/day=%d}/"
HOUR = re.compile(r".*/year=(\d{4})/month=(\d{2})/day=(\d{2})/hour=(\d{2})/[^/]+")

# Firehose keeps a record for a day at most, so it received all records of an object within this time. Any other time is
# wrong.
# https://docs.aws.amazon.com/firehose/latest/dev/limits.html
KEPT_BY_FIREHOSE = timedelta(hours=25)


class Unreadable(Exception):
    """A record of an error object is not in Firehose's format."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Takes what Firehose set aside on a day back into the raw zone.")
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--database", required=True, help="the database of the Glue catalog")
    parser.add_argument("--day", required=True, type=date.fromisoformat, help="the day of arrival (UTC)")
    parser.add_argument("--dry_run", action="store_true", help="change nothing")
    arguments = parser.parse_args(argv[1:])
    groups = event_groups(boto3.client("glue"), arguments.database)
    return run(boto3.client("s3"), arguments.bucket, groups, Days(arguments.day), arguments.dry_run)


def run(s3: Any, bucket: str, groups: dict[str, str], days: Days, dry_run: bool = False) -> int:
    """Does the work for the tables, each with its group, and returns the exit status. Prints the report before it
    deletes the error objects."""
    report = take_back(s3, bucket, groups, days, dry_run)
    print(json.dumps(report), flush=True)
    for key in report["removed"]:
        s3.delete_object(Bucket=bucket, Key=key)
    for key in report["unreadable"]:
        print(f"error: {key} has a record that can't be read. Nothing was taken of it", file=sys.stderr)
    return 1 if report["unreadable"] else 0


def take_back(s3: Any, bucket: str, groups: dict[str, str], days: Days, dry_run: bool) -> dict[str, Any]:
    """Puts the lines into the raw zone; returns the report."""
    report: dict[str, Any] = {"lines": dict.fromkeys(groups, 0), "objects": [], "removed": [], "unreadable": []}
    for table, group in groups.items():
        for key in list_keys(s3, bucket, ERRORS.format(table=table, day=days.day)):
            try:
                hours = lines_by_hour(key, s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            except Unreadable:
                report["unreadable"].append(key)
                continue
            if not dry_run:
                for hour, lines in hours.items():
                    raw = raw_key(f"{group}/{table}", hour, key)
                    if put_once(s3, bucket, raw, b"".join(lines)):
                        report["objects"].append(raw)
                report["removed"].append(key)
            report["lines"][table] += sum(map(len, hours.values()))
            days.add(hours)
    return report | {"rerun": days.rerun()}


class Days:
    """The arrival days that change once the lines are in raw."""

    def __init__(self, day: date):
        self.day = day
        self.arrivals: set[date] = set()

    def add(self, hours: Iterable[datetime]) -> None:
        """Adds the hours of an error object's lines, and the day whose ledger no longer counts them as undelivered."""
        self.arrivals |= {self.day} | {hour.date() for hour in hours}

    def rerun(self) -> dict[str, str] | None:
        return {"from": str(min(self.arrivals)), "to": str(max(self.arrivals))} if self.arrivals else None


def list_keys(s3: Any, bucket: str, prefix: str) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [found["Key"] for page in pages for found in page.get("Contents", [])]


def raw_key(folder: str, hour: datetime, error_key: str) -> str:
    """The raw key for an error object's lines of an hour; `folder` is that of a table below data/raw/."""
    name = hashlib.sha256(error_key.encode()).hexdigest()[:16]
    return f"data/raw/{folder}/{hour:year=%Y/month=%m/day=%d/hour=%H}/undelivered-{name}.gz"


def put_once(s3: Any, bucket: str, key: str, text: bytes) -> bool:
    """Stores the text, unless a killed run has done so. Raises `ValueError` when the object has different content."""
    if key not in list_keys(s3, bucket, key):
        s3.put_object(Bucket=bucket, Key=key, Body=gzip.compress(text, mtime=0))
        return True
    if gzip.decompress(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) != text:
        raise ValueError(f"{key} exists with another content. Was an erasure interrupted? Run that again first")
    return False


# --- error objects; https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-failure-handling.html ---


def lines_by_hour(key: str, content: bytes) -> dict[datetime, list[bytes]]:
    """The lines of an error object, each ended by a newline, by the hour of arrival. Raises `Unreadable`.

    Firehose names the object by its oldest record. Each record has its own time of receipt.
    """
    found = HOUR.fullmatch(key)
    if not found:
        raise Unreadable(key)
    year, month, day, hour = map(int, found.groups())
    oldest = datetime(year, month, day, hour, tzinfo=UTC)
    hours: dict[datetime, list[bytes]] = {}
    try:
        records = list(read_records(content))
    except TORN:
        raise Unreadable(key) from None
    for record in records:
        lines = read_events(record)
        if lines is None:
            raise Unreadable(key)
        if lines:
            hours.setdefault(arrival_hour(record, oldest), []).extend(line.rstrip(b"\n") + b"\n" for line in lines)
    return hours


def arrival_hour(record: bytes, oldest: datetime) -> datetime:
    """The hour in which Firehose received the record, milliseconds since 1970, or that of the object if it has none."""
    try:
        moment = datetime.fromtimestamp(int(json.loads(record)["arrivalTimestamp"]) / 1000, UTC)
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return oldest
    return moment.replace(minute=0, second=0, microsecond=0) if abs(moment - oldest) <= KEPT_BY_FIREHOSE else oldest


if __name__ == "__main__":
    sys.exit(main(sys.argv))
