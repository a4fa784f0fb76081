from datetime import date, datetime, timedelta

import pytest

import ledger
from fakes import CloudWatch, Counted
from ledger_runs import (
    ARGUMENTS,
    BALANCED,
    DAY,
    LOOKBACK_DAYS,
    NO_LINES,
    NOW,
    figures,
    printed,
    published,
    put_rows,
    run_ledger,
)
from support.metrics import DOCUMENTED

TODAY = date(2026, 12, 24)


def day(number: int) -> date:
    return date(2026, 11, number)


def as_printed(row: dict) -> dict:
    return row | {"started_at": "2026-11-21T01:00:00+00:00", "decided_at": "2026-11-21T01:05:00+00:00"}


def test_books_that_balance_are_published_and_pass(warehouse, cloudwatch, capsys):
    run_ledger(warehouse, impressions=BALANCED, clicks=NO_LINES)
    assert printed(capsys) == [
        {"table": "clicks", "day": "2026-11-20", **as_printed(NO_LINES), "fault": None},
        {"table": "impressions", "day": "2026-11-20", **as_printed(BALANCED), "fault": None},
    ]
    (call,) = cloudwatch.calls
    assert call["Namespace"] == "Warehouse/Lake"
    assert {key: value for key, (value, _) in published(call["MetricData"]).items() if key[0] == "Unbalanced"} == {
        ("Unbalanced", "impressions"): 0,
        ("Unbalanced", "clicks"): 0,
    }


def test_a_missing_row_fails_after_the_metrics_are_published(warehouse, cloudwatch, capsys):
    with pytest.raises(ledger.BooksDontBalance, match=r"2026-11-20.*clicks: no row: run the ETL"):
        run_ledger(warehouse, impressions=BALANCED)
    assert [line["fault"] is None for line in printed(capsys)] == [False, True]
    (call,) = cloudwatch.calls
    values = {key: value for key, (value, _) in published(call["MetricData"]).items()}
    assert values["Unbalanced", "clicks"] == 1
    assert values["Unbalanced", "impressions"] == 0
    assert ("RawLines", "clicks") not in values


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (figures(11, 6, 2, 1, 1, 6, 0), "11 raw lines, but kept + repeats + rejected + late = 10"),
        (figures(9, 6, 2, 1, 1, 6, 0), "9 raw lines"),
        (figures(10, 6, 2, 1, 1, 5, 0), "6 kept lines, but stored = 5: run the ETL of the day"),
        (figures(10, 6, 2, 1, 1, 7, 0), "6 kept lines, but stored = 7"),
        (figures(10, 6, 2, 1, 1, 6, 3), "`cargo dataless replay --undelivered --day 2026-11-20`"),
    ],
)
def test_figures_that_contradict_each_other_are_a_fault(row, fault):
    assert fault in ledger.find_fault({day(20): row}, day(20), LOOKBACK_DAYS, TODAY)


def test_a_figure_that_is_missing_is_a_fault_and_not_a_0(warehouse, cloudwatch, capsys):
    with pytest.raises(
        ledger.BooksDontBalance, match="impressions: no figure for kept, stored: run the ETL of the day"
    ):
        run_ledger(warehouse, impressions=BALANCED | {"kept": None, "stored": None}, clicks=NO_LINES)
    assert printed(capsys)[1]["kept"] is None
    (call,) = cloudwatch.calls
    values = {
        name: value for (name, table), (value, _) in published(call["MetricData"]).items() if table == "impressions"
    }
    assert values == {"RawLines": 10, "Repeats": 2, "Rejected": 1, "Late": 1, "Undelivered": 0, "Unbalanced": 1}


def test_a_row_of_another_layout_is_read_by_name_and_asks_for_the_etl_of_its_day(warehouse, cloudwatch, capsys):
    names = ("pending", "raw", "kept", "repeats", "rejected", "late", "stored")
    columns = ", ".join(
        f"CAST({value} AS bigint) AS {name}" for name, value in zip(names, (1, 10, 6, 2, 1, 1, 5), strict=True)
    )
    path = f"{warehouse.data_path}/ledger/table_name=impressions/year=2026/month=11/day=20/run-old"
    warehouse.spark.sql(f"SELECT {columns}").write.orc(path)
    keys = "table_name = 'impressions', year = '2026', month = '11', day = '20'"
    warehouse.spark.sql(f"ALTER TABLE {warehouse.database}.ledger ADD PARTITION ({keys}) LOCATION '{path}'")
    fault = "no figure for undelivered, started_at, decided_at: run the ETL of the day"
    with pytest.raises(ledger.BooksDontBalance, match=f"impressions: {fault}"):
        run_ledger(warehouse, clicks=NO_LINES)
    row = printed(capsys)[1]
    assert [row[name] for name in names[1:]] == [10, 6, 2, 1, 1, 5] and row["fault"] == fault


def test_a_row_without_the_time_of_its_run_is_a_fault():
    row = BALANCED | {"started_at": None}
    fault = ledger.find_fault({day(20): row}, day(20), LOOKBACK_DAYS, TODAY)
    assert fault == "no figure for started_at: run the ETL of the day"


def runs(**times: str) -> dict[date, dict]:
    """Rows of days of November, such as `d19`, with the time in December at which the run of five minutes began."""
    return {day(int(name[1:])): figures(0, 0, 0, 0, 0, 0, 0, run=f"2026-12-{time}") for name, time in times.items()}


IN_ORDER = {"d16": "01 00:00", "d17": "01 01:00", "d18": "01 02:00", "d19": "01 03:00", "d20": "01 04:00"}


@pytest.mark.parametrize(
    ("again", "first"),
    [
        ({}, None),
        # Decided at the moment at which this day's run started, and a minute after it.
        ({"d19": "01 03:55"}, None),
        ({"d19": "01 03:56"}, "2026-11-20"),
        # The earliest day that may have a copy, and the one before it.
        ({"d16": "02 00:00"}, "2026-11-17"),
        ({"d15": "02 00:00"}, None),
        # The days in between were run again, later ones were not.
        ({"d16": "02 00:00", "d17": "02 01:00", "d18": "02 02:00"}, "2026-11-19"),
        ({"d16": "02 00:00", "d17": "02 01:00", "d18": "02 02:00", "d19": "02 03:00"}, "2026-11-20"),
        # A day that is stale by itself leaves this one as it is until it is run again.
        ({"d16": "02 00:00", "d20": "02 01:00"}, None),
        # This day does not depend on a later one.
        ({"d21": "02 00:00"}, None),
    ],
)
def test_a_day_is_stale_when_one_before_it_was_decided_later(again, first):
    fault = ledger.find_fault(runs(**IN_ORDER | again), day(20), LOOKBACK_DAYS, TODAY)
    assert (fault and fault.rpartition(": ")[2]) == (first and f"run the ETL of {first} to 2026-11-24 again, in order")


@pytest.mark.parametrize(("today", "last"), [(20, 20), (21, 20), (23, 22), (25, 24), (26, 24)])
def test_stale_days_run_again_up_to_yesterday_at_most(today, last):
    fault = ledger.find_fault(runs(**IN_ORDER | {"d19": "02 00:00"}), day(20), LOOKBACK_DAYS, day(today))
    assert fault.endswith(f"run the ETL of 2026-11-20 to 2026-11-{last} again, in order")


def test_days_and_tables_that_a_stale_day_does_not_look_into_are_not_read(warehouse, cloudwatch, capsys):
    keys = {"year": "2026", "month": "11"}
    later = figures(0, 0, 0, 0, 0, 0, 0, run="2026-12-01 00:00")
    put_rows(warehouse, [{"table_name": "impressions", **later, **keys, "day": number} for number in ("15", "21")])
    put_rows(warehouse, [{"table_name": "impressions", **later, **keys, "month": "10", "day": "20"}])
    run_ledger(warehouse, impressions=BALANCED, clicks=NO_LINES)
    put_rows(warehouse, [{"table_name": "impressions", **later, **keys, "day": "16"}])
    warehouse.spark.catalog.refreshTable(f"{warehouse.database}.ledger")
    capsys.readouterr()
    with pytest.raises(ledger.BooksDontBalance, match=r"impressions: stale: .* of 2026-11-20 to 2026-11-24 again"):
        ledger.main([*ARGUMENTS, "--database", warehouse.database])
    assert [line["fault"] is None for line in printed(capsys)] == [True, False]


def test_a_day_without_a_count_of_raw_is_not_compared():
    assert ledger.divergence(Counted(Impressions=[9.0]), "N", "w", {"impressions": {"raw": None}}, DAY, NOW) == []


def test_what_dashboards_and_alarms_name_is_published():
    _, _, documented = DOCUMENTED["Warehouse/Lake"]
    rows = {"impressions": BALANCED}
    published = ledger.metric_data("w", rows, {"impressions": None}, DAY, NOW)
    published += ledger.divergence(Counted(Impressions=[9.0]), "N", "w", rows, DAY, NOW)
    units = {metric["MetricName"]: metric["Unit"] for metric in published}
    # Those of the jobs are in test_measure.py.
    assert documented.keys() - units.keys() == {"JobTime", "JobRows", "JobFailures"}
    assert {name: documented[name] for name in units if name in documented}.items() <= units.items()


def test_figures_are_dated_at_their_day_and_the_alarm_now():
    rows, faults = {"impressions": BALANCED}, {"impressions": None, "clicks": "no row"}
    assert published(ledger.metric_data("w", rows, faults, DAY, NOW)) == {
        ("RawLines", "impressions"): (10, DAY),
        ("Kept", "impressions"): (6, DAY),
        ("Repeats", "impressions"): (2, DAY),
        ("Rejected", "impressions"): (1, DAY),
        ("Late", "impressions"): (1, DAY),
        ("Undelivered", "impressions"): (0, NOW),
        ("Unbalanced", "impressions"): (0, NOW),
        ("Unbalanced", "clicks"): (1, NOW),
    }


@pytest.mark.parametrize(("age", "published"), [(timedelta(days=13, hours=23), True), (timedelta(days=14), False)])
def test_a_day_that_cloudwatch_no_longer_takes_only_feeds_the_alarm(age, published):
    names = {
        metric["MetricName"]
        for metric in ledger.metric_data("w", {"clicks": BALANCED}, {"clicks": None}, DAY, DAY + age)
    }
    assert names == ({*ledger.METRICS} if published else set()) | {"Undelivered", "Unbalanced"}


@pytest.mark.parametrize(
    ("raw", "hours", "percent"),
    [
        (10, {"Impressions": [4.0, 5.0], "MalformedImpressions": [1.0]}, 0.0),
        (10, {"Impressions": [4.0, 4.0]}, 20.0),
        (8, {"Impressions": [10.0]}, 20.0),
        (10, {}, 100.0),
        (0, {"Impressions": [1.0]}, 100.0),
        (0, {}, 0.0),
    ],
)
def test_real_time_and_raw_are_compared_by_the_greater_one(raw, hours, percent):
    cloudwatch = Counted(**hours)
    (found,) = ledger.divergence(cloudwatch, "N", "w", {"impressions": {"raw": raw}}, DAY, NOW)
    assert (found["MetricName"], found["Unit"], found["Timestamp"]) == ("RealTimeDivergence", "Percent", NOW)
    assert found["Dimensions"] == [{"Name": "Stack", "Value": "w"}, {"Name": "Table", "Value": "impressions"}]
    assert found["Value"] == pytest.approx(percent)
    assert all(call["Dimensions"] == [{"Name": "Stack", "Value": "w"}] for call in cloudwatch.asked)
    assert {(call["Namespace"], call["StartTime"], call["EndTime"]) for call in cloudwatch.asked} == {
        ("N", DAY, DAY + timedelta(days=1))
    }


def test_a_day_that_is_over_is_compared_and_today_is_not(warehouse, monkeypatch):
    class CountingCloudWatch(CloudWatch, Counted):
        def __init__(self):
            CloudWatch.__init__(self)
            Counted.__init__(self, Impressions=[9.0])

    late = DAY + timedelta(hours=24, minutes=14)
    for moment, compared in [(late, False), (late + timedelta(minutes=1), True)]:

        class Clock(datetime):
            @classmethod
            def now(cls, tz=None, moment=moment):
                return moment

        client = CountingCloudWatch()
        monkeypatch.setattr(ledger.boto3, "client", lambda service, client=client: client)
        monkeypatch.setattr(ledger, "datetime", Clock)
        monkeypatch.setattr(
            ledger, "read_rows", lambda *_: {"impressions": {day(20): BALANCED}, "clicks": {day(20): NO_LINES}}
        )
        ledger.main([*ARGUMENTS, "--database", warehouse.database, "--realtime_namespace", "N"])
        (call,) = client.calls
        values = {
            metric["Dimensions"][1]["Value"]: metric["Value"]
            for metric in call["MetricData"]
            if metric["MetricName"] == "RealTimeDivergence"
        }
        assert values == ({"impressions": pytest.approx(10), "clicks": 0} if compared else {})
