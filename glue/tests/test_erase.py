"""What an erasure looks for, and which days run again after it."""

from datetime import date

import pytest

import erase
from erasure import ID, arguments
from lake import ads
from lake.table import event_tables


@pytest.mark.parametrize(
    "wrong",
    [
        ["--ad", "7"],
        ["--event", ID + "0"],
        [],
        ["--ad", ID, "--event", ID],
        ["--ad", ID, "--dry_run", "no"],
        ["--by", "ad_id"],
        ["--by", "=7"],
        ["--by", "ad_id="],
        ["--by", f"ad_id={ID}", "--ad", ID],
    ],
)
def test_bad_arguments_are_refused(wrong):
    assert erase.parse_arguments(arguments("--ad", ID.upper())).id == ID
    assert erase.parse_arguments(arguments("--ad", ID)).dry_run
    with pytest.raises(ValueError):
        erase.parse_arguments(arguments(*wrong))


@pytest.mark.parametrize(
    ("table", "fields"),
    [
        ("impressions", {"impression_id", "ad_id"}),
        ("clicks", {"click_id", "impression_id", "ad_id"}),
        ("advertising", {"ad_id", "impression_id"}),
        ("ad_traffic", {"ad_id"}),
    ],
)
def test_a_row_goes_when_any_of_its_id_fields_has_the_id(warehouse, table, fields):
    schema = [
        name
        for name, kind in warehouse.schema(table)
        if kind == "string" and name not in ("year", "month", "day", "arrived")
    ]
    parsed = erase.parse_arguments(arguments("--ad", ID))
    holds = erase.row_conditions(parsed, event_tables(warehouse.spark, warehouse.database))
    assert set(holds) == {"impressions", "clicks", "advertising", "ad_traffic", "rejected"}
    for name in schema:
        row = warehouse.spark.createDataFrame(
            [tuple(ID if one == name else None for one in schema)], ", ".join(f"{one} string" for one in schema)
        )
        assert row.where(holds[table]).count() == (name in fields), name


def november(*days: int) -> set[date]:
    return {date(2026, 11, day) for day in days}


@pytest.mark.parametrize(
    ("arrivals", "event_days", "rerun", "batch_only"),
    [
        ((), (), None, []),
        ((10,), (9, 10), ("2026-11-10", "2026-11-14"), ["2026-11-09"]),
        ((10, 12), (16, 17), ("2026-11-10", "2026-11-16"), ["2026-11-17"]),
        ((28,), (28,), ("2026-11-28", "2026-11-29"), []),
        # Today's run has not happened yet, so there are no sums of today.
        ((30,), (29, 30), None, ["2026-11-29"]),
        ((29, 30), (30,), ("2026-11-29", "2026-11-29"), []),
    ],
)
def test_days_run_again_from_the_first_that_changed_until_none_depends_on_it(
    monkeypatch, arrivals, event_days, rerun, batch_only
):
    monkeypatch.setattr(erase, "yesterday", lambda: date(2026, 11, 29))
    parsed = erase.parse_arguments(arguments("--ad", ID))
    journal = erase.Journal(november(*arrivals), november(*event_days))
    days = erase.days_to_run(parsed, journal, november(*arrivals))
    assert days == {"rerun": rerun and dict(zip(("from", "to"), rerun, strict=True)), "batch_only": batch_only}


def test_a_click_decides_the_days_of_the_attribution_window_before_its_own(warehouse):
    for day in ("18", "19"):
        keys = f"year='2026', month='11', day='{day}'"
        warehouse.spark.sql(f"ALTER TABLE `{warehouse.database}`.advertising ADD PARTITION ({keys})")
    found = {
        (table, days): list(ads.days_before(warehouse.spark, warehouse.database, table, date(2026, 11, 20), days))
        for table, days in (("clicks", 0), ("clicks", 1), ("clicks", 3), ("impressions", 3))
    }
    assert found == {
        ("clicks", 0): [],
        ("clicks", 1): [date(2026, 11, 19)],
        ("clicks", 3): [date(2026, 11, 19), date(2026, 11, 18)],
        ("impressions", 3): [],
    }
