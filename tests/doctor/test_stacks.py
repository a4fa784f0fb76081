"""A stack that cannot be updated, or that has another kind, is found before a deployment."""

import datetime
import json

import pytest

import templates
from account import stacks

# The resources do not matter in these tests, but a template must have at least one.
RESOURCES = {"Topic": {"Type": "AWS::SNS::Topic"}}


def declared(file, leave_out=()):
    """Returns a template's parameters, each with a default value."""
    parameters = templates.read(templates.ROOT / file)["Parameters"]
    return {name: {"Type": "String", "Default": "x"} for name in parameters if name not in leave_out}


def make(account, name, parameters):
    body = json.dumps({"Parameters": parameters, "Resources": RESOURCES})
    given = [{"ParameterKey": key, "ParameterValue": "x"} for key in parameters]
    account.client("cloudformation").create_stack(StackName=name, TemplateBody=body, Parameters=given)


def first(account, deployment):
    return next(stacks.check(account, deployment))


def test_a_missing_stack_is_created_and_its_names_are_checked(account, pipeline, warehouse):
    for deployment, kind in ((pipeline, "a pipeline"), (warehouse, "a warehouse")):
        found, names = stacks.check(account, deployment)
        assert found.good and found.detail == f"does not exist yet: {kind} will be created"
        assert names.good and names.what == f"names of {deployment.stack}"


def test_a_stack_of_the_same_kind_is_updated_and_keeps_its_names(account, pipeline, warehouse):
    account.client("athena").create_work_group(Name="shop-main")
    make(account, "shop", declared("build.yaml"))
    make(account, "shop-main", declared("template.yaml"))
    for deployment, kind in ((pipeline, "a pipeline"), (warehouse, "a warehouse")):
        (found,) = stacks.check(account, deployment)
        assert found.good and found.detail == f"{kind}, CREATE_COMPLETE"


def test_a_stack_of_another_version_has_the_same_kind(account, warehouse):
    older = declared("template.yaml", leave_out=("ETLLanguage", "GlueTask", "MetricNamespace"))
    make(account, "shop-main", older | {"Gone": {"Type": "String", "Default": "x"}})
    assert first(account, warehouse).good


@pytest.mark.parametrize(
    ("file", "is_what"),
    [
        ("template.yaml", "a warehouse (template.yaml)"),
        ("build-machines.yaml", "the rights of a pipeline to machines (build-machines.yaml)"),
        ("stacks/redshift.yaml", "a part of a warehouse (stacks/redshift.yaml)"),
        (None, "not of this repository"),
    ],
)
def test_a_stack_of_another_kind_is_not_replaced(account, pipeline, file, is_what):
    make(account, "shop", declared(file) if file else {"Other": {"Type": "String", "Default": "x"}})
    (found,) = stacks.check(account, pipeline)
    assert found.stops and found.detail.startswith(f"it exists and is {is_what}: a pipeline needs another name")
    assert found.command == pipeline.rename


STATES = {
    "CREATE_COMPLETE": None,
    "UPDATE_COMPLETE": None,
    "UPDATE_ROLLBACK_COMPLETE": None,
    "REVIEW_IN_PROGRESS": None,
    "CREATE_IN_PROGRESS": "aws cloudformation wait stack-create-complete --stack-name shop-main",
    "UPDATE_IN_PROGRESS": "aws cloudformation wait stack-update-complete --stack-name shop-main",
    "UPDATE_ROLLBACK_IN_PROGRESS": "aws cloudformation describe-stacks --stack-name shop-main --query 'Stacks[0].StackStatus'",
    "DELETE_IN_PROGRESS": "aws cloudformation wait stack-delete-complete --stack-name shop-main",
    "ROLLBACK_COMPLETE": "aws cloudformation delete-stack --stack-name shop-main",
    "ROLLBACK_FAILED": "aws cloudformation delete-stack --stack-name shop-main",
    "CREATE_FAILED": "aws cloudformation delete-stack --stack-name shop-main",
    "DELETE_FAILED": "aws cloudformation delete-stack --stack-name shop-main --deletion-mode FORCE_DELETE_STACK",
    "UPDATE_FAILED": "aws cloudformation rollback-stack --stack-name shop-main",
    "UPDATE_ROLLBACK_FAILED": "aws cloudformation continue-update-rollback --stack-name shop-main",
}


def in_state(stub, status, name="shop-main"):
    parameters = [{"ParameterKey": key, "ParameterValue": "x"} for key in declared("template.yaml")]
    stack = {
        "StackName": name,
        "CreationTime": datetime.datetime(2026, 1, 1),
        "StackStatus": status,
        "Parameters": parameters,
    }
    stub("cloudformation", "describe_stacks", {"Stacks": [stack]})


@pytest.mark.parametrize("status", STATES)
def test_a_state_without_updates_stops_with_a_command_to_fix_it(account, stub, warehouse, status):
    in_state(stub, status)
    found = first(account, warehouse)
    assert found.command == STATES[status]
    assert found.good == (STATES[status] is None) and found.stops == (STATES[status] is not None)
    assert status in found.detail


def test_a_stack_with_only_a_change_set_can_have_no_parameters(account, stub, warehouse):
    stack = {
        "StackName": "shop-main",
        "CreationTime": datetime.datetime(2026, 1, 1),
        "StackStatus": "REVIEW_IN_PROGRESS",
    }
    stub("cloudformation", "describe_stacks", {"Stacks": [stack]})
    found, names = stacks.check(account, warehouse)
    assert found.good and found.detail == "a warehouse, REVIEW_IN_PROGRESS"
    assert names.good and names.what == "names of shop-main"


@pytest.mark.parametrize(("status", "looked_for"), [("ROLLBACK_COMPLETE", True), ("UPDATE_FAILED", False)])
def test_leftovers_of_a_failed_creation_are_reported(account, stub, warehouse, status, looked_for):
    account.client("logs").create_log_group(logGroupName="/aws/apigateway/shop-main")
    in_state(stub, status)
    found = [one for one in stacks.check(account, warehouse) if "/aws/apigateway/shop-main" in one.detail]
    assert bool(found) == looked_for


def test_a_name_that_cloudformation_would_truncate_is_refused(account, warehouse):
    too_long = type(warehouse)("a" * 24, warehouse.file, warehouse.rename)
    found = first(account, too_long)
    assert found.stops and "up to 23" in found.detail


@pytest.mark.parametrize(("status", "good"), [("CREATE_COMPLETE", True), ("ROLLBACK_COMPLETE", False)])
def test_the_stack_of_sams_bucket_is_checked(account, stub, status, good):
    (absent,) = stacks.check_sam(account)
    assert absent.good and absent.detail.startswith("does not exist yet")
    in_state(stub, status, stacks.SAM_STACK)
    (found,) = stacks.check_sam(account)
    assert found.good == good
