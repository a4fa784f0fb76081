"""Boundaries of the roles that the pipeline's deployment role makes, and names that keep two branches apart."""

import json
import re
from functools import cache

import pytest
from resolver import Refused, resolve
from rights import DEPLOYMENT, WAREHOUSE, arn, as_list, granting, pipeline, statements, warehouse
from templates import ROOT

KEY = arn("kms", "key/0123abcd-0123-0123-0123-0123456789ab")
BOUNDARIES = {
    "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/of-the-warehouse",
    "MachinesBoundaryArn": "arn:aws:iam::123456789012:policy/of-machines",
}
MACHINES = {
    "EnableEC2Instance": "yes", "EnableEMRCluster": "yes", "EnableRedshift": "yes", "Orchestrator": "DataPipeline",
    "EnablePipeline": "yes", "RedshiftPassword": "Not-a-secret-1", "AccessKeyID": "AKIAIOSFODNN7EXAMPLE",
    "SecretAccessKey": "not-a-secret", "RedshiftPauseSchedule": "cron(0 20 * * ? *)", "RedshiftResumeSchedule": "cron(0 2 * * ? *)",
}  # fmt: skip

# What gives rights to a role, as far as IAM can compare the boundary.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
GIVING = {"iam:AttachRolePolicy", "iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"}


def test_every_role_has_its_boundary_when_one_is_given():
    made = warehouse(**MACHINES, **BOUNDARIES)
    roles = {name: one["Properties"].get("PermissionsBoundary") for name, one in made.items() if one["Type"] == "AWS::IAM::Role"}
    assert len(roles) > 20
    assert roles == {name: BOUNDARIES["MachinesBoundaryArn" if "/" in name else "PermissionsBoundaryArn"] for name in roles}
    # SAM would make a role without one.
    for name, one in made.items():
        if one["Type"] in ("AWS::Serverless::Function", "AWS::Serverless::StateMachine"):
            assert "Role" in one["Properties"], name
    assert not any("PermissionsBoundary" in one["Properties"] for one in warehouse(**MACHINES).values())


def test_the_pipeline_sets_the_boundary_that_it_asks_for():
    (value,) = [
        one["Value"]
        for one in pipeline()["BuildProject"]["Properties"]["Environment"]["EnvironmentVariables"]
        if one["Name"] == "PERMISSIONS_BOUNDARY"
    ]
    assert value == "<WarehouseBoundary>"
    assert '--set "PermissionsBoundaryArn=$PERMISSIONS_BOUNDARY"' in (ROOT / "buildspec.yml").read_text(encoding="utf-8")


def test_machines_of_a_pipeline_need_their_boundary():
    only = {"PermissionsBoundaryArn": BOUNDARIES["PermissionsBoundaryArn"]}
    for machine in ({"EnableEC2Instance": "yes"}, {"EnableEMRCluster": "yes"}, {"EnableRedshift": "yes"}):
        with pytest.raises(Refused, match=r"Deploy build-machines\.yaml"):
            resolve(ROOT / "template.yaml", only | machine)
        resolve(ROOT / "template.yaml", BOUNDARIES | machine)
    resolve(ROOT / "template.yaml", only)


def test_rights_are_given_only_within_a_boundary():
    seen = set()
    for one in statements(*DEPLOYMENT):
        if given := GIVING & set(as_list(one["Action"])):
            seen |= given
            assert one["Condition"]["StringEquals"]["iam:PermissionsBoundary"] in ("<WarehouseBoundary>", "<MachinesBoundary>"), one
    assert seen == GIVING


@pytest.mark.parametrize("policy", ["dataless-WarehouseBoundary-1ABC", "dataless-machines-MachinesBoundary-1ABC", "dataless-DeployDataPolicy-1ABC"])
def test_no_boundary_and_no_right_of_its_own_can_be_changed(policy):
    for action in ("CreatePolicyVersion", "DeletePolicy", "DeletePolicyVersion", "SetDefaultPolicyVersion"):
        assert granting(f"iam:{action}", f"arn:aws:iam::123456789012:policy/{policy}", *DEPLOYMENT) == []
    for role in (f"{WAREHOUSE}-LakeJobRole-1ABC", "dataless-DeploymentRole-1ABC"):
        assert granting("iam:DeleteRolePermissionsBoundary", f"arn:aws:iam::123456789012:role/{role}", *DEPLOYMENT) == []
    assert granting("iam:PutRolePolicy", "arn:aws:iam::123456789012:role/dataless-DeploymentRole-1ABC", *DEPLOYMENT) == []


def test_nobody_gets_rights_over_roles():
    assert [action for one in statements("WarehouseBoundary") for action in as_list(one["Action"]) if re.match(r"iam|sts|\*|organi", action)] == []
    for one in statements("MachinesBoundary"):
        changes = [action for action in as_list(one["Action"]) if re.match(r"iam:(?!Get|List)|sts|\*|organi", action)]
        # Handing a role to a machine, and roles that services make for themselves.
        assert changes == [] or (one["Action"] in ("iam:PassRole", "iam:CreateServiceLinkedRole") and one["Condition"])


# --- what the roles may do is within their boundary -----------------------------------------------------------------


@cache
def everything():
    return warehouse(KmsKeyArn=KEY, **MACHINES)


def physical(name, attribute):
    """The name or ARN of a resource as CloudFormation would make it."""
    made = everything()
    full = next(one for one in made if one == name or one.endswith(f"/{name}"))
    kind, properties = made[full]["Type"], made[full]["Properties"]
    generated = f"{WAREHOUSE}-{full.replace('/', '-1ABC-')}-1ABCDEFGHIJ2K"

    def of(*names):
        return next((properties[one] for one in names if one in properties), generated)

    reference, by_arn = {
        "AWS::DynamoDB::Table": lambda: (generated, arn("dynamodb", f"table/{generated}")),
        "AWS::Glue::Database": lambda: (properties["DatabaseInput"]["Name"], ""),
        "AWS::Glue::Job": lambda: (of("Name"), ""),
        "AWS::Glue::SecurityConfiguration": lambda: (of("Name"), ""),
        "AWS::IAM::Role": lambda: (generated, f"arn:aws:iam::123456789012:role/{generated}"),
        "AWS::KinesisFirehose::DeliveryStream": lambda: (of("DeliveryStreamName"), arn("firehose", f"deliverystream/{of('DeliveryStreamName')}")),
        "AWS::Logs::LogGroup": lambda: (of("LogGroupName"), arn("logs", f"log-group:{of('LogGroupName')}:*")),
        "AWS::Redshift::Cluster": lambda: (of("ClusterIdentifier"), ""),
        "AWS::S3::Bucket": lambda: (generated.lower(), f"arn:aws:s3:::{generated.lower()}"),
        "AWS::SNS::Topic": lambda: (arn("sns", generated), arn("sns", generated)),
        "AWS::SQS::Queue": lambda: ("", arn("sqs", generated)),
        "AWS::SecretsManager::Secret": lambda: (arn("secretsmanager", f"secret:{of('Name')}-1ABCDE"), ""),
        "AWS::Serverless::Function": lambda: ("", arn("lambda", f"function:{of('FunctionName')}")),
        "AWS::Serverless::StateMachine": lambda: (arn("states", f"stateMachine:{of('Name')}"), ""),
    }[kind]()
    return by_arn if attribute in ("Arn", "Alias") else reference


def resolved(text):
    return re.sub(r"<(\w+)(?:\.(\w+))?>", lambda found: physical(found[1], found[2]), text)


def rights(nested):
    """Every action and resource of the policies of roles: those of the warehouse itself, or those of the stacks below it."""
    for name, one in everything().items():
        if ("/" in name) != nested or one["Type"] not in ("AWS::IAM::Role", "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
            continue
        properties = one["Properties"]
        documents = [properties["PolicyDocument"]] if "PolicyDocument" in properties else []
        for document in documents + [policy["PolicyDocument"] for policy in properties.get("Policies", [])]:
            for statement in document["Statement"]:
                for action in as_list(statement["Action"]):
                    for resource in as_list(statement["Resource"]):
                        # All that it can be about; the boundary names it.
                        if action == "iam:CreateServiceLinkedRole":
                            resource = "arn:aws:iam::123456789012:role/aws-service-role/*"
                        for each in resource.split(","):
                            yield action, resolved(each)


# Of the policies of AWS that the templates attach, what is sure to be used.
# https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonAPIGatewayPushToCloudWatchLogs.html
# https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonSSMManagedInstanceCore.html
# https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonEMRServicePolicy_v2.html
OF_AWS = {
    "WarehouseBoundary": [
        f"logs:{action}" for action in
        ("CreateLogGroup", "CreateLogStream", "DescribeLogGroups", "DescribeLogStreams", "PutLogEvents", "GetLogEvents", "FilterLogEvents")
    ],
    "MachinesBoundary": [
        "ssm:UpdateInstanceInformation", "ssm:ListInstanceAssociations", "ssm:PutInventory", "ssmmessages:OpenDataChannel",
        "ec2messages:GetMessages", "ec2:RunInstances", "ec2:CreateTags", "ec2:AuthorizeSecurityGroupIngress",
        "cloudwatch:PutMetricAlarm", "resource-groups:ListGroupResources",
    ],
}  # fmt: skip


@pytest.mark.parametrize("boundary", ["WarehouseBoundary", "MachinesBoundary"])
def test_a_boundary_holds_all_that_the_roles_may_do(boundary):
    needed = set(rights(nested=boundary == "MachinesBoundary")) | {(action, "*") for action in OF_AWS[boundary]}
    assert len(needed) > 50
    refused = [one for one in needed if not granting(*one, boundary, KmsKeyArn=KEY)]
    assert sorted(f"{action} {resource}" for action, resource in refused) == []


def test_policies_are_within_the_size_that_iam_takes():
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""
    for name in (*DEPLOYMENT, "WarehouseBoundary", "MachinesBoundary"):
        # Longer names than those of the test: the longest that configuration.py takes.
        text = json.dumps(list(statements(name)), separators=(",", ":")).replace(WAREHOUSE, "a" * 23)
        assert len(text) < 6000, name
