"""The role of each deployed function allows the calls that the function makes, and no others.

The environment names the stack, as in tests/conftest.py. The emulator evaluates the policies.
"""

import json
import os
from pathlib import Path

import boto3
import pytest

import event_types
import templates

STACK = os.environ.get("DATALESS_STACK")
TEMPLATE = templates.read(Path(templates.ROOT) / "template.yaml")

FUNCTIONS = [name for name, one in TEMPLATE["Resources"].items() if one["Type"] == "AWS::Serverless::Function"]

# The permissions that each function needs: an action, and a key of the dictionary in `resource_arn`.
NEEDED = (
    {
        f"Capture{event_types.pascal(one)}Function": [
            ("firehose:PutRecordBatch", f"{one} stream"),
            ("logs:PutLogEvents", "own log"),
        ]
        for one in event_types.names()
    }
    | {
        "AdTrafficFunction": [("dynamodb:Query", "traffic table"), ("logs:PutLogEvents", "own log")],
        "MetricsSinkFunction": [("cloudwatch:PutMetricData", "own namespace"), ("logs:PutLogEvents", "own log")],
    }
    | {
        name: [
            ("lambda:InvokeFunction", "version of " + name.replace("Check", "Function")),
            ("codedeploy:PutLifecycleEventHookExecutionStatus", "deployment group"),
            ("logs:PutLogEvents", "own log"),
        ]
        for name in FUNCTIONS
        if name.endswith("Check")
    }
)

# Permissions that no function needs, or only some functions.
TRIED = [
    *(("firehose:PutRecordBatch", f"{one} stream") for one in event_types.names()),
    ("firehose:DeleteDeliveryStream", "clicks stream"),
    ("firehose:UpdateDestination", "impressions stream"),
    ("dynamodb:Query", "traffic table"),
    ("dynamodb:Scan", "traffic table"),
    ("dynamodb:PutItem", "traffic table"),
    ("dynamodb:BatchWriteItem", "traffic table"),
    ("dynamodb:Query", "another table"),
    ("cloudwatch:PutMetricData", "own namespace"),
    ("cloudwatch:PutMetricData", "another namespace"),
    ("s3:GetObject", "raw object"),
    ("s3:PutObject", "raw object"),
    ("s3:DeleteObject", "raw object"),
    ("s3:ListBucket", "bucket"),
    ("lambda:InvokeFunction", "version of AdTrafficFunction"),
    ("lambda:UpdateFunctionCode", "own function"),
    ("secretsmanager:GetSecretValue", "secret"),
    ("kms:Decrypt", "key"),
    ("iam:PassRole", "own role"),
    ("iam:PutRolePolicy", "own role"),
    ("sts:AssumeRole", "own role"),
    ("logs:PutLogEvents", "another log"),
    ("logs:DeleteLogGroup", "own log"),
    ("codedeploy:CreateDeployment", "deployment group"),
]


@pytest.fixture(scope="module")
def stack():
    assert STACK, "DATALESS_STACK is not set: these tests need a deployed stack"
    return resources_of(STACK)


def resources_of(stack):
    """Returns physical ids by logical ids, including those of nested stacks."""
    pages = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    found = {}
    for one in (one for page in pages for one in page["StackResourceSummaries"]):
        found[one["LogicalResourceId"]] = one["PhysicalResourceId"]
        if one["ResourceType"] == "AWS::CloudFormation::Stack":
            found |= resources_of(one["PhysicalResourceId"])
    return found


@pytest.fixture(scope="module")
def allowed(stack):
    """Returns a function that checks whether a Lambda function's role allows an action on a resource."""
    iam = boto3.client("iam")

    def policies(role):
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            yield iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
            version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
            yield iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)["PolicyVersion"][
                "Document"
            ]

    def allowed(function, action, resource):
        namespace = "Warehouse/Advertising" if resource == "own namespace" else "Another/Namespace"
        answer = iam.simulate_custom_policy(
            PolicyInputList=[
                json.dumps(in_namespace(policy, namespace)) for policy in policies(role_of(function, stack))
            ],
            ActionNames=[action],
            ResourceArns=[resource_arn(function, resource, stack)],
        )
        (result,) = answer["EvaluationResults"]
        return result["EvalDecision"] == "allowed"

    return allowed


def in_namespace(policy, namespace):
    """Returns the policy for a call in a CloudWatch namespace.

    The emulator has no context of a call and evaluates each condition as false. So a condition on this namespace is
    removed.
    """
    condition = {"StringEquals": {"cloudwatch:namespace": namespace}}
    statements = [{**one, "Condition": {}} if one.get("Condition") == condition else one for one in policy["Statement"]]
    return policy | {"Statement": [{key: value for key, value in one.items() if value != {}} for one in statements]}


def role_of(function, stack):
    return boto3.client("lambda").get_function_configuration(FunctionName=stack[function])["Role"].rsplit("/", 1)[1]


def resource_arn(function, resource, stack):
    def arn(service, rest):
        return f"arn:aws:{service}:us-east-1:000000000000:{rest}"

    log = "/pre-traffic" if function.endswith("Check") else f"/{kebab(function.removesuffix('Function'))}"
    log = f"/aws/lambda/{STACK}-{log[1:]}"
    if resource.startswith("version of "):
        return arn("lambda", f"function:{stack[resource.removeprefix('version of ')]}:7")
    return {
        **{
            f"{one} stream": arn("firehose", f"deliverystream/{STACK}-{event_types.kebab(one)}")
            for one in event_types.names()
        },
        "traffic table": arn("dynamodb", f"table/{stack['AdTrafficTable']}"),
        "another table": arn("dynamodb", "table/another"),
        "own namespace": "*",
        "another namespace": "*",
        "bucket": f"arn:aws:s3:::{stack['DataLakeBucket']}",
        "raw object": f"arn:aws:s3:::{stack['DataLakeBucket']}/data/raw/ad/clicks/year=2026/month=11/day=20/hour=08/a.gz",
        "own function": arn("lambda", f"function:{stack[function]}"),
        "own role": f"arn:aws:iam::000000000000:role/{role_of(function, stack)}",
        "own log": arn("logs", f"log-group:{log}:log-stream:a"),
        "another log": arn("logs", "log-group:/aws/lambda/another:log-stream:a"),
        "deployment group": arn(
            "codedeploy", f"deploymentgroup:{STACK}-ServerlessDeploymentApplication-A/{STACK}-Group-B"
        ),
        "secret": stack["PageTokenKey"],
        "key": arn("kms", "key/00000000-0000-0000-0000-000000000000"),
    }[resource]


def kebab(name):
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")


def test_every_function_has_an_entry():
    assert set(NEEDED) == set(FUNCTIONS)


@pytest.mark.parametrize(
    ("function", "action", "resource"), [(name, *one) for name, all in NEEDED.items() for one in all]
)
def test_the_calls_that_a_function_makes_are_allowed(allowed, function, action, resource):
    assert allowed(function, action, resource)


def also_needed(function, one):
    """Returns whether the function needs the permission. The checks share a role that may invoke all new versions."""
    return one in NEEDED[function] or (function.endswith("Check") and one[0] == "lambda:InvokeFunction")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_everything_else_is_refused(allowed, function):
    refused = [one for one in TRIED if not also_needed(function, one)]
    assert len(refused) >= len(TRIED) - 1
    assert [one for one in refused if allowed(function, *one)] == []
