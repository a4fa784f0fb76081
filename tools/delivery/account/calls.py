"""The calls to AWS: each only reads, and each names the action that it needs."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from account import Finding, advice

# The action of each call. docs/delivery.md has them as a policy.
# https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
ACTIONS = {
    ("apigateway", "get_account"): "apigateway:GET",
    ("athena", "get_work_group"): "athena:GetWorkGroup",
    ("cloudformation", "describe_stacks"): "cloudformation:DescribeStacks",
    ("cloudwatch", "get_dashboard"): "cloudwatch:GetDashboard",
    ("codebuild", "batch_get_projects"): "codebuild:BatchGetProjects",
    ("codebuild", "list_curated_environment_images"): "codebuild:ListCuratedEnvironmentImages",
    ("codecommit", "get_repository"): "codecommit:GetRepository",
    ("codepipeline", "get_pipeline"): "codepipeline:GetPipeline",
    ("firehose", "describe_delivery_stream"): "firehose:DescribeDeliveryStream",
    ("glue", "get_crawler"): "glue:GetCrawler",
    ("glue", "get_database"): "glue:GetDatabase",
    ("glue", "get_job"): "glue:GetJob",
    ("lakeformation", "get_data_lake_settings"): "lakeformation:GetDataLakeSettings",
    ("lakeformation", "list_permissions"): "lakeformation:ListPermissions",
    ("lambda", "get_account_settings"): "lambda:GetAccountSettings",
    ("lambda", "get_function"): "lambda:GetFunction",
    ("logs", "describe_log_groups"): "logs:DescribeLogGroups",
    ("scheduler", "get_schedule"): "scheduler:GetSchedule",
    ("service-quotas", "list_aws_default_service_quotas"): "servicequotas:ListAWSDefaultServiceQuotas",
    ("service-quotas", "list_service_quotas"): "servicequotas:ListServiceQuotas",
    ("ssm", "get_parameters"): "ssm:GetParameters",
    ("stepfunctions", "describe_state_machine"): "states:DescribeStateMachine",
    ("sts", "get_caller_identity"): "sts:GetCallerIdentity",
}

# One call must not hold up the others: an endpoint that a network blocks is given up soon.
CONFIG = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "max_attempts": 3})


class AccessDenied(Exception):
    """A call was denied; the message is the action that it needs."""


class Account:
    """An account and Region, seen with the user's own credentials."""

    def __init__(self, session: boto3.Session, region: str):
        self.session, self.region = session, region
        self.id = self.partition = self.caller = ""
        self.clients: dict[tuple[str, str], object] = {}

    def client(self, service: str, region: str | None = None) -> Any:
        key = (service, region or self.region)
        if key not in self.clients:
            self.clients[key] = self.session.client(service, region_name=key[1], config=CONFIG)
        return self.clients[key]

    def identify(self) -> None:
        """Whose credentials these are. Raises what AWS answers to those that it does not take."""
        identity = self.client("sts").get_caller_identity()
        self.id, self.caller = identity["Account"], identity["Arn"]
        self.partition = self.caller.split(":")[1]

    def call(self, service: str, operation: str, *, region: str | None = None, **request: Any) -> dict:
        action = ACTIONS[service, operation]
        try:
            return getattr(self.client(service, region), operation)(**request)
        except ClientError as error:
            if is_denied(error):
                raise AccessDenied(action) from error
            raise

    def pages(self, service: str, operation: str, **request: Any) -> Iterator[dict]:
        action = ACTIONS[service, operation]
        try:
            yield from self.client(service).get_paginator(operation).paginate(**request)
        except ClientError as error:
            if is_denied(error):
                raise AccessDenied(action) from error
            raise


def is_denied(error: ClientError) -> bool:
    return error.response["Error"]["Code"].startswith(("AccessDenied", "UnauthorizedOperation", "NotAuthorized"))


def code(error: ClientError) -> str:
    return error.response["Error"]["Code"]


def look(what: str, check: Callable[..., Iterable[Finding]], *given: Any) -> list[Finding]:
    """The findings of a check. What it could not see is a finding too."""
    found = []
    try:
        for finding in check(*given):
            found.append(finding)
    except LOOKUP_ERRORS as error:
        found.append(advice(what, f"could not check: {reason(error)}"))
    return found


LOOKUP_ERRORS = (AccessDenied, BotoCoreError, ClientError)


def reason(error: Exception) -> str:
    return f"needs {error}" if isinstance(error, AccessDenied) else str(error).strip()
