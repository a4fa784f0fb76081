"""No combination of the optional parts has dangling references or creates resources that were not requested."""

import re

import pytest

import event_types
from support.combinations import PASSWORD, ROOT, TEMPLATE, all_combinations, named, toggles
from support.resolver import Refused, read_template, resolve

# Every warehouse has these stacks.
ALWAYS = {
    "AlarmsStack", "ApiLogsStack", "DashboardsStack", "FunctionsStack", "JobsStack", "PipelineStack", "TablesStack", "TrafficStack",
    *(f"{event_types.pascal(one)}Events" for one in event_types.names()),
}  # fmt: skip


def wanted_stacks(chosen):
    machines = {
        "ScriptInstanceStack": chosen["EnableEC2Instance"],
        "EmrStack": chosen["EnableEMRCluster"],
        "RedshiftStack": chosen["EnableRedshift"],
    }
    stacks = {stack for stack, enabled in machines.items() if enabled}
    if stacks:
        stacks.add("NetworkStack")
    if chosen["EnableRedshift"]:
        stacks.add("RedshiftJobsStack")
    if chosen["Orchestrator"] == "DataPipeline":
        stacks.add("DataPipelineLockStack")
        if chosen["EnablePipeline"]:
            stacks.add("DataPipelineStack")
    return stacks | ALWAYS | ({"MachinesStack"} if stacks - {"DataPipelineLockStack"} else set())


def test_no_combination_has_a_dangling_reference():
    combinations = all_combinations()
    assert len(combinations) == 32 * 6
    for chosen in combinations:
        stack = resolve(TEMPLATE, chosen)
        assert set(stack.all_nested()) == wanted_stacks(chosen), named(chosen)


def test_by_default_there_is_no_machine_and_no_network():
    stack = resolve(TEMPLATE, {})
    assert set(stack.nested) == ALWAYS
    expensive = ("AWS::EC2::", "AWS::EMR::", "AWS::Redshift::", "AWS::DataPipeline::")
    assert [name for name, one in stack.all_resources().items() if one["Type"].startswith(expensive)] == []
    assert not any("Redshift" in name for name in stack.all_resources())


@pytest.mark.parametrize("chosen", toggles(), ids=named)
def test_nothing_can_be_reached_from_the_internet(chosen):
    resources = resolve(TEMPLATE, chosen | {"KeyPair": "operators", "AllowedSSHRange": "10.20.0.0/16"}).all_resources()
    rules = [one["Properties"] for one in resources.values() if one["Type"] == "AWS::EC2::SecurityGroupIngress"]
    for one in resources.values():
        if one["Type"] == "AWS::EC2::SecurityGroup":
            rules += one["Properties"].get("SecurityGroupIngress", [])
    for rule in rules:
        assert rule.get("CidrIp", "10.0.0.0/8").startswith("10.") and "CidrIpv6" not in rule
    for one in resources.values():
        if one["Type"] == "AWS::EC2::Subnet":
            assert not one["Properties"].get("MapPublicIpOnLaunch", False)
        if one["Type"] == "AWS::Redshift::Cluster":
            assert one["Properties"]["PubliclyAccessible"] is False and one["Properties"]["Encrypted"] is True
        if one["Type"] == "AWS::EC2::Instance":
            assert one["Properties"]["MetadataOptions"]["HttpTokens"] == "required"
            assert all(disk["Ebs"]["Encrypted"] for disk in one["Properties"]["BlockDeviceMappings"])


def test_a_nat_gateway_exists_only_for_task_runner():
    for chosen in toggles():
        has_machine_with_task_runner = chosen["Orchestrator"] == "DataPipeline" and (
            chosen["EnableEC2Instance"] or chosen["EnableEMRCluster"]
        )
        types = [one["Type"] for one in resolve(TEMPLATE, chosen).all_resources().values()]
        assert ("AWS::EC2::NatGateway" in types) == bool(has_machine_with_task_runner), named(chosen)


DATA_PIPELINE = {"Orchestrator": "DataPipeline", "EnablePipeline": "yes"}


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (DATA_PIPELINE | {"EnableRedshift": "yes"}, "Give RedshiftPassword"),
        (DATA_PIPELINE | {"EnableEMRCluster": "yes", "EMRMasterInstanceCount": "3"}, "Set EMRMasterInstanceCount to 1"),
        ({"EnableEC2Instance": "yes", "KeyPair": "operators"}, "both KeyPair and AllowedSSHRange"),
        ({"EnableEC2Instance": "yes", "AllowedSSHRange": "10.0.0.0/8"}, "both KeyPair and AllowedSSHRange"),
        ({"EnableEC2Instance": "yes", "KeyPair": "operators", "AllowedSSHRange": "0.0.0.0/0"}, "such as 10.20.0.0/16"),
        ({"EnableEC2Instance": "yes", "AccessKeyID": "AKIAIOSFODNN7EXAMPLE"}, "both AccessKeyID and SecretAccessKey"),
        (
            {"EnableRedshift": "yes", "RedshiftPauseSchedule": "cron(0 20 * * ? *)"},
            "RedshiftResumeSchedule, or neither",
        ),
        ({"EnableRedshift": "yes", "RedshiftNodeType": "dc2.large"}, "allowed are"),
        ({"EnableRedshift": "yes", "RedshiftPassword": "password"}, "a small and a capital letter"),
    ],
)
def test_invalid_combinations_are_refused_with_a_solution(chosen, message):
    with pytest.raises(Refused, match=re.escape(message)):
        resolve(TEMPLATE, chosen)


def test_data_pipeline_is_refused_where_it_does_not_exist():
    with pytest.raises(Refused, match="us-east-1, us-west-2"):
        resolve(TEMPLATE, DATA_PIPELINE, {"AWS::Region": "eu-central-1"})


def test_the_lock_holds_every_toggle_of_an_active_pipeline():
    """Without the lock, a change of a toggle while the pipeline is active could leave the stack stuck."""
    chosen = DATA_PIPELINE | PASSWORD
    seen = set()
    for toggle, value in {
        "EnableEC2Instance": "yes",
        "EnableEMRCluster": "yes",
        "EnableRedshift": "yes",
        "DataPipelineStart": "2027-01-31T02:30:00",
    }.items():
        stack = resolve(TEMPLATE, chosen | {toggle: value})
        seen.add(stack.nested["DataPipelineLockStack"].outputs["Toggles"])
        assert stack.one("DataPipelineStack")["Properties"]["Parameters"]["LockExport"] == (
            "dataless:deploy-once-with-EnablePipeline-blank-before-you-change-this"
        )
    assert len(seen) == 4


def test_the_guide_shows_the_error_of_the_lock():
    lock = resolve(TEMPLATE, DATA_PIPELINE).nested["DataPipelineLockStack"]
    guide = (ROOT / "docs" / "data-pipeline.md").read_text(encoding="utf-8")
    assert f"Export {lock.outputs['ExportName']} cannot be updated" in guide


def test_given_passwords_and_keys_are_never_shown():
    for path in [TEMPLATE, *sorted((ROOT / "stacks").glob("*.yaml"))]:
        declared = read_template(path).get("Parameters", {})
        for name in ("AccessKeyID", "SecretAccessKey", "RedshiftPassword"):
            if name in declared:
                assert declared[name]["NoEcho"] is True and declared[name]["Default"] == ""
