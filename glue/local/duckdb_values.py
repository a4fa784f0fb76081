"""DuckDB SQL for the values of JSON lines, by the definitions of docs/lake.md.

The line is the column `line`, and `names` has the names of its members, including repeated ones.
"""

from __future__ import annotations

import re

# A type of the catalog: its name, a list with the type of an array's elements, or an object's members.
Kind = str | list | dict

UUID = "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
DAY = r"\d{4}-\d\d-\d\d"
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{3})?"

# DuckDB's reader accepts a trailing comma, and `nan` and `inf` in any letter case. They are found once the strings are
# emptied.
STRING = r'"(\\.|[^"\\])*"'
NOT_JSON = r"(?i),\s*[\]}]|nan|inf"

# DuckDB does not keep the notation of a number. So each is turned into text that begins with this mark.
MARK = "\ufdd0\ufdd1\ufdd2"
NUMBER = r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
# A number with an exponent of more digits counts as text.
DECIMAL = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?"

# Types whose values are read as text.
TEXTS = ("string", "timestamp", "date")


def required(path: str, kind: Kind, is_uuid: bool) -> str:
    """The value of a field of the event, whose first part has this type; null if it is missing or invalid."""
    name, *inner = path.split(".")
    if not inner and kind in TEXTS:
        return good(last_member(name), "uuid" if is_uuid else kind)
    value = member("line", name, kind)
    for name in inner:
        assert isinstance(kind, dict), f"{path}: no object has {name}"
        kind = kind[name]
        value = member(value, name, kind)
    return good(value, kind)


def last_member(name: str) -> str:
    """The last member of the name of the line's object."""
    back = f"list_position(list_reverse(names), '{name}')"
    return f"""CASE WHEN len(names) = len(list_distinct(names)) THEN json_extract(line, '$.{name}')
      ELSE json_extract(line, '$.*')[len(names) + 1 - {back}] END"""


def member(value: str, name: str, kind: Kind, depth: int = 0) -> str:
    """Of the members of the name, the last one that is null or fits."""
    one = f"m{depth}"
    fitting = f"json_type({one}[2]) = 'NULL' OR {fits(f'{one}[2]', kind, depth + 1)}"
    members = f"list_zip(json_keys({value}), json_extract({value}, '$.*'))"
    return f"list_filter({members}, lambda {one}: {one}[1] = '{name}' AND ({fitting}))[-1][2]"


def fits(value: str, kind: Kind, depth: int = 0) -> str:
    """Whether a JSON value is of the JSON type that the column takes."""
    if isinstance(kind, list):
        one = f"e{depth}"
        element = f"json_type({one}) = 'NULL' OR {fits(one, kind[0], depth + 1)}"
        elements = f"list_transform(json_extract({value}, '$[*]'), lambda {one}: {element})"
        return f"(json_type({value}) = 'ARRAY' AND coalesce(list_bool_and({elements}), true))"
    if isinstance(kind, dict):
        return f"json_type({value}) = 'OBJECT'"
    if kind in TEXTS:
        return "true"
    if kind == "boolean":
        return f"json_type({value}) = 'BOOLEAN'"
    written = number(value)
    if kind == "bigint":
        return (
            f"coalesce(regexp_full_match({written}, '-?[0-9]+') AND try_cast({written} AS BIGINT) IS NOT NULL, false)"
        )
    if kind == "double":
        return f"coalesce(regexp_full_match({written}, '{DECIMAL}'), false)"
    return f"({decimal(value, kind)}) IS NOT NULL"


def good(value: str, kind: Kind) -> str:
    """SQL of the column's value; null if the JSON value is null or invalid."""
    text = f"json_extract_string({value}, '$')"
    if isinstance(kind, (list, dict)):
        return f"CASE WHEN {fits(value, kind)} THEN {value} END"
    if kind == "uuid":
        return f"CASE WHEN regexp_full_match({text}, '{UUID}') THEN {text} END"
    if kind == "timestamp":
        moment = " , ".join(f"try_strptime({text}, '%Y-%m-%d %H:%M:%S{part}')" for part in (".%g", ""))
        return f"CASE WHEN regexp_full_match({text}, '{TIME}') AND NOT starts_with({text}, '0000') THEN coalesce({moment}) END"
    if kind == "date":
        form = f"regexp_full_match({text}, '{DAY}') AND NOT starts_with({text}, '0000')"
        return f"CASE WHEN {form} THEN try_strptime({text}, '%Y-%m-%d') END"
    if kind == "string":
        return text
    if kind == "boolean":
        return f"CASE WHEN {fits(value, kind)} THEN {text}::BOOLEAN END"
    if kind == "bigint":
        return f"CASE WHEN {fits(value, kind)} THEN {number(value)}::BIGINT END"
    if kind == "double":
        nearest = f"try_cast({number(value)} AS DOUBLE)"
        return f"CASE WHEN {fits(value, kind)} AND isfinite({nearest}) THEN {nearest} END"
    return decimal(value, kind)


def number(value: str) -> str:
    """A number in the line's notation; null if the JSON value is not a number."""
    text = f"json_extract_string({value}, '$')"
    return f"CASE WHEN json_type({value}) = 'VARCHAR' AND starts_with({text}, '{MARK}') THEN substr({text}, {len(MARK) + 1}) END"


def decimal(value: str, kind: str) -> str:
    """The value of a decimal column: a number, or text that has commas."""
    precision, scale = re.findall(r"\d+", kind)
    given = f"replace(json_extract_string({value}, '$'), ',', '')"
    text = f"coalesce({number(value)}, CASE WHEN json_type({value}) = 'VARCHAR' THEN {given} END)"
    # More digits than the column has, to be rounded.
    rounded = f"try_cast({text} AS DECIMAL(38, {scale}))"
    return f"CASE WHEN regexp_full_match({text}, '{DECIMAL}') THEN try_cast({rounded} AS DECIMAL({precision}, {scale})) END"


def marked(line: str) -> str:
    """The line of JSON, its numbers as text that begins with the mark."""
    # A control character that no line of JSON has ends what each of both is replaced by; one of the two is empty.
    split = f"regexp_replace({line}, '({STRING.replace('(', '(?:')})|({NUMBER})', '\\1\x02\\2\x02', 'g')"
    return f"""regexp_replace(replace({split}, '\x02\x02', ''), '\x02([^\x02]*)\x02', '"{MARK}\\1"', 'g')"""


def sql_type(kind: str) -> str:
    return {"string": "VARCHAR"}.get(kind, kind.upper())
