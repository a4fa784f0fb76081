from datetime import date, datetime

import nasty
import pytest

import etl


def lines_frame(spark, lines):
    records = [(line, name, datetime.strptime(hour, "%Y-%m-%d %H")) for hour, name, line, *_ in lines]
    return spark.createDataFrame(records, etl.LINES_SCHEMA)


IMPRESSIONS = etl.EventTable("impressions")
CLICKS = etl.EventTable("clicks")


def mark(spark, lines, table=IMPRESSIONS, lookback_days=3):
    events = etl.select_events(etl.parse_lines(lines_frame(spark, lines), table), lookback_days)
    return etl.mark_repeats(events, etl.repeated_ids(events, table), table)


def test_every_nasty_line_is_given_its_reason_and_only_what_has_one_keeps_its_text(spark):
    parsed = etl.parse_lines(lines_frame(spark, nasty.LINES), IMPRESSIONS)
    told = [(row.line, row.reason) for row in parsed.collect()]
    assert told == [(None, None) if fate in nasty.FATES else (line, fate) for _, _, line, fate in nasty.LINES]


def test_repeats_are_marked_and_late_lines_left_out(spark):
    a, b = nasty.own_id(1), nasty.own_id(2)
    lines = [
        ("2026-11-20 10", "b.gz", nasty.impression(1, "2026-11-20 10:00:00.000")),
        ("2026-11-20 10", "a.gz", nasty.impression(1, "2026-11-20 10:00:00.500", nasty.OTHER_AD)),
        ("2026-11-22 10", "a.gz", nasty.impression(2, "2026-11-20 10:00:00.250")),
        ("2026-11-24 10", "a.gz", nasty.impression(3, "2026-11-20 10:00:00.000")),
        ("2026-11-20 10", "a.gz", "{"),
    ]
    events = mark(spark, lines)
    assert events.dtypes == [
        ("impression_id", "string"),
        ("ad_id", "string"),
        ("occurred_at", "timestamp"),
        ("arrived_on", "date"),
        ("event_day", "date"),
        ("is_repeat", "boolean"),
    ]
    day = date(2026, 11, 20)
    assert sorted(tuple(row) for row in events.collect()) == [
        (a, nasty.AD, datetime(2026, 11, 20, 10), day, day, True),
        (a, nasty.OTHER_AD, datetime(2026, 11, 20, 10, 0, 0, 500_000), day, day, False),
        (b, nasty.AD, datetime(2026, 11, 20, 10, 0, 0, 250_000), date(2026, 11, 22), day, False),
    ]


def test_clicks_have_three_ids(spark):
    click = nasty.GOOD.replace("{", '{"click_id": "c1c1c1c1-0000-4000-8000-00000000000C", ')
    lines = [("2026-11-20 12", "a.gz", click), ("2026-11-20 12", "a.gz", nasty.GOOD)]
    parsed = etl.parse_lines(lines_frame(spark, lines), CLICKS).select("click_id", "impression_id", "ad_id", "reason")
    assert [tuple(row) for row in parsed.collect()] == [
        ("c1c1c1c1-0000-4000-8000-00000000000c", nasty.own_id(99), nasty.AD, None),
        (None, nasty.own_id(99), nasty.AD, "missing click_id"),
    ]


def test_the_lake_has_the_rows_of_its_day_only(spark):
    lines = [
        ("2026-11-20 23", "a.gz", nasty.impression(1, "2026-11-20 23:59:59.999")),
        ("2026-11-20 23", "a.gz", nasty.impression(2, "2026-11-21 00:00:00.000")),
    ]
    lake = etl.select_lake(mark(spark, lines), IMPRESSIONS, date(2026, 11, 21), files=1)
    assert lake.columns == ["impression_id", "ad_id", "occurred_at", "arrived_on"]
    assert [row.impression_id for row in lake.collect()] == [nasty.own_id(2)]


@pytest.mark.parametrize("table", etl.ID_FIELDS)
def test_no_lines_are_no_events(spark, table):
    assert mark(spark, [], etl.EventTable(table)).collect() == []
