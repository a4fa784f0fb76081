import json
from datetime import date, datetime

import nasty
import pytest

import etl


def lines_frame(spark, lines):
    records = [(line, name, datetime.strptime(hour, "%Y-%m-%d %H")) for hour, name, line, *_ in lines]
    return spark.createDataFrame(records, etl.LINES_SCHEMA)


IMPRESSIONS = etl.EventTable("impressions")
CLICKS = etl.EventTable("clicks")


def parse(spark, lines, table):
    split = etl.split_lines(lines_frame(spark, lines), table)
    return etl.plain_lines(split, table).unionByName(etl.other_lines(split, table))


def marked_and_kept(spark, lines, table=IMPRESSIONS, lookback_days=3):
    events = etl.select_events(parse(spark, lines, table), lookback_days)
    repeated = etl.repeated_ids(events, table)
    marked = etl.mark_repeats(events, repeated, table)
    return marked, etl.select_kept(events, repeated, marked, table)


def test_every_nasty_line_is_given_its_reason_and_only_what_has_one_keeps_its_text(spark):
    parsed = parse(spark, nasty.LINES, IMPRESSIONS)
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
    marked, kept = marked_and_kept(spark, lines)
    names = ("impression_id", "ad_id", "occurred_at", "arrived_at")
    first = (a, nasty.OTHER_AD, datetime(2026, 11, 20, 10, 0, 0, 500_000), datetime(2026, 11, 20, 10))
    second = (b, nasty.AD, datetime(2026, 11, 20, 10, 0, 0, 250_000), datetime(2026, 11, 22, 10))
    repeat = (a, nasty.AD, datetime(2026, 11, 20, 10), datetime(2026, 11, 20, 10))
    assert sorted(tuple(row) for row in marked.select(*names, "is_repeat").collect()) == [(*repeat, True), (*first, False)]
    assert kept.dtypes == [
        ("file_name", "string"),
        ("arrived_at", "timestamp"),
        ("impression_id", "string"),
        ("ad_id", "string"),
        ("occurred_at", "timestamp"),
    ]
    assert sorted(tuple(row) for row in kept.select(*names).collect()) == [first, second]
    lake = etl.select_lake(kept, IMPRESSIONS, date(2026, 11, 20), files=1)
    assert sorted(tuple(row) for row in lake.collect()) == [
        (*first[:3], date(2026, 11, 20)),
        (*second[:3], date(2026, 11, 22)),
    ]


def test_clicks_have_three_ids(spark):
    click = nasty.GOOD.replace("{", '{"click_id": "c1c1c1c1-0000-4000-8000-00000000000C", ')
    lines = [("2026-11-20 12", "a.gz", click), ("2026-11-20 12", "a.gz", nasty.GOOD)]
    parsed = parse(spark, lines, CLICKS).select("click_id", "impression_id", "ad_id", "reason")
    assert [tuple(row) for row in parsed.collect()] == [
        ("c1c1c1c1-0000-4000-8000-00000000000c", nasty.own_id(99), nasty.AD, None),
        (None, nasty.own_id(99), nasty.AD, "missing click_id"),
    ]


def as_the_beacons_write(line: str) -> str:
    return json.dumps(json.loads(line), separators=(",", ":"))


@pytest.mark.parametrize("table", [IMPRESSIONS, etl.EventTable("impressions", (("campaign", "string"),)), CLICKS])
def test_a_line_as_the_beacons_write_it_is_read_like_any_other(spark, table):
    """Two ways to read: the short one for the beacons' lines must agree with the one for all JSON."""
    times = ["2026-11-20 12:00:00.000", "2026-11-20 13:59:59.999", "2026-11-20 14:00:00.000", "2026-02-30 10:00:00.000"]
    times += ["2026-11-20 24:00:00.000", "2026-11-20 10:60:00.000", "2026-13-01 00:00:00.000", "2026-11-20 12:00:00"]
    click_id = {"click_id": nasty.own_id(7)} if table is CLICKS else {}
    events = [click_id | json.loads(nasty.impression(number, time)) for number, time in enumerate(times)]
    events += [event | {"ad_id": ad} for event in events[:1] for ad in (nasty.AD.upper(), nasty.AD[:-1], "g" * 36, "", None)]
    events += [dict(reversed(event.items())) for event in events[:1]] + [event | {"campaign": "x"} for event in events[:1]]
    spaced = [json.dumps(event) for event in events]
    written = [as_the_beacons_write(line) for line in spaced]
    assert all(line.isascii() and " :" not in line for line in written) and not set(spaced) & set(written)
    # What comes after the line's end is not cut off.
    spaced += [spaced[0] + spaced[0], spaced[0] + ",", spaced[0] + "\r"]
    written += [written[0] + written[0], written[0] + ",", written[0] + "\r"]

    def read(lines):
        parsed = parse(spark, [("2026-11-20 12", "a.gz", line) for line in lines], table)
        return [tuple(row) for row in parsed.drop("line").collect()]

    found = read(written)
    assert found == read(spaced)
    assert {row[-1] for row in found} == {
        None, "early", "invalid occurred_at", "invalid ad_id", "missing ad_id", "malformed",
    }  # fmt: skip


def test_a_day_is_that_of_the_calendar(spark):
    times = ["0001-01-01 00:00:00", "1969-12-31 23:59:59.999999", "1970-01-01 00:00:00", "2026-11-20 23:59:59.999"]
    times += ["2024-02-29 12:00:00", "9999-12-31 23:59:59.999999"]
    moments = spark.createDataFrame([(datetime.fromisoformat(time),) for time in times], "moment timestamp")
    found = [row.day for row in moments.select(etl.day_of("moment").alias("day")).collect()]
    assert found == [date.fromisoformat(time[:10]) for time in times]


def test_the_lake_has_the_rows_of_its_day_only(spark):
    lines = [
        ("2026-11-20 23", "a.gz", nasty.impression(1, "2026-11-20 23:59:59.999")),
        ("2026-11-20 23", "a.gz", nasty.impression(2, "2026-11-21 00:00:00.000")),
    ]
    lake = etl.select_lake(marked_and_kept(spark, lines)[1], IMPRESSIONS, date(2026, 11, 21), files=1)
    assert lake.columns == ["impression_id", "ad_id", "occurred_at", "arrived_on"]
    assert [row.impression_id for row in lake.collect()] == [nasty.own_id(2)]


@pytest.mark.parametrize("table", etl.ID_FIELDS)
def test_no_lines_are_no_events(spark, table):
    marked, kept = marked_and_kept(spark, [], etl.EventTable(table))
    assert marked.collect() == kept.collect() == []
