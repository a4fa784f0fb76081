"""What an erasure looks for: an id, wherever it is, or a value of a field of events.

An id is unique, so everything that contains it is erased. Other values, such as a customer's number, are not unique:
raw lines that are JSON are erased only if their own member of that name has the value, other lines if they contain such
a member anywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lake.lines import RAW_ERRORS, id_finder, id_pattern
from lake.table import EventTable

UUID = r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
WHOLE_NUMBER = r"0|-?[1-9][0-9]*"
SHORT_ESCAPES = {'"': '"', "\\": r"\\", "/": "/", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}


class Members(list):
    """An object of JSON: pairs of name and value, as often as the line has them."""


class Number(str):
    """A number of JSON, as the line writes it."""


@dataclass(frozen=True)
class Erased:
    """An id; or, with `field`, a value of that field in the events of some tables."""

    value: str
    field: str = ""
    tables: tuple[str, ...] = ()
    # Below the data path: where raw lines may hold it.
    prefixes: tuple[str, ...] = ("raw/", RAW_ERRORS)

    @property
    def name(self) -> str:
        """One per value."""
        return f"{self.field}={self.value}" if self.field else self.value

    def finder(self) -> Callable[[bytes], bool]:
        """Whether a raw line contains it."""
        return member_finder(self.field, self.value) if self.field else id_finder(self.value)

    def in_table(self, table: EventTable) -> Column | None:
        """Whether a row of the table of events contains it, never null; None where no row of the table can."""
        if self.field:
            return (
                none_is_false(F.col(f"`{self.field}`").cast("string") == self.value)
                if table.name in self.tables
                else None
            )
        ids = [F.col(f"`{column.name}`") == self.value for column in table.columns if column.kind == "uuid"]
        others = [column.name for column in table.columns if column.kind in ("text", "nested")]
        return any_of([*ids, *([self.in_text(as_json(others))] if others else [])])

    def in_rejected(self) -> Column:
        """Whether a row of `rejected` contains it, never null."""
        holds = none_is_false(self.in_line(F.col("line")))
        return F.col("table_name").isin(*self.tables) & holds if self.field else holds

    def in_files(self, rows: DataFrame) -> Column:
        """Whether a row of a file of any table contains it."""
        if not self.field:
            return self.in_text(as_json(rows.columns))
        found = [F.col(f"`{self.field}`").cast("string") == self.value] if self.field in rows.columns else []
        # Of a run of the ETL that died, and of the table `rejected`.
        lines = [name for name in ("_aside.line", "line") if name.split(".")[0] in rows.columns]
        return any_of([*found, *(self.in_line(F.col(name)) for name in lines)])

    def in_line(self, line: Column) -> Column:
        if not self.field:
            return self.in_text(line)
        holds = self.finder()
        has_member = F.udf(lambda text: text is not None and holds(text.encode()), "boolean")
        return line.rlike(member_pattern(self.field, self.value)) & has_member(line)

    def in_text(self, text: Column) -> Column:
        return text.rlike(id_pattern(self.value))


def find(field: str, value: str, tables: Iterable[EventTable]) -> Erased:
    """The search for a value of a field of `event.erase`: as an id where the field is one in any table. Raises
    `ValueError` when no event can hold it."""
    tables = list(tables)
    columns = {
        table: column for table in tables if field in table.erase for column in table.columns if column.name == field
    }
    if not columns:
        known = sorted({name for table in tables for name in table.erase})
        raise ValueError(f"{field} is not a field by which events are erased: it must be one of {', '.join(known)}")
    kinds = {column.kind for column in columns.values()}
    if "uuid" in kinds and re.fullmatch(UUID, value):
        return Erased(value.lower())
    whole = re.fullmatch(WHOLE_NUMBER, value)
    fitting = [
        table for table, column in columns.items() if column.kind == "text" or (column.type == "bigint" and whole)
    ]
    if not fitting:
        form = "a UUID with hyphens, as in events" if "uuid" in kinds else "a whole number"
        # Without the value: what a job prints stays in its log.
        raise ValueError(f"this is not a value of {field}: it must be {form}")
    prefixes = [prefix for table in fitting for prefix in (f"{table.raw}/", f"{RAW_ERRORS}{table.name}/")]
    return Erased(value, field, tuple(table.name for table in fitting), tuple(prefixes))


# --- a member of a line ---


def member_pattern(field: str, value: str) -> str:
    """A regular expression, for Python and Java alike, of the member with the value, with JSON's escapes or without."""
    number = rf"|{re.escape(value)}(?:\.0+)?(?![0-9.eE])" if re.fullmatch(r"-?[0-9.]+", value) else ""
    return rf'"{text_pattern(field)}"\s*:\s*(?:"{text_pattern(value)}"{number})'


def text_pattern(text: str) -> str:
    pattern = []
    for character in text:
        ways = [] if character in '"\\' or character < " " else [re.escape(character)]
        if character in SHORT_ESCAPES:
            ways.append(r"\\" + SHORT_ESCAPES[character])
        units = character.encode("utf-16-be").hex()
        ways.append("".join(rf"\\u(?i:{units[place : place + 4]})" for place in range(0, len(units), 4)))
        pattern.append(f"(?:{'|'.join(ways)})")
    return "".join(pattern)


def member_finder(field: str, value: str) -> Callable[[bytes], bool]:
    """Whether a line's object has the member with the value. Most lines lack its text and are decided quickly."""
    name, text, pattern = f'"{field}"'.encode(), value.encode(), re.compile(member_pattern(field, value).encode())

    def holds(line: bytes) -> bool:
        if b"\\" not in line and (text not in line or name not in line):
            return False
        return pattern.search(line) is not None and is_member(line, field, value)

    return holds


def is_member(line: bytes, field: str, value: str) -> bool:
    """Whether the line's own object has it, not a nested one; true if the line is not a JSON object."""
    try:
        members = json.loads(
            line.decode().lstrip("\ufeff"), object_pairs_hook=Members, parse_int=Number, parse_float=Number
        )
    except (ValueError, RecursionError):
        return True
    if not isinstance(members, Members):
        return True
    return any(name == field and is_value(member, value) for name, member in members)


def is_value(member: object, value: str) -> bool:
    if isinstance(member, Number):
        return re.fullmatch(rf"{re.escape(value)}(\.0+)?", member) is not None
    return member == value


# --- columns ---


def none_is_false(condition: Column) -> Column:
    return F.coalesce(condition, F.lit(False))


def any_of(conditions: Iterable[Column]) -> Column:
    found = F.lit(False)
    for condition in conditions:
        found |= none_is_false(condition)
    return found


def as_json(columns: Iterable[str]) -> Column:
    return F.to_json(F.struct(*(F.col(f"`{name}`") for name in columns)))
