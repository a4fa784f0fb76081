"""The deployed pre-traffic checks: real binaries call real versions.

No emulator has CodeDeploy. A check fails to report its status, and the tests read the status from that error.
"""

import json
import os
import time

import boto3
import pytest

import event_types

STACK = os.environ.get("DATALESS_STACK")
TYPES = [event_types.pascal(one) for one in event_types.names()]
CHECKS = [*(f"Capture{one}Check" for one in TYPES), "AdTrafficCheck", "MetricsSinkCheck"]


@pytest.fixture(scope="module")
def stack():
    assert STACK, "DATALESS_STACK is not set: these tests need a deployed stack"
    pages = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=STACK)
    return {
        one["LogicalResourceId"]: one["PhysicalResourceId"] for page in pages for one in page["StackResourceSummaries"]
    }


def reported(function):
    """Returns the status that the check would report to CodeDeploy."""
    hook = json.dumps({"DeploymentId": "d-TEST00000", "LifecycleEventHookExecutionId": "test"})
    answer = boto3.client("lambda").invoke(FunctionName=function, Payload=hook)
    error = json.loads(answer["Payload"].read())["errorMessage"]
    start = "failed to report to CodeDeploy that the check "
    assert error.startswith(start), error
    return error.removeprefix(start).split(":")[0]


def stored(stack):
    """Returns the number of raw objects, and the sum of each metric in the last hour."""
    pages = (
        boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=stack["DataLakeBucket"], Prefix="data/raw/")
    )
    cloudwatch = boto3.client("cloudwatch")
    now = time.time()
    sums = [
        sum(point["Sum"] for point in cloudwatch.get_metric_statistics(
            Namespace="Warehouse/Advertising", MetricName=name, Dimensions=[{"Name": "Stack", "Value": STACK}], StartTime=now - 3600, EndTime=now + 60, Period=60, Statistics=["Sum"]
        )["Datapoints"])
        for one in TYPES
        for name in (one, f"Malformed{one}")
    ]  # fmt: skip
    return sum(page["KeyCount"] for page in pages), sums


@pytest.mark.parametrize("check", CHECKS)
def test_a_version_with_the_expected_answer_gets_traffic(stack, check):
    before = stored(stack)
    assert reported(stack[check]) == "Succeeded"
    # The emulator stores and counts events immediately, so a stored test event would show here.
    assert stored(stack) == before


def test_a_version_with_another_answer_gets_no_traffic(stack):
    client, check = boto3.client("lambda"), stack["CaptureClicksCheck"]
    variables = client.get_function_configuration(FunctionName=check)["Environment"]["Variables"]
    other = client.get_function_configuration(FunctionName=stack["AdTrafficCheck"])["Environment"]["Variables"]
    try:
        broken = variables | {"NEW_VERSION": other["NEW_VERSION"]}
        client.update_function_configuration(FunctionName=check, Environment={"Variables": broken})
        assert reported(check) == "Failed"
    finally:
        client.update_function_configuration(FunctionName=check, Environment={"Variables": variables})
    assert reported(check) == "Succeeded"
