"""Tests the deployed state machine with a third event type in its list. A function replaces Glue."""

import io
import json
import uuid
import zipfile
from collections import Counter

import boto3
import pytest

import event_types

DAY = "2026-03-01"
NIGHT = {"from": DAY, "to": DAY, "part": True}

# Replaces Glue. Every run succeeds, except the runs of the job in FAILING.
ECHO = """import os

def handler(event, context):
    if event["JobName"] == os.environ["FAILING"]:
        raise RuntimeError(event["JobName"])
    return {"JobName": event["JobName"], "Arguments": event["Arguments"]}
"""


class Machine:
    """The deployed definition with other event types, and with a function that replaces Glue."""

    def __init__(self, warehouse, types, failing):
        self.warehouse, self.name = warehouse, f"types-{uuid.uuid4().hex[:8]}"
        deployed = warehouse.states.describe_state_machine(stateMachineArn=warehouse.state_machine)
        resources = {
            state["Resource"]
            for state in tasks(json.loads(deployed["definition"]))
            if ":function:" in state["Resource"]
        }
        (glue,) = resources
        own = str(event_types.names()).replace(" ", "")
        assert own in deployed["definition"]
        definition = deployed["definition"].replace(glue, self.echo(failing)).replace(own, str(types).replace(" ", ""))
        created = warehouse.states.create_state_machine(
            name=self.name, definition=definition, roleArn=deployed["roleArn"]
        )
        self.arn = created["stateMachineArn"]

    def echo(self, failing):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("echo.py", ECHO)
        return boto3.client("lambda").create_function(
            FunctionName=self.name, Runtime="python3.11", Handler="echo.handler", Role="arn:aws:iam::000000000000:role/local",
            Code={"ZipFile": packed.getvalue()}, Environment={"Variables": {"FAILING": failing}},
        )["FunctionArn"]  # fmt: skip

    def run(self):
        """Runs the state machine. Returns the jobs that succeeded, in order, and the status of the execution."""
        execution = self.warehouse.states.start_execution(stateMachineArn=self.arn, input=json.dumps(NIGHT))[
            "executionArn"
        ]
        ended = self.warehouse.wait(execution)
        history = self.warehouse.states.get_execution_history(executionArn=execution, maxResults=1000)["events"]
        outputs = [
            json.loads(one["taskSucceededEventDetails"]["output"]) for one in history if one["type"] == "TaskSucceeded"
        ]
        return [one["JobName"].removeprefix("dataless-") for one in outputs], ended["status"]

    def close(self):
        self.warehouse.states.delete_state_machine(stateMachineArn=self.arn)
        boto3.client("lambda").delete_function(FunctionName=self.name)


def tasks(machine):
    for state in machine["States"].values():
        if state["Type"] == "Task":
            yield state
        if "ItemProcessor" in state:
            yield from tasks(state["ItemProcessor"])


@pytest.fixture
def machine(warehouse):
    made = []

    def make(types, failing=""):
        made.append(Machine(warehouse, types, failing))
        return made[-1]

    yield make
    for one in made:
        one.close()


ADS = ["impressions-python-etl", "clicks-python-etl"]
DERIVED = {"advertising", "ad-traffic", "ad-traffic-load"}


def test_another_type_is_filled_after_the_derived_tables_of_ads(machine):
    jobs, status = machine(["impressions", "order_items", "clicks"]).run()
    assert status == "SUCCEEDED"
    assert sorted(jobs[:2]) == sorted(ADS) and jobs[-1] == "order-items-python-etl"
    # The execution derives LookbackDays + 2 days.
    assert Counter(jobs[2:-1]) == dict.fromkeys(DERIVED, 5)


def test_a_failure_of_another_type_does_not_affect_ads(machine):
    jobs, status = machine(["order_items", "clicks", "impressions"], failing="dataless-order-items-python-etl").run()
    assert status == "FAILED"
    assert set(jobs) == {*ADS, *DERIVED}


def test_a_failure_of_an_ad_event_type_prevents_derived_tables(machine):
    jobs, status = machine(["impressions", "clicks"], failing="dataless-clicks-python-etl").run()
    assert status == "FAILED" and set(jobs) <= {"impressions-python-etl"}
