"""Tests which days the deployed state machine runs. The tests replace the tasks in its definition with Pass states."""

import json
import time
import uuid
from datetime import date, timedelta

import pytest

LOOKBACK_DAYS = 3


def without_tasks(part):
    """Returns the states with Pass states in place of tasks, including those that start nested executions."""
    if isinstance(part, list):
        return [without_tasks(one) for one in part]
    if not isinstance(part, dict):
        return part
    if part.get("Type") == "Task":
        return {"Type": "Pass", **{key: part[key] for key in ("Next", "End") if key in part}}
    return {key: without_tasks(one) for key, one in part.items()}


def day_of(result):
    """Returns the day of a result in a map. The result is the day's input, or a list with the input of each branch."""
    (result,) = result[:1] if isinstance(result, list) else [result]
    return result.get("day", result)


@pytest.fixture(scope="module")
def run(warehouse):
    """Yields a function that runs the state machine with an input, and returns the days of each map."""
    states = warehouse.states
    deployed = states.describe_state_machine(stateMachineArn=warehouse.state_machine)
    definition = without_tasks(json.loads(deployed["definition"]))
    maps = {"Fill the lake": "filled", "Derive": "derived", "In parts": "parts", "Check the ledgers": "checked",
            "Open books": "checked_again"}  # fmt: skip
    for name, variable in maps.items():
        definition["States"][name]["Assign"] = definition["States"][name].get("Assign", {}) | {
            variable: "{% $states.result %}"
        }
    # The ledger check reports the days in the `open` field of the input as unbalanced.
    check = definition["States"]["Check the ledgers"]["ItemProcessor"]["States"]["Check the ledger"]
    check["Output"] = (
        "{% $states.input.day in $states.context.Execution.Input.open"
        " ? {'day': $states.input.day, 'fault': 'open'} : {'day': $states.input.day} %}"
    )
    definition["States"]["Range"]["Assign"] |= {key: [] for key in maps.values()}
    definition["States"]["Done"]["Output"] = {variable: f"{{% ${variable} %}}" for variable in maps.values()}
    made = states.create_state_machine(
        name=f"days-{uuid.uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=deployed["roleArn"]
    )["stateMachineArn"]

    def execute(**fields):
        execution = states.start_execution(stateMachineArn=made, input=json.dumps(fields))["executionArn"]
        while (found := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
            time.sleep(0.05)
        assert found["status"] == "SUCCEEDED", found.get("cause")
        output = json.loads(found["output"])
        return {name: [day_of(one) for one in output[name]] for name in output}

    yield execute
    states.delete_state_machine(stateMachineArn=made)


def days(first, last):
    first, last = date.fromisoformat(first), date.fromisoformat(last)
    return [str(first + timedelta(days=number)) for number in range((last - first).days + 1)]


def test_a_night_runs_the_day_of_arrival_and_derives_the_touched_days(run):
    assert run(scheduled_at="2026-03-02T02:30:00Z") == {
        "filled": ["2026-03-01"],
        "derived": ["2026-02-25", "2026-02-26", "2026-02-27", "2026-02-28", "2026-03-01"],
        "checked": ["2026-03-01"],
        "parts": [],
        "checked_again": [],
    }


def test_a_backfill_also_runs_the_days_that_it_affects(run):
    assert run(**{"from": "2026-02-27", "to": "2026-02-28"}) == {
        "filled": days("2026-02-27", "2026-03-04"),
        "derived": days("2026-02-23", "2026-03-04"),
        "checked": days("2026-02-27", "2026-03-04"),
        "parts": [],
        "checked_again": [],
    }


def test_a_backfill_ends_with_the_last_day_that_is_over(run):
    found = run(**{"from": "2026-02-26", "to": "2026-02-27"}, scheduled_at="2026-03-02T02:30:00Z")
    assert found["filled"] == found["checked"] == days("2026-02-26", "2026-03-01")


def test_an_unfinished_day_runs_if_it_is_requested(run):
    found = run(**{"from": "2026-03-02"}, scheduled_at="2026-03-02T02:30:00Z")
    assert found["filled"] == ["2026-03-02"]


def test_a_year_runs_in_months_and_one_ledger_check(run):
    found = run(**{"from": "2025-01-01", "to": "2025-12-31"})
    assert (found["filled"], found["derived"]) == ([], [])
    assert [day for part in found["parts"] for day in days(part["from"], part["to"])] == days(
        "2025-01-01", "2026-01-04"
    )
    assert {len(days(part["from"], part["to"])) for part in found["parts"][:-1]} == {31}
    assert found["checked"] == days("2025-01-01", "2026-01-04")


def test_a_part_runs_only_its_days_and_does_not_check_the_ledger(run):
    assert run(**{"from": "2025-01-01", "to": "2025-01-31"}, part=True) == {
        "filled": days("2025-01-01", "2025-01-31"),
        "derived": days("2024-12-28", "2025-01-31"),
        "checked": [],
        "parts": [],
        "checked_again": [],
    }


def test_a_fresh_run_only_fills_the_lake_with_today(run):
    assert run(fresh=True, scheduled_at="2026-03-02T14:00:00Z") == {
        "filled": ["2026-03-02"], "derived": [], "checked": [], "parts": [], "checked_again": [],
    }  # fmt: skip


def test_unbalanced_days_are_checked_again_after_all_days(run):
    found = run(**{"from": "2026-02-01", "to": "2026-02-03"}, open=["2026-02-02", "2026-02-05"])
    assert found["checked"] == days("2026-02-01", "2026-02-07")
    assert found["checked_again"] == ["2026-02-02", "2026-02-05"]
    assert run(**{"from": "2026-02-01"}, open=["2026-02-01"])["checked_again"] == ["2026-02-01"]
