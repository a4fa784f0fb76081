"""Tests the retries and timeouts of the nightly state machine, and the states from which a redrive continues."""

import json

import pytest

from support.combinations import ROOT, TEMPLATE
from support.options import OPTIONS
from support.processed import STACK_NAME, warehouse
from support.resolver import read_template

# The transient errors of StartJobRun. A retry after any other error would fail again. Failed job runs have other names.
# https://docs.aws.amazon.com/glue/latest/webapi/API_StartJobRun.html, https://docs.aws.amazon.com/glue/latest/webapi/CommonErrors.html
# AWSGlueException is any exception without its own name. SdkClientException comes from the client in Step Functions:
# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
PASSING = {
    "Glue.AWSGlueException", "Glue.ConcurrentRunsExceededException", "Glue.InternalServiceException", "Glue.OperationTimeoutException",
    "Glue.ResourceNumberLimitExceededException", "Glue.SdkClientException", "Glue.ThrottlingException",
}  # fmt: skip

# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
LONGEST_EXECUTION = 366 * 24 * 3600

# The maximum time that a run can wait in Glue's queue before its task fails.
QUEUE_SECONDS = 24 * 3600

DEFINITION = json.loads((ROOT / "pipeline" / "daily.asl.json").read_text(encoding="utf-8"))


def machines(machine, name="daily"):
    """Yields (name, state machine) for the state machine and for those in its maps and branches."""
    yield name, machine
    for state_name, state in machine["States"].items():
        for part in [state["ItemProcessor"]] if "ItemProcessor" in state else state.get("Branches", []):
            yield from machines(part, state_name)


STATES = [(name, state) for _, machine in machines(DEFINITION) for name, state in machine["States"].items()]
JOBS = {name: state for name, state in STATES if state.get("Resource") == "${GlueTask}"}


def test_a_refused_request_is_retried_and_a_failed_run_is_not():
    assert len(JOBS) == 9
    for name, state in JOBS.items():
        repeated = [error for retrier in state["Retry"] for error in retrier["ErrorEquals"]]
        assert set(repeated) == PASSING and len(repeated) == len(PASSING), name
        assert all(0 < retrier["MaxAttempts"] < 100 for retrier in state["Retry"]), name
    assert [name for name, state in STATES if "Retry" in state and name not in JOBS] == []


@pytest.mark.parametrize("option", OPTIONS)
def test_glue_does_not_retry_runs_and_queues_them(option):
    jobs = [one["Properties"] for one in warehouse(option).all_resources().values() if one["Type"] == "AWS::Glue::Job"]
    assert len(jobs) >= 9
    assert {(job["MaxRetries"], job["JobRunQueuingEnabled"]) for job in jobs} <= {(0, True), (0, "true")}


def following(state):
    """Returns the possible next states, including the states after a failure."""
    choices = [*state.get("Choices", []), *state.get("Catch", []), state]
    return {one["Next"] for one in choices if "Next" in one} | ({state["Default"]} if "Default" in state else set())


def test_no_failure_of_a_job_ends_in_a_state_that_fails_again_on_redrive():
    for place, machine in machines(DEFINITION):
        reached, works = {}, [(machine["StartAt"], False)]
        while works:
            name, has_run = works.pop()
            if reached.get(name) is True or (name in reached and not has_run):
                continue
            reached[name] = has_run
            state = machine["States"][name]
            has_run |= state["Type"] in {"Task", "Map", "Parallel"}
            works += [(one, has_run) for one in following(state)]
        assert reached.keys() == machine["States"].keys(), place
        failing = {name: has_run for name, has_run in reached.items() if machine["States"][name]["Type"] == "Fail"}
        assert failing == ({"Not a range": False} if place == "daily" else {}), place


def test_a_failed_check_of_one_day_blocks_no_other_day_and_no_derived_table():
    order, name = [], DEFINITION["StartAt"]
    while name:
        order.append(name)
        state = DEFINITION["States"][name]
        choices = {
            "Is it a range?": "Last day",
            "Is it long?": "Fill the lake",
            "Does it check the ledgers?": "Check the ledgers",
            "Do all books balance?": "Open books",
        }
        name = choices.get(name, state.get("Default", state.get("Next")))
    assert [name for name in order if DEFINITION["States"][name]["Type"] == "Map"] == [
        "Fill the lake", "Derive", "Fill the lake with other types", "Check the ledgers", "Open books",
    ]  # fmt: skip
    states = DEFINITION["States"]
    (catch,) = states["Check the ledgers"]["ItemProcessor"]["States"]["Check the ledger"]["Catch"]
    assert catch["ErrorEquals"] == ["States.ALL"]
    # Any other failure ends the execution as failed.
    assert [name for name, state in STATES if "Catch" in state] == ["Check the ledger"]


def test_timeouts_increase_from_job_to_task_to_execution():
    minutes = read_template(TEMPLATE)["Parameters"]["GlueTimeoutMinutes"]
    most, usual = minutes["MaxValue"], minutes["Default"]
    for name, state in JOBS.items():
        assert state["TimeoutSeconds"] >= most * 60 + QUEUE_SECONDS, name
    assert max(state["TimeoutSeconds"] for state in JOBS.values()) < DEFINITION["TimeoutSeconds"] <= LONGEST_EXECUTION
    # The longest range, if days run sequentially and each job takes as long as the default timeout allows.
    days = 367 + 30 + 1
    assert days * len(JOBS) * usual * 60 < DEFINITION["TimeoutSeconds"]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_execution_that_fails_is_reported_by_a_rule(option):
    stack = warehouse(option).nested["PipelineStack"]
    rules = {name: one["Properties"] for name, one in stack.resources.items() if one["Type"] == "AWS::Events::Rule"}
    pattern = rules["DailyPipelineFailures"]["EventPattern"]
    assert pattern["source"] == ["aws.states"] and pattern["detail-type"] == ["Step Functions Execution Status Change"]
    # All final statuses of an execution, except success.
    assert set(pattern["detail"]["status"]) == {"FAILED", "TIMED_OUT", "ABORTED"}
    assert [arn.rsplit(":", 1)[1] for arn in pattern["detail"]["stateMachineArn"]] == [f"{STACK_NAME}-daily"]
    assert rules["DailyPipelineFailures"].get("State", "ENABLED") == "ENABLED"
