"""What `query` prints. No Spark runs."""

import csv
import io
import json
from datetime import date, datetime
from decimal import Decimal

import pytest
from pyspark.sql import Row

import query


def written(columns, rows, format):
    out = io.StringIO()
    query.write(columns, rows, format, out)
    return out.getvalue()


def strict(text):
    """Reads strict JSON."""

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_is_strict_whatever_a_double_is():
    row = [float("nan"), float("inf"), float("-inf"), 1.5, {"a": [float("nan")]}]
    printed = strict(written(list("abcde"), [row], "json"))
    assert printed == {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 1.5, "e": {"a": ["NaN"]}}


@pytest.mark.parametrize("columns", [["ad", "n", "ad"], ["n", "n"]])
def test_two_columns_of_one_name_are_refused_where_one_would_be_lost(columns):
    row = list(range(len(columns)))
    with pytest.raises(ValueError, match="more than one column is named"):
        written(columns, [row], "json")
    assert list(csv.reader(io.StringIO(written(columns, [row], "csv")))) == [columns, [str(value) for value in row]]
    assert written(columns, [row], "table").splitlines()[0].split() == columns


def test_objects_of_a_row_are_objects_of_json():
    row = [
        Row(city="Bern", zips=[Row(code="3000")]),
        datetime(2026, 11, 20, 1, 2, 3),
        date(2026, 11, 20),
        Decimal("0.10"),
        b"\0\xff",
        None,
    ]
    printed = strict(written(list("abcdef"), [row], "json"))
    assert printed == {
        "a": {"city": "Bern", "zips": [{"code": "3000"}]}, "b": "2026-11-20 01:02:03", "c": "2026-11-20", "d": "0.10", "e": "AP8=", "f": None
    }  # fmt: skip


def test_a_row_of_a_table_is_a_line_and_moves_no_cursor():
    printed = written(["note"], [["a\nb"], ["\x1b[2Jgone"], ["für 🦀"], [None], ["\u2028\r"]], "table")
    assert printed.split("\n") == ["note", "-" * 11, "a\\nb", "\\x1b[2Jgone", "für 🦀", "", "\\u2028\\r", ""]


def test_no_row_is_a_header_alone():
    assert (written(["a"], [], "csv"), written(["a"], [], "json"), written(["a"], [], "table")) == ("a\n", "", "a\n-\n")
