"""DeploymentPreferenceType=AllAtOnce is the way out when an alarm is in ALARM: it must take the alarms off CodeDeploy's groups."""

import json
import os
import subprocess

import pytest
from resolver import resolve
from templates import ROOT

SAM = ROOT / ".dataless" / "tools" / "sam" / "bin" / "python"
ALL_AT_ONCE = {"DeploymentPreferenceType": "AllAtOnce"}


@pytest.fixture(scope="module")
def groups():
    """The deployment groups that SAM's transform makes, by logical id."""
    arguments = [SAM, ROOT / "tests" / "delivery" / "translated.py", ROOT / "template.yaml"]
    made = subprocess.run(
        arguments, check=True, capture_output=True, env=os.environ | {"AWS_DEFAULT_REGION": "us-east-1"}
    )
    resources = json.loads(made.stdout)["Resources"]
    found = {name: one for name, one in resources.items() if one["Type"] == "AWS::CodeDeploy::DeploymentGroup"}
    assert len(found) == 4
    return found


def alarms(group, is_all_at_once):
    condition, watched, all_at_once = group["Properties"]["AlarmConfiguration"]["Fn::If"]
    assert condition == "HasRollbackAlarms"
    chosen = all_at_once if is_all_at_once else watched
    return chosen["Enabled"], [one["Name"]["Ref"] for one in chosen["Alarms"]]


def test_all_at_once_replaces_the_alarms_of_every_group(groups):
    """An update without a list might leave the old one attached."""
    assert {name: alarms(group, True) for name, group in groups.items()} == dict.fromkeys(groups, (True, ["NeverAlarm"]))


def test_every_other_type_watches_the_function_s_own_alarm(groups):
    for name, group in groups.items():
        enabled, watched = alarms(group, False)
        assert enabled and name.replace("FunctionDeploymentGroup", "ErrorsAlarm") in watched
        assert "NeverAlarm" not in watched


def test_the_alarm_in_their_place_never_fires():
    stack = resolve(ROOT / "template.yaml", ALL_AT_ONCE)
    alarm = stack.resources["NeverAlarm"]["Properties"]
    assert alarm["TreatMissingData"] == "notBreaching"
    # Nothing sends data: no function has this name, since those of a stack end with what CloudFormation adds.
    assert (alarm["Namespace"], alarm["Dimensions"]) == (
        "AWS/Lambda",
        [{"Name": "FunctionName", "Value": "dataless-none"}],
    )
    names = [one["Properties"].get("FunctionName") for one in stack.resources.values() if "Function" in one["Type"]]
    assert "dataless-none" not in names


def test_it_costs_nothing_otherwise():
    assert "NeverAlarm" not in resolve(ROOT / "template.yaml", {}).resources
