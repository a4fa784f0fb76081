"""The definition in plain Python, compared with labels written by hand."""

import json
from collections import Counter
from datetime import datetime

import pytest

import expectation
import nasty
import nasty_orders

TABLES = {
    "impressions": (expectation.IMPRESSIONS, nasty.LINES),
    "names": (expectation.IMPRESSIONS, nasty.ODD_NAMES),
    "orders": (nasty_orders.TABLE, nasty_orders.LINES),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_labels_agree_with_the_definition_in_plain_python(name):
    table, lines = TABLES[name]
    decided = expectation.fates(table, lines, nasty.LOOKBACK_DAYS)
    assert len(decided) == len(lines)
    wrong = [(one.record, one.reason or one.fate) for one in decided if (one.reason or one.fate) != one.record[3]]
    assert wrong == []


def test_a_kept_order_has_the_values_of_its_label():
    lines = nasty_orders.LINES
    names = list(nasty_orders.TABLE["columns"])
    rows = {row[0]: row for row in expectation.lake(nasty_orders.TABLE, lines, nasty.LOOKBACK_DAYS)}
    labelled = {}
    for _, _, line, fate, values in lines:
        if fate == "kept":
            every = nasty_orders.kept(int(json.loads(line)["order_id"][-12:]))[4]
            labelled[every["order_id"]] = tuple((every | values).get(name) for name in names)
    assert {own_id: row[: len(names)] for own_id, row in rows.items()} == labelled
    # 1 == 1.0 == True in Python, but not in a table.
    assert {repr(row[: len(names)]) for row in rows.values()} == {repr(row) for row in labelled.values()}
    assert {row[len(names) :] for row in rows.values()} == {(nasty_orders.MOMENT, "2026", "11", "20", "2026-11-20")}


def test_optional_values_that_are_not_good_are_counted():
    counted = expectation.nulled(nasty_orders.TABLE, nasty_orders.NULLED, nasty.LOOKBACK_DAYS)
    columns = {
        "quantity": 7,
        "weight": 5,
        "paid": 2,
        "due_on": 5,
        "shipped_at": 3,
        "coupon_id": 2,
        "tags": 2,
        "items": 3,
    }
    assert counted == {"2026-11-20": Counter(columns)}


def test_books_count_every_line_once():
    books = expectation.books(expectation.IMPRESSIONS, nasty.LINES, nasty.LOOKBACK_DAYS)
    labelled: dict[str, Counter] = {}
    for hour, _, _, fate in nasty.LINES:
        labelled.setdefault(hour[:10], Counter()).update(["raw", fate if fate in nasty.FATES else "rejected"])
    assert books == labelled


def test_a_click_has_three_ids_and_its_own_comes_first():
    click = nasty.GOOD.replace("{", '{"click_id": "c1c1c1c1-0000-4000-8000-00000000000C", ')
    lines = [("2026-11-20 12", "a.gz", click), ("2026-11-20 12", "a.gz", nasty.GOOD)]
    found = [(one.reason, one.row) for one in expectation.fates(expectation.CLICKS, lines, 3)]
    row = {
        "click_id": "c1c1c1c1-0000-4000-8000-00000000000c",
        "impression_id": nasty.own_id(99),
        "ad_id": nasty.AD,
        "occurred_at": datetime(2026, 11, 20, 12),
    }
    assert found == [("missing click_id", None), (None, row)]
