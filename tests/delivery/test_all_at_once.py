"""DeploymentPreferenceType=AllAtOnce allows a deployment while an alarm is in ALARM.

It must remove the alarms from CodeDeploy's deployment groups.
"""

import pytest

import event_types
from support.processed import STACK_NAME, names_of, warehouse
from support.resolver import resolve
from templates import ROOT

TYPES = event_types.names()
ALL_AT_ONCE = {"DeploymentPreferenceType": "AllAtOnce"}


def watched(option):
    """Maps the logical ids of SAM's deployment groups to whether they watch alarms, and the names of the alarms."""
    found = {
        name: one["Properties"]
        for name, one in warehouse(option).resources.items()
        if one["Type"] == "AWS::CodeDeploy::DeploymentGroup"
    }
    # One for each event type, one for AdTrafficFunction and one for MetricsSinkFunction.
    assert len(found) == len(TYPES) + 2
    configurations = {name: one["AlarmConfiguration"] for name, one in found.items()}
    return {name: (one["Enabled"], [alarm["Name"] for alarm in one["Alarms"]]) for name, one in configurations.items()}


def test_all_at_once_replaces_the_alarms_of_every_group():
    """An update without a list of alarms might leave the old list attached."""
    never = names_of(warehouse("no traffic shifting").nested["AlarmsStack"], "NeverAlarm")
    assert list(watched("no traffic shifting").values()) == [(True, never)] * (len(TYPES) + 2)


@pytest.mark.parametrize("option", ["defaults", "everything"])
def test_every_other_preference_watches_the_functions_own_alarm(option):
    own = {
        **{
            f"Capture{event_types.pascal(one)}FunctionDeploymentGroup": f"capture-{event_types.kebab(one)}"
            for one in TYPES
        },
        "AdTrafficFunctionDeploymentGroup": "ad-traffic",
        "MetricsSinkFunctionDeploymentGroup": "metrics-sink",
    }
    for name, (enabled, alarms) in watched(option).items():
        assert enabled and f"{STACK_NAME}-{own[name]}-errors" in alarms
        assert not [one for one in alarms if "NeverAlarm" in one]


def test_the_replacement_alarm_never_fires():
    stack = resolve(ROOT / "template.yaml", ALL_AT_ONCE)
    alarm = stack.one("NeverAlarm")["Properties"]
    assert alarm["TreatMissingData"] == "notBreaching"
    # The alarm never gets data, because no function has this name.
    assert (alarm["Namespace"], alarm["Dimensions"]) == (
        "AWS/Lambda",
        [{"Name": "FunctionName", "Value": "dataless-none"}],
    )
    names = [
        one["Properties"]["FunctionName"]
        for one in stack.resources.values()
        if one["Type"] == "AWS::Serverless::Function"
    ]
    assert len(names) == 2 * (len(TYPES) + 2) and "dataless-none" not in names


def test_other_preferences_have_no_replacement_alarm():
    assert not [name for name in resolve(ROOT / "template.yaml", {}).all_resources() if "NeverAlarm" in name]
