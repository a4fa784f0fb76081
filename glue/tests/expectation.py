"""The books by their definition, in plain Python: slow, obvious, and without a line of the job's code."""

import json
import re
import uuid
from collections import Counter
from datetime import datetime, timedelta

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
IDS = {"impressions": ["impression_id", "ad_id"], "clicks": ["click_id", "impression_id", "ad_id"]}


def read_event(table: str, line: str, arrived: datetime):
    """The event as (ids…, occurred_at), or None when the line is none."""
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    if not isinstance(fields, dict):
        return None
    texts = [fields.get(name) for name in [*IDS[table], "occurred_at"]]
    if not all(isinstance(text, str) and text.isascii() for text in texts):
        return None
    try:
        ids = [str(uuid.UUID(text)) for text in texts[:-1]]
        form = "%Y-%m-%d %H:%M:%S.%f" if "." in texts[-1] else "%Y-%m-%d %H:%M:%S"
        occurred = datetime.strptime(texts[-1], form)
    except ValueError:
        return None
    if any(len(text) != 36 for text in texts[:-1]) or not re.fullmatch(r"[\d :.-]{19}|[\d :.-]{23}", texts[-1]):
        return None
    return None if occurred >= arrived + 2 * HOUR else (*ids, occurred)


def midnight(moment: datetime) -> datetime:
    return datetime(moment.year, moment.month, moment.day)


def fates(table: str, lines, lookback_days: int) -> list[tuple]:
    """`(arrived, event or None, fate)` of each `(hour, file name, line)`, in order of arrival."""
    read = []
    for hour, name, line, *_ in lines:
        arrived = datetime.strptime(hour, "%Y-%m-%d %H")
        event = read_event(table, line, arrived)
        read.append((arrived, name, event))
    read.sort(key=lambda entry: (entry[0], entry[1], entry[2] and (entry[2][-1], entry[2]) or ()))
    told, seen = [], {}
    for arrived, _, event in read:
        if event is None:
            fate = "rejected"
        elif midnight(arrived) - midnight(event[-1]) > lookback_days * DAY:
            fate = "late"
        else:
            earlier = seen.setdefault(event[0], [])
            fate = "repeats" if any(before >= midnight(event[-1]) - HOUR for before in earlier) else "kept"
            earlier.append(arrived)
        told.append((arrived, event, fate))
    return told


def books(table: str, lines, lookback_days: int) -> dict[str, Counter]:
    """Lines by arrival day and fate, `raw` counting all."""
    counts: dict[str, Counter] = {}
    for arrived, _, fate in fates(table, lines, lookback_days):
        counts.setdefault(f"{arrived:%Y-%m-%d}", Counter()).update(["raw", fate])
    return counts


def lake(table: str, lines, lookback_days: int) -> list[tuple]:
    """The lake's rows: ids…, occurred_at, arrived_on, year, month, day."""
    return sorted(
        (
            (*event, arrived.date(), *f"{event[-1]:%Y-%m-%d}".split("-"))
            for arrived, event, fate in fates(table, lines, lookback_days)
            if fate == "kept"
        ),
        key=repr,
    )
