"""The definitions of docs/lake.md in plain Python: slow, obvious, and without a line of the jobs' code.

A table of events is a dictionary: its columns in order, by type, and what they mean. A type is its name in the catalog;
that of an array is a list with the type of its elements, that of an object a dictionary of its members. A raw line is
`(hour of arrival, object name, line, …)`; the line is text, or bytes where it is none.
"""

import contextlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any, NamedTuple, NoReturn

IMPRESSIONS: dict[str, Any] = {
    "name": "impressions",
    "columns": {"impression_id": "string", "ad_id": "string", "occurred_at": "timestamp"},
    "id": "impression_id",
    "time": "occurred_at",
    "required": ["impression_id", "ad_id", "occurred_at"],
    "uuid": ["impression_id", "ad_id"],
}
CLICKS: dict[str, Any] = {
    "name": "clicks",
    "columns": {"click_id": "string"} | IMPRESSIONS["columns"],
    "id": "click_id",
    "time": "occurred_at",
    "required": ["click_id", "impression_id", "ad_id", "occurred_at"],
    "uuid": ["click_id", "impression_id", "ad_id"],
}

# Raw lines: the hour of arrival, the object's name, the line, and fields that this module ignores.
Lines = Iterable[tuple[Any, ...]]

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

# Python's JSON reader recurses for each level of nesting.
sys.setrecursionlimit(20_000)


class Members(list):
    """A JSON object: its name-value pairs in the order of the line, duplicates included."""


class Number(str):
    """A JSON number, as written in the line."""


class Unfit(Exception):
    """The value's type differs from the column's."""


class Decided(NamedTuple):
    """A raw line (`record`) and what became of it. `reason` says why a line is rejected; `row` has an event's values by
    column."""

    record: tuple
    arrived: datetime
    reason: str | None
    row: dict[str, Any] | None
    nulled: list[str]
    fate: str


# --- one line ---


def judge(table: dict, line: str | bytes, arrived: datetime) -> tuple[str | None, dict | None, list[str]]:
    """Why the line is rejected; otherwise its values, and the optional columns with invalid values."""
    try:
        text = (line if isinstance(line, str) else line.decode("utf-8")).lstrip("\ufeff")
        if not text.strip(" \t\r\v\f"):
            return "blank", None, []
        members = parse(text)
    except ValueError:
        return "malformed", None, []
    row = read_members(
        members, {name: "uuid" if name in table["uuid"] else kind for name, kind in table["columns"].items()}
    )
    for path in table["required"]:
        if at(row, path) is None:
            return f"{'missing' if last(members, path) is None else 'invalid'} {path}", None, []
    if row[table["time"]] >= arrived + 2 * HOUR:
        return "early", None, []
    optional = [name for name in table["columns"] if name not in table["required"]]
    return None, row, [name for name in optional if row[name] is None and last(members, name) is not None]


def parse(text: str) -> Members:
    """The members of the line's object. Raises `ValueError` when the line is malformed."""
    value = json.loads(
        text, object_pairs_hook=Members, parse_int=Number, parse_float=read_number, parse_constant=refuse
    )
    if not isinstance(value, Members):
        raise ValueError("no object")
    # Characters of all escapes, as two bytes each: half a pair can't be decoded.
    escapes = re.sub(r"\\(?:u(....)|.)", lambda found: chr(int(found[1] or "0", 16)), text)
    escapes.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    return value


def read_number(text: str) -> str:
    """A number with a point or an exponent; with an exponent of more than four digits it is text."""
    return text if re.search("[eE][+-]?[0-9]{5,}$", text) else Number(text)


def refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def at(row: dict, path: str) -> Any:
    for name in path.split("."):
        row = None if row is None else row[name]
    return row


def last(value: Any, path: str) -> Any:
    """The line's value at the path; the last one of duplicate names counts. None if it is missing or null."""
    for name in path.split("."):
        found = [member for key, member in value if key == name] if isinstance(value, Members) else []
        value = found[-1] if found else None
    return value


# --- one value ---


def read_members(members: Members, kinds: dict[str, Any]) -> dict[str, Any]:
    """The value of each name: that of the last member which is null or has the column's type."""
    row = dict.fromkeys(kinds)
    for name, value in members:
        if name in kinds:
            with contextlib.suppress(Unfit):
                row[name] = read(value, kinds[name])
    return row


def read(value: Any, kind: Any) -> Any:
    """The column's value; None if it is invalid. Raises `Unfit` if it has another type."""
    if value is None:
        return None
    if isinstance(kind, dict):
        return read_members(value, kind) if isinstance(value, Members) else unfit()
    if isinstance(kind, list):
        is_array = isinstance(value, list) and not isinstance(value, Members)
        return [read(element, kind[0]) for element in value] if is_array else unfit()
    if kind.startswith("decimal"):
        return read_decimal(value, *(int(digits) for digits in re.findall(r"\d+", kind)))
    return READERS[kind](value)


def unfit() -> NoReturn:
    raise Unfit


def read_text(value: Any) -> str:
    return value if type(value) is str else as_json(value)


def read_uuid(value: Any) -> str | None:
    form = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    return value.lower() if type(value) is str and value.isascii() and re.fullmatch(form, value.lower()) else None


def read_timestamp(value: Any) -> datetime | None:
    form = r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3})?"
    return calendar(datetime, value) if type(value) is str and re.fullmatch(form, value) else None


def read_date(value: Any) -> date | None:
    return calendar(date, value) if type(value) is str and re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", value) else None


def calendar(moment: type[date], text: str) -> Any:
    try:
        return moment.fromisoformat(text)
    except ValueError:
        return None


def read_bigint(value: Any) -> int:
    if not isinstance(value, Number) or not re.fullmatch("-?[0-9]{1,19}", value) or not -(2**63) <= int(value) < 2**63:
        raise Unfit
    return int(value)


def read_double(value: Any) -> float | None:
    if not isinstance(value, Number):
        raise Unfit
    return float(value) if abs(float(value)) < float("inf") else None


def read_decimal(value: Any, precision: int, scale: int) -> Decimal:
    if not isinstance(value, str):
        raise Unfit
    digits = value if isinstance(value, Number) else value.replace(",", "")
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", digits):
        raise Unfit
    context = Context(prec=precision, rounding=ROUND_HALF_UP, Emin=MIN_EMIN, Emax=MAX_EMAX)
    try:
        return Decimal(digits).quantize(Decimal(1).scaleb(-scale), context=context)
    except InvalidOperation:
        raise Unfit from None


def read_boolean(value: Any) -> bool:
    return value if isinstance(value, bool) else unfit()


READERS = {
    "string": read_text,
    "uuid": read_uuid,
    "timestamp": read_timestamp,
    "date": read_date,
    "bigint": read_bigint,
    "double": read_double,
    "boolean": read_boolean,
}


def as_json(value: Any) -> str:
    """What a text column holds for a value of another type."""
    if isinstance(value, Members):
        return "{" + ",".join(f"{as_json(name)}:{as_json(member)}" for name, member in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(as_json, value)) + "]"
    if isinstance(value, Number):
        return java_double(float(value)) if re.search("[.eE]", value) else "0" if value == "-0" else str(value)
    text = json.dumps(value, ensure_ascii=False)
    return re.sub(r"\\(?:u00(..)|.)", lambda found: f"\\u00{found[1].upper()}" if found[1] else found[0], text)


def java_double(value: float) -> str:
    if abs(value) == float("inf"):
        return '"Infinity"' if value > 0 else '"-Infinity"'
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    number = Decimal(repr(value)).normalize()
    digits = number.as_tuple().digits
    rest = "".join(map(str, digits[1:])) or "0"
    return f"{'-' if value < 0 else ''}{digits[0]}.{rest}E{number.adjusted()}"


# --- all lines ---


def fates(table: dict, lines: Lines, lookback_days: int) -> list[Decided]:
    """What became of each line, in order of arrival."""
    read = []
    for record in lines:
        arrived = datetime.strptime(record[0], "%Y-%m-%d %H")
        read.append((record, arrived, *judge(table, record[2], arrived)))
    read.sort(key=lambda entry: (entry[1], entry[0][1], order(table, entry[3])))
    decided: list[Decided] = []
    kept: dict[Any, list[datetime]] = {}
    for record, arrived, reason, row, nulled in read:
        if row is None:
            fate = "rejected"
        elif midnight(arrived) - midnight(row[table["time"]]) > lookback_days * DAY:
            fate = "late"
        else:
            before = kept.setdefault(row[table["id"]], [])
            window = midnight(row[table["time"]]) - HOUR
            fate = "repeats" if any(earlier >= window for earlier in before) else "kept"
            if fate == "kept":
                before.append(arrived)
        decided.append(Decided(record, arrived, reason, row, nulled, fate))
    return decided


def order(table: dict, row: dict | None) -> list:
    """Where an event is among those of its hour and object."""
    others = [name for name in table["columns"] if name not in (table["id"], table["time"])]
    return [] if row is None else [sortable(row[name]) for name in (table["time"], *others)]


def sortable(value: Any) -> Any:
    """Null comes first; arrays and objects are compared element by element."""
    if isinstance(value, (list, dict)):
        return (1, tuple(sortable(one) for one in (value.values() if isinstance(value, dict) else value)))
    return (0,) if value is None else (1, value)


def midnight(moment: datetime) -> datetime:
    return datetime(moment.year, moment.month, moment.day)


def books(table: dict, lines: Lines, lookback_days: int) -> dict[str, Counter]:
    """Lines by arrival day and fate, `raw` counting all."""
    counts: dict[str, Counter] = {}
    for decided in fates(table, lines, lookback_days):
        counts.setdefault(f"{decided.arrived:%Y-%m-%d}", Counter()).update(["raw", decided.fate])
    return counts


def nulled(table: dict, lines: Lines, lookback_days: int) -> dict[str, Counter]:
    """Events with an invalid value in an optional column, by arrival day and column."""
    counts: dict[str, Counter] = {}
    for decided in fates(table, lines, lookback_days):
        counts.setdefault(f"{decided.arrived:%Y-%m-%d}", Counter()).update(decided.nulled)
    return counts


def lake(table: dict, lines: Lines, lookback_days: int) -> list[tuple]:
    """The lake's rows: the columns in order, arrived_at, year, month, day, arrived."""
    rows = (
        (*map(stored, decided.row.values()), decided.arrived, *days_of(decided.row[table["time"]], decided.arrived))
        for decided in fates(table, lines, lookback_days)
        if decided.row and decided.fate == "kept"
    )
    return sorted(rows, key=repr)


def stored(value: Any) -> Any:
    """A value as it is in a row: an object becomes the tuple of its members."""
    if isinstance(value, dict):
        return tuple(map(stored, value.values()))
    return [stored(element) for element in value] if isinstance(value, list) else value


def days_of(occurred: datetime, arrived: datetime) -> tuple[str, ...]:
    return (*f"{occurred:%Y-%m-%d}".split("-"), f"{arrived:%Y-%m-%d}")
