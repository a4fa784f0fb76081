"""Deploys the child stacks to moto's CloudFormation with the parameters that the parent stack would pass.

These tests check that moto accepts the templates and that references between stacks have values. They also check the
created resources in the services that moto supports. moto skips resource types without a model.
"""

from __future__ import annotations

import json

import boto3
import pytest

from deployed import deploy
from support.combinations import PASSWORD, ROOT, TEMPLATE
from support.resolver import read_template, resolve

# moto warns about the resource types that it skips.
pytestmark = [
    pytest.mark.usefixtures("aws"),
    pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning", "ignore:datetime:DeprecationWarning"),
]


EVERYTHING = {
    "EnableEC2Instance": "yes",
    "EnableEMRCluster": "yes",
    "EnableRedshift": "yes",
    "KeyPair": "operators",
    "AllowedSSHRange": "10.20.0.0/16",
}


def test_the_network_is_private():
    outputs = deploy({"EnableRedshift": "yes"} | PASSWORD)["NetworkStack"]
    ec2 = boto3.client("ec2")
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [outputs["VpcId"]]}])["Subnets"]
    assert {one["SubnetId"] for one in subnets} == {outputs["PrivateSubnetA"], outputs["PrivateSubnetB"]}
    assert len({one["AvailabilityZone"] for one in subnets}) == 2
    assert len({one["CidrBlock"] for one in subnets}) == 2
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [outputs["VpcId"]]}])["RouteTables"]
    ways = [route.get("DestinationCidrBlock") for table in tables for route in table["Routes"]]
    assert "0.0.0.0/0" not in ways
    assert ec2.describe_internet_gateways()["InternetGateways"] == []
    endpoints = ec2.describe_vpc_endpoints()["VpcEndpoints"]
    assert {one["ServiceName"].rsplit(".", 1)[1] for one in endpoints} == {"s3", "dynamodb", "glue"}
    (flow_log,) = ec2.describe_flow_logs()["FlowLogs"]
    assert flow_log["ResourceId"] == outputs["VpcId"] and flow_log["TrafficType"] == "ALL"


def test_the_script_instance_is_reached_by_session_manager():
    outputs = deploy({"EnableEC2Instance": "yes"})
    ec2 = boto3.client("ec2")
    (reservation,) = ec2.describe_instances()["Reservations"]
    (instance,) = reservation["Instances"]
    assert instance["InstanceId"] == outputs["ScriptInstanceStack"]["InstanceId"]
    assert instance["SubnetId"] == outputs["NetworkStack"]["PrivateSubnetA"] and "KeyName" not in instance
    groups = {one["Description"]: one["IpPermissions"] for one in ec2.describe_security_groups()["SecurityGroups"]}
    assert [rules for text, rules in groups.items() if text.startswith(("The script instance", "Worn by"))] == [[], []]
    endpoints = ec2.describe_vpc_endpoints()["VpcEndpoints"]
    assert {"ssm", "ssmmessages"} <= {one["ServiceName"].rsplit(".", 1)[1] for one in endpoints}


def test_with_a_key_pair_ssh_is_open_to_the_given_range_only():
    deploy(EVERYTHING | PASSWORD)
    ec2 = boto3.client("ec2")
    ports = [
        (rule["FromPort"], [one["CidrIp"] for one in rule["IpRanges"]])
        for group in ec2.describe_security_groups()["SecurityGroups"]
        for rule in group["IpPermissions"]
        if rule["IpRanges"]
    ]
    assert sorted(ports) == [(22, ["10.20.0.0/16"]), (443, ["10.90.0.0/20"])]


@pytest.mark.parametrize(("nodes", "kind"), [("1", "single-node"), ("3", "multi-node")])
def test_redshift_with_one_and_several_nodes(nodes, kind):
    schedule = {"RedshiftPauseSchedule": "cron(0 20 * * ? *)", "RedshiftResumeSchedule": "cron(0 2 * * ? *)"}
    deploy({"EnableRedshift": "yes", "RedshiftNumberOfNodes": nodes} | PASSWORD | schedule)
    (cluster,) = boto3.client("redshift").describe_clusters()["Clusters"]
    assert cluster["NumberOfNodes"] == int(nodes)
    assert (cluster["NodeType"], cluster["DBName"], cluster["MasterUsername"]) == (
        "ra3.large",
        "warehouse",
        "warehouse",
    )
    assert cluster["Encrypted"] and cluster["EnhancedVpcRouting"] and not cluster["PubliclyAccessible"]
    resolved = resolve(TEMPLATE, {"EnableRedshift": "yes", "RedshiftNumberOfNodes": nodes} | PASSWORD)
    secret = json.loads(resolved.one("RedshiftStack/Password")["Properties"]["SecretString"])
    assert secret == {"username": "warehouse", "password": PASSWORD["RedshiftPassword"]}
    properties = resolved.one("RedshiftStack/Cluster")["Properties"]
    assert (properties["ClusterType"], properties["ClusterIdentifier"]) == (kind, "dataless")


def test_redshift_manages_its_password_if_none_is_given():
    properties = resolve(TEMPLATE, {"EnableRedshift": "yes"}).one("RedshiftStack/Cluster")["Properties"]
    assert properties["ManageMasterPassword"] is True and "MasterUserPassword" not in properties
    given = resolve(TEMPLATE, {"EnableRedshift": "yes"} | PASSWORD).one("RedshiftStack/Cluster")["Properties"]
    assert given["MasterUserPassword"] == PASSWORD["RedshiftPassword"] and "ManageMasterPassword" not in given


def test_an_emr_cluster_for_manual_work_terminates_when_idle():
    outputs = deploy({"EnableEMRCluster": "yes"})
    emr = boto3.client("emr")
    cluster = emr.describe_cluster(ClusterId=outputs["EmrStack"]["ClusterId"])["Cluster"]
    assert cluster["ReleaseLabel"] == "emr-7.14.0"
    made = boto3.client("cloudformation").describe_stack_resources(StackName="dataless-EmrStack")["StackResources"]
    names = {one["LogicalResourceId"]: one.get("PhysicalResourceId") for one in made}
    assert emr.describe_security_configuration(Name=names["SecurityConfiguration"])["SecurityConfiguration"]
    properties = resolve(TEMPLATE, {"EnableEMRCluster": "yes"}).one("EmrStack/Cluster")["Properties"]
    assert properties["Instances"]["CoreInstanceGroup"]["InstanceCount"] == "1"
    assert properties["AutoTerminationPolicy"] == {"IdleTimeout": "3600"}


@pytest.mark.parametrize("enabled", [{}, {"EnableEMRCluster": "yes"}, EVERYTHING], ids=["nothing", "emr", "everything"])
def test_the_pipeline_is_activated(enabled):
    outputs = deploy({"Orchestrator": "DataPipeline"} | enabled | PASSWORD)
    datapipeline = boto3.client("datapipeline")
    (pipeline,) = datapipeline.list_pipelines()["pipelineIdList"]
    assert pipeline["id"] == outputs["DataPipelineStack"]["PipelineId"]
    (description,) = datapipeline.describe_pipelines(pipelineIds=[pipeline["id"]])["pipelineDescriptionList"]
    assert {"key": "@pipelineState", "stringValue": "SCHEDULED"} in description["fields"]
    definition = datapipeline.get_pipeline_definition(pipelineId=pipeline["id"])["pipelineObjects"]
    ids = {one["id"] for one in definition}
    assert {"Default", "Nightly", "Advertising", "AdTrafficLoad"} <= ids
    assert ("Cluster" in ids) == ("EnableEMRCluster" in enabled)
    assert ("Warehouse" in ids) == ("EnableRedshift" in enabled)
    # The nightly cluster of Data Pipeline replaces the cluster for manual work.
    assert boto3.client("emr").list_clusters()["Clusters"] == []


def test_an_active_pipeline_locks_the_toggles():
    """CloudFormation rejects changes of imported exports. moto records the import, but does not reject the change."""
    deploy({"Orchestrator": "DataPipeline", "EnableEMRCluster": "yes"})
    cloudformation = boto3.client("cloudformation")
    (export,) = cloudformation.list_exports()["Exports"]
    assert export["Name"] == "dataless:deploy-once-with-EnablePipeline-blank-before-you-change-this"
    assert "EnableEMRCluster=yes" in export["Value"]
    imported = read_template(ROOT / "stacks" / "data-pipeline.yaml")["Resources"]["Pipeline"]["Properties"][
        "Description"
    ]
    assert imported["Fn::Sub"][1]["Toggles"] == {"Fn::ImportValue": {"Ref": "LockExport"}}
