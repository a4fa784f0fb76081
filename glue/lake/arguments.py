"""Checks of a job's arguments. Each raises `ValueError` with what is allowed."""

from __future__ import annotations

import re

# The longest attribution window: it then spans two months at most, as the query requires.
MOST_ATTRIBUTION_DAYS = 28


def one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"--{name} is {value}: it must be one of {', '.join(known)}")
    return value


def whole_number(name: str, value: str, least: int) -> int:
    if not re.fullmatch("[0-9]{1,9}", value) or int(value) < least:
        raise ValueError(f"--{name} is {value}: it must be a whole number, {least} or more")
    return int(value)


def attribution_days(value: str) -> int:
    """The number of days after an impression's own day in which a click counts. Raises `ValueError` for what the query
    can't do."""
    days = whole_number("attribution_days", value, least=0)
    if days > MOST_ATTRIBUTION_DAYS:
        raise ValueError(f"--attribution_days is {value}: it must be {MOST_ATTRIBUTION_DAYS} at most")
    return days
