"""Tests the deployed state machine end to end. Its Glue tasks run on real Spark."""

import base64
import json
import os

import pytest

DAYS = ("2026-05-04", "2026-05-05", "2026-05-06")
ADS = [f"ad000000-0000-4000-8000-{number:012d}" for number in range(4)]


def own_id(number):
    return f"00000000-0000-4000-8000-{number:012d}"


def impression(number, ad, occurred_at):
    return json.dumps({"impression_id": own_id(number), "ad_id": ADS[ad], "occurred_at": occurred_at})


def click(number, impression_number, ad, occurred_at):
    return json.dumps(
        {
            "click_id": own_id(number),
            "impression_id": own_id(impression_number),
            "ad_id": ADS[ad],
            "occurred_at": occurred_at,
        }
    )


# Handwritten input: (table, hour of arrival, lines).
RAW = [
    (
        "impressions",
        "2026-05-04 10",
        [
            impression(1, 0, "2026-05-04 10:00:00.000"),
            impression(2, 0, "2026-05-04 10:00:01.000"),
            impression(3, 1, "2026-05-04 10:00:02.000"),
            impression(1, 0, "2026-05-04 10:00:00.000"),
            "no event",
        ],
    ),
    # One impression belongs to the previous day, and is late, but not too late. Another is at the very end of its day.
    (
        "impressions",
        "2026-05-05 09",
        [
            impression(4, 2, "2026-05-04 23:00:00.000"),
            impression(5, 2, "2026-05-05 09:00:00.000"),
        ],
    ),
    ("impressions", "2026-05-05 23", [impression(6, 1, "2026-05-05 23:59:59.999")]),
    ("impressions", "2026-05-06 12", [impression(7, 3, "2026-05-06 12:00:00.000")]),
    # A second click on an impression, a click on the next day, and a click without an impression.
    (
        "clicks",
        "2026-05-04 11",
        [click(101, 1, 0, "2026-05-04 10:00:05.000"), click(102, 1, 0, "2026-05-04 10:00:09.000")],
    ),
    (
        "clicks",
        "2026-05-06 00",
        [click(103, 6, 1, "2026-05-06 00:00:03.000"), click(104, 99, 1, "2026-05-06 00:00:04.000")],
    ),
]

# The expected result: {(ad, day): (impressions, clicks)}.
TRAFFIC = {
    (ADS[0], "2026-05-04"): (2, 1),
    (ADS[1], "2026-05-04"): (1, 0),
    (ADS[2], "2026-05-04"): (1, 0),
    (ADS[2], "2026-05-05"): (1, 0),
    (ADS[1], "2026-05-05"): (1, 1),
    (ADS[3], "2026-05-06"): (1, 0),
}

LEDGER = """
SELECT table_name, concat_ws('-', year, month, day) AS arrived, raw, kept, repeats, rejected, late
FROM ledger WHERE year = '2026' AND month = '05' AND day IN ('04', '05', '06')
"""

BOOKS = [
    ["clicks", "2026-05-04", 2, 2, 0, 0, 0],
    ["clicks", "2026-05-05", 0, 0, 0, 0, 0],
    ["clicks", "2026-05-06", 2, 2, 0, 0, 0],
    ["impressions", "2026-05-04", 5, 3, 1, 1, 0],
    ["impressions", "2026-05-05", 3, 3, 0, 0, 0],
    ["impressions", "2026-05-06", 1, 1, 0, 0, 0],
]


@pytest.fixture(scope="module")
def backfilled(warehouse):
    for number, (table, hour, lines) in enumerate(RAW):
        warehouse.put_raw(table, hour, f"{number}.gz", lines)
    output = warehouse.run(**{"from": DAYS[0], "to": DAYS[-1]})
    return warehouse, output


def traffic(warehouse):
    return {key: counts for key, counts in warehouse.items().items() if key[1] in DAYS}


def test_a_backfill_of_three_days_matches_the_handwritten_counts(backfilled):
    warehouse, output = backfilled
    # Arrivals of the last day affect the results up to LookbackDays + 1 days after it.
    assert output == {"from": DAYS[0], "to": "2026-05-10"}
    assert traffic(warehouse) == TRAFFIC
    assert warehouse.sql(LEDGER) == BOOKS


def test_a_second_backfill_changes_nothing(backfilled):
    warehouse, _ = backfilled
    warehouse.run(**{"from": DAYS[0], "to": DAYS[-1]})
    assert traffic(warehouse) == TRAFFIC
    assert warehouse.sql(LEDGER) == BOOKS


def test_a_failed_etl_is_reported_not_retried_and_runs_after_the_fix(warehouse, notices):
    day = "2026-05-13"
    warehouse.put_raw("clicks", f"{day} 10", "good.gz", [click(111, 11, 0, f"{day} 10:00:00.000")])
    broken = warehouse.put_object("clicks", f"{day} 10", "torn.gz", b"\x1f\x8b no gzip")
    execution = warehouse.start(**{"from": day, "to": day})
    ended = warehouse.wait(execution)
    assert ended["status"] == "FAILED"
    assert len(warehouse.failed_tasks(execution)) == 1
    notice = json.loads(notices()[0]["Message"])
    assert notice["what"].startswith("The nightly batch failed.")
    assert (notice["execution"], notice["status"]) == (execution, "FAILED")
    assert json.loads(notice["input"]) == {"from": day, "to": day}
    for part in ("clicks-python-etl", "torn.gz"):
        assert part in notice["cause"], part
    assert notice["next"].endswith(f"aws stepfunctions redrive-execution --execution-arn {execution}")
    # The traffic table has no items of the day.
    assert not [key for key in warehouse.items() if key[1] == day]

    warehouse.delete(broken)
    warehouse.run(**{"from": day, "to": day})
    assert notices(wait_seconds=0) == []


@pytest.mark.parametrize(
    "fields",
    [{"from": "yesterday"}, {"from": "2026-05-06", "to": "2026-05-04"}, {"from": "2026-05-06", "to": "2028-05-06"}],
)
def test_an_invalid_range_of_days_is_refused(warehouse, notices, fields):
    ended = warehouse.wait(warehouse.start(**fields))
    assert (ended["status"], ended["error"]) == ("FAILED", "InvalidInput")
    assert "YYYY-MM-DD" in ended["cause"]
    assert "YYYY-MM-DD" in json.loads(notices()[0]["Message"])["cause"]


def test_an_unbalanced_day_does_not_block_other_days(warehouse, notices):
    """On the second of three days, Firehose fails to deliver a line. The ledger of this day does not balance."""
    first, open_day, last = "2026-05-20", "2026-05-21", "2026-05-22"
    for number, day in enumerate((first, open_day, last)):
        warehouse.put_raw("impressions", f"{day} 10", "good.gz", [impression(200 + number, 0, f"{day} 10:00:00.000")])
    record = {"rawData": base64.b64encode(impression(299, 0, f"{open_day} 11:00:00.000").encode()).decode()}
    folder = f"data/raw-errors/impressions/processing-failed/year=2026/month=05/day={open_day[-2:]}/hour=11"
    key = f"{folder}/set-aside"
    warehouse.s3.put_object(Bucket=warehouse.bucket, Key=key, Body=json.dumps(record).encode())
    execution = warehouse.start(**{"from": first, "to": last})
    ended = warehouse.wait(execution)
    assert ended["status"] == "FAILED"
    assert f"replay --undelivered --day {open_day}" in ended["cause"]
    # The check of the day runs with the checks of the other days, and again at the end. A redrive continues at the
    # second check.
    failed = warehouse.failed_tasks(execution)
    assert len(failed) == 2
    assert [cause for cause in failed if f"the books of {open_day} don't balance" not in cause] == []
    assert {day: warehouse.items()[ADS[0], day] for day in (first, open_day, last)} == dict.fromkeys(
        (first, open_day, last), (1, 0)
    )
    # Alarms on an unbalanced ledger publish to the same topic.
    while "execution" not in (message := json.loads(notices()[0]["Message"])):
        assert "-ledger" in message["AlarmName"]
    assert f"the books of {open_day} don't balance" in message["cause"]
    warehouse.delete(key)


def schedule(warehouse):
    names = [found["Name"] for found in warehouse.scheduler.list_schedules()["Schedules"]]
    (name,) = [name for name in names if name.endswith("-daily")]
    return warehouse.scheduler.get_schedule(Name=name)


def test_the_nightly_run_is_scheduled_unless_the_parameter_is_blank(warehouse):
    found = schedule(warehouse)
    assert found["State"] == "ENABLED"
    assert found["Target"]["Arn"] == warehouse.state_machine
    assert json.loads(found["Target"]["Input"]) == {"scheduled_at": "<aws.scheduler.scheduled-time>"}
    assert found["FlexibleTimeWindow"]["Mode"] == "FLEXIBLE"
    assert ":sqs:" in found["Target"]["DeadLetterConfig"]["Arn"]

    name = os.environ["DATALESS_STACK"]
    parameters = warehouse.cloudformation.describe_stacks(StackName=name)["Stacks"][0]["Parameters"]

    def update(value):
        warehouse.cloudformation.update_stack(
            StackName=name,
            UsePreviousTemplate=True,
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[
                {"ParameterKey": "EnablePipeline", "ParameterValue": value}
                if parameter["ParameterKey"] == "EnablePipeline"
                else {"ParameterKey": parameter["ParameterKey"], "UsePreviousValue": True}
                for parameter in parameters
            ],
        )
        warehouse.cloudformation.get_waiter("stack_update_complete").wait(
            StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
        )

    update("")
    assert schedule(warehouse)["State"] == "DISABLED"
    update("yes")
    assert schedule(warehouse)["State"] == "ENABLED"
