"""Days as partition keys and as parts of paths."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta


def day_keys(day: date) -> dict[str, str]:
    """The day's partition keys and values, zero-padded strings."""
    return {"year": f"{day:%Y}", "month": f"{day:%m}", "day": f"{day:%d}"}


def keys_day(keys: dict[str, str]) -> date:
    """The day of partition keys. Raises `ValueError` when there is no such day."""
    return date(int(keys["year"]), int(keys["month"]), int(keys["day"]))


def partition_path(keys: dict[str, str]) -> str:
    return "/".join(f"{key}={value}" for key, value in keys.items())


def days(first: date, last: date) -> Iterator[date]:
    """The days from `first` to `last`, both included."""
    return (first + timedelta(days=offset) for offset in range((last - first).days + 1))


def read_day(name: str, value: str) -> date:
    """The day of an argument. Raises `ValueError`."""
    try:
        return datetime.strptime(value, "%Y-%m-%d").date()
    except ValueError:
        raise ValueError(f"--{name} is {value}: it must be a day, YYYY-MM-DD") from None
