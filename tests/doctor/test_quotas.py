"""Quotas that are too small are reported with a command that requests an increase."""

import dataclasses
import datetime

import pytest

import event_types
from account import quotas
from account.calls import look
from account.template import Template


def has_concurrency(stub, total, unreserved):
    limits = {"ConcurrentExecutions": total, "UnreservedConcurrentExecutions": unreserved}
    stub("lambda", "get_account_settings", {"AccountLimit": limits})


@pytest.mark.parametrize(("total", "good"), [(10, False), (99, False), (100, True), (1000, True)])
def test_low_concurrency_is_reported_as_advice(account, stub, warehouse, total, good):
    has_concurrency(stub, total, total)
    (found,) = quotas.check_lambda(account, [warehouse])
    assert found.good == good and not found.stops
    assert found.detail.startswith(f"{total} concurrent executions")
    if not good:
        assert found.command == (
            "aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384 --desired-value 1000"
        )


@pytest.mark.parametrize(
    ("total", "unreserved", "status", "value"),
    [
        (10, 10, None, 1000),
        (119, 119, None, 1000),
        (120, 120, None, None),
        # Other functions have reserved most of the total.
        (1000, 110, None, 1020),
        (1000, 119, None, 1020),
        (1000, 120, None, None),
        (1500, 100, None, 1520),
        # The stack itself has reserved 20 of 120.
        (120, 100, "CREATE_COMPLETE", None),
        (120, 100, "UPDATE_ROLLBACK_COMPLETE", None),
        # A stack without functions has no reservation.
        (120, 100, None, 1000),
        (120, 100, "ROLLBACK_COMPLETE", 1000),
        (120, 100, "REVIEW_IN_PROGRESS", 1000),
    ],
)
def test_a_reservation_that_lambda_refuses_stops(
    account, stub, warehouse, monkeypatch, total, unreserved, status, value
):
    monkeypatch.setattr(quotas, "reserved", lambda account, deployment: 20)
    has_concurrency(stub, total, unreserved)
    if status:
        stack = {"StackName": "shop-main", "CreationTime": datetime.datetime(2026, 1, 1), "StackStatus": status}
        stub("cloudformation", "describe_stacks", {"Stacks": [stack]})
    (found,) = quotas.check_lambda(account, [warehouse])
    assert found.stops == (value is not None)
    if value:
        assert "reserve 20" in found.detail
        assert found.command.endswith(f"--quota-code L-B99A9384 --desired-value {value}")


def test_the_reservation_of_another_stack_does_not_count(account, stub, warehouse, monkeypatch):
    monkeypatch.setattr(quotas, "reserved", lambda account, deployment: 20)
    has_concurrency(stub, 120, 100)
    stack = {"StackName": "shop-main", "CreationTime": datetime.datetime(2026, 1, 1), "StackStatus": "CREATE_COMPLETE"}
    stub("cloudformation", "describe_stacks", {"Stacks": [stack]})
    stub("cloudformation", "describe_stacks", error="ValidationError", message="Stack with id new does not exist")
    (found,) = quotas.check_lambda(account, [warehouse, dataclasses.replace(warehouse, stack="new")])
    assert found.stops


def test_reservations_are_read_from_the_template(account, warehouse, tmp_path, monkeypatch):
    (tmp_path / "template.yaml").write_text("""
Parameters: { Sink: { Type: Number, Default: 0 }, Beacon: { Type: Number, Default: 7 } }
Conditions: { HasSink: !Not [!Equals [!Ref Sink, 0]] }
Resources:
  One: { Type: "AWS::Serverless::Function", Properties: { ReservedConcurrentExecutions: !If [HasSink, !Ref Sink, !Ref "AWS::NoValue"] } }
  Two: { Type: "AWS::Serverless::Function", Properties: { ReservedConcurrentExecutions: !Ref Beacon } }
  Three: { Type: "AWS::Serverless::Function" }
""")

    def template(self, account):
        return Template(tmp_path / "template.yaml", self.parameters, {})

    monkeypatch.setattr(type(warehouse), "template", template)
    assert quotas.reserved(account, warehouse) == 7
    assert quotas.reserved(account, dataclasses.replace(warehouse, parameters={"Sink": 5})) == 12


def has_quotas(stub, service, defaults, applied=()):
    def quota(name, value):
        return {
            "ServiceCode": service,
            "QuotaCode": f"L-{name.upper().replace(' ', '')[-12:]}",
            "QuotaName": name,
            "Value": value,
        }

    stub("service-quotas", "list_aws_default_service_quotas", {"Quotas": [quota(*one) for one in defaults]})
    stub("service-quotas", "list_service_quotas", {"Quotas": [quota(*one) for one in applied]})


def arm(size):
    return f"Concurrently running builds for ARM/{size} environment"


OTHER = ("Concurrently running builds for ARM Lambda/1GB environment", 0)


@pytest.mark.parametrize(
    ("defaults", "applied", "kind", "detail"),
    [
        ([(arm("Medium"), 1)], [], "good", "builds on ARM at once: medium 1"),
        ([(arm("Medium"), 60)], [(arm("Medium"), 0)], "stops", "no build on ARM of size medium may run (medium 0)"),
        (
            [(arm("Medium"), 0), (arm("Large"), 1)],
            [],
            "stops",
            "no build on ARM of size medium may run (large 1, medium 0); ComputeType=BUILD_GENERAL1_LARGE would do",
        ),
        # The documentation lists no quota for size medium.
        (
            [(arm("Small"), 1), (arm("Large"), 1)],
            [],
            "good",
            "builds on ARM at once: large 1, small 1; size medium is not listed",
        ),
        (
            [(arm("Small"), 60)],
            [(arm("Small"), 0)],
            "advice",
            "no build on ARM of a listed size may run (small 0); size medium is not listed",
        ),
        ([OTHER], [], "advice", "could not check: Service Quotas lists no builds on ARM"),
    ],
)
def test_the_quota_of_arm_builds_is_checked(account, stub, pipeline, defaults, applied, kind, detail):
    has_quotas(stub, "codebuild", defaults, applied)
    (found,) = quotas.check_builds(account, [pipeline])
    assert (found.good, found.stops) == (kind == "good", kind == "stops")
    assert found.detail == detail
    assert (found.command is not None) == detail.startswith("no build")


# The ETL jobs of all event types run at the same time. With the example's two types, the numbers below are 2, 4 and 20.
TYPES = len(event_types.names())
RUNS, DPUS = "Max concurrent job runs per account", "Max task DPUs per account"


@pytest.mark.parametrize(
    ("parameters", "runs", "dpus", "small"),
    [
        # The ETL job of each type has two workers of one DPU each.
        ({}, TYPES, 2 * TYPES, []),
        ({}, TYPES - 1, 2 * TYPES, [f"max concurrent job runs per account is {TYPES - 1}, and a night takes {TYPES}"]),
        ({}, TYPES, 2 * TYPES - 1, [f"max task dpus per account is {2 * TYPES - 1}, and a night takes {2 * TYPES}"]),
        ({"PipelineParallelDays": 3, "GlueWorkerType": "G.4X", "GlueNumberOfWorkers": 10}, max(TYPES, 3), 120, []),
        # The ETL jobs have their own workers: five of two DPUs.
        ({"ETLWorkerType": "G.2X", "ETLNumberOfWorkers": 5}, TYPES, 10 * TYPES, []),
        (
            {"ETLWorkerType": "G.2X", "ETLNumberOfWorkers": 5},
            TYPES,
            10 * TYPES - 1,
            [f"max task dpus per account is {10 * TYPES - 1}, and a night takes {10 * TYPES}"],
        ),
        (
            {"PipelineParallelDays": 3, "GlueWorkerType": "G.4X", "GlueNumberOfWorkers": 10},
            2,
            119,
            [f"max concurrent job runs per account is 2, and a night takes {max(TYPES, 3)}", "max task dpus per account is 119, and a night takes 120"],
        ),
    ],
)  # fmt: skip
def test_a_night_fits_into_the_quotas_of_glue(account, stub, warehouse, parameters, runs, dpus, small):
    has_quotas(stub, "glue", [(RUNS, runs), (DPUS, dpus)])
    found = list(quotas.check_glue(account, [dataclasses.replace(warehouse, parameters=parameters)]))
    assert [one.detail.split(":")[0] for one in found if not one.good] == small
    assert not any(one.stops for one in found)
    assert all("--service-code glue" in one.command for one in found if not one.good)
    assert bool(small) != any(one.good for one in found)


def test_a_quota_that_is_not_listed_is_reported(account, stub, warehouse):
    has_quotas(stub, "glue", [(RUNS, 100)])
    (found,) = quotas.check_glue(account, [warehouse])
    assert not found.good and found.detail.startswith("could not check")


@pytest.mark.parametrize(
    ("check", "service", "operation", "action"),
    [
        (quotas.check_lambda, "lambda", "get_account_settings", "lambda:GetAccountSettings"),
        (
            quotas.check_glue,
            "service-quotas",
            "list_aws_default_service_quotas",
            "servicequotas:ListAWSDefaultServiceQuotas",
        ),
        (
            quotas.check_builds,
            "service-quotas",
            "list_aws_default_service_quotas",
            "servicequotas:ListAWSDefaultServiceQuotas",
        ),
    ],
)
def test_a_denied_check_names_the_missing_action(account, stub, pipeline, warehouse, check, service, operation, action):
    stub(service, operation, error="AccessDeniedException")
    (found,) = look("quota", check, account, [pipeline, warehouse])
    assert not found.good and not found.stops
    assert found.detail == f"could not check: needs {action}"
