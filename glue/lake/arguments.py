"""Checks of a job's arguments. Each raises `ValueError` with what is allowed."""

from __future__ import annotations

import re


def one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"--{name} is {value}: it must be one of {', '.join(known)}")
    return value


def whole_number(name: str, value: str, least: int) -> int:
    if not re.fullmatch("[0-9]{1,9}", value) or int(value) < least:
        raise ValueError(f"--{name} is {value}: it must be a whole number, {least} or more")
    return int(value)
