"""The stack creates all security group rules that EMR needs. Rules added by EMR would block the stack's deletion.

Like EMR, moto adds missing rules when a cluster starts (`EmrSecurityGroupManager`). AWS documents these rules:
https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-man-sec-groups.html
"""

import boto3
import pytest

from deployed import deploy
from support.combinations import ROOT, TEMPLATE
from support.resolver import read_template, resolve

pytestmark = [
    pytest.mark.usefixtures("aws"),
    pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning", "ignore:datetime:DeprecationWarning"),
]

GROUPS = ("MasterSecurityGroup", "CoreSecurityGroup", "ServiceSecurityGroup")


def rules_between(groups):
    """Returns all rules of the groups that refer to one of the groups. EMR never removes such rules."""
    found = set()
    for group in boto3.client("ec2").describe_security_groups(GroupIds=list(groups))["SecurityGroups"]:
        for direction in ("IpPermissions", "IpPermissionsEgress"):
            for rule in group[direction]:
                for pair in rule["UserIdGroupPairs"]:
                    ports = rule.get("FromPort"), rule.get("ToPort")
                    found.add(
                        (groups[group["GroupId"]], direction, rule["IpProtocol"], *ports, groups[pair["GroupId"]])
                    )
    return found


def add_ways_out(ids, chosen):
    """Adds the egress rules that refer to another group, because moto's CloudFormation skips these rules."""
    for name, resource in resolve(TEMPLATE, chosen).all_nested()["EmrStack"].resources.items():
        for rule in resource["Properties"].get("SecurityGroupEgress", []) if name in GROUPS else []:
            other = rule["DestinationSecurityGroupId"].strip("<>")
            permission = {"UserIdGroupPairs": [{"GroupId": ids[other]}]}
            permission |= {key: rule[key] for key in ("IpProtocol", "FromPort", "ToPort")}
            boto3.client("ec2").authorize_security_group_egress(GroupId=ids[name], IpPermissions=[permission])


def start_cluster(ids, subnet):
    boto3.client("emr").run_job_flow(
        Name="nightly",
        ReleaseLabel="emr-7.14.0",
        Instances={
            "Ec2SubnetId": subnet,
            "EmrManagedMasterSecurityGroup": ids["MasterSecurityGroup"],
            "EmrManagedSlaveSecurityGroup": ids["CoreSecurityGroup"],
            "ServiceAccessSecurityGroup": ids["ServiceSecurityGroup"],
            "InstanceGroups": [
                {"Name": role, "InstanceRole": role, "InstanceType": "m7g.xlarge", "InstanceCount": 1}
                for role in ("MASTER", "CORE")
            ],
        },
        JobFlowRole="nodes",
        ServiceRole="emr",
    )


def test_a_cluster_adds_no_rules():
    # With these parameters, the stack contains no cluster. A cluster would add rules before the test reads them.
    chosen = {"Orchestrator": "DataPipeline", "EnableEMRCluster": "yes"}
    outputs = deploy(chosen)
    ids = {name: outputs["EmrStack"][name] for name in GROUPS}
    add_ways_out(ids, chosen)
    names = {group: name for name, group in ids.items()}
    before = rules_between(names)
    start_cluster(ids, outputs["NetworkStack"]["PrivateSubnetA"])
    assert rules_between(names) - before == set()
    # 3 protocols from 2 groups to 2 groups, the cluster manager to 2 groups and back from 1, and its egress to 2.
    assert len(before) == 12 + 3 + 2


def test_the_rules_outlive_the_cluster():
    """Deleting a rule of a running cluster would cut it off. EMR would add the rule again with the next cluster."""
    resources = read_template(ROOT / "stacks" / "emr.yaml")["Resources"]
    rules = {
        name
        for name, one in resources.items()
        if one["Type"].startswith("AWS::EC2::SecurityGroup") and name not in GROUPS
    }
    assert set(resources["Cluster"]["DependsOn"]) == rules


def test_clusters_of_the_pipeline_start_after_the_rules():
    """The pipeline gets the groups from the stack's outputs, which exist only after all resources of the stack."""
    chosen = {"Orchestrator": "DataPipeline", "EnablePipeline": "yes", "EnableEMRCluster": "yes"}
    given = read_template(ROOT / "stacks" / "machines.yaml")["Resources"]["DataPipelineStack"]["Properties"][
        "Parameters"
    ]
    assert "EmrStack" in resolve(TEMPLATE, chosen).all_nested()
    for name in GROUPS:
        assert f"Outputs.{name}" in str(given[f"EMR{name}"])
