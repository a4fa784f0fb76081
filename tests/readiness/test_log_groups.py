"""A template creates each log group that the templates name, with a retention, or the docs say that a service does."""

import json
import re

import pytest

import deployment
import event_types
from support import iam
from support.options import OPTIONS
from support.processed import STACK_NAME, all_stacks, listed, names_of, warehouse

# Log groups that a service creates. Their logs never expire unless someone sets a retention.
MADE_BY_SERVICES = {
    # https://docs.aws.amazon.com/glue/latest/dg/add-job-python.html
    r"/aws-glue/python-jobs(-.+)?/(error|output)": "Glue, for Python shell jobs of the account without a security configuration",
    # https://docs.aws.amazon.com/glue/latest/dg/console-crawlers.html
    r"/aws-glue/crawlers(-role/.+)?": "Glue, for crawlers of the account",
    # https://docs.aws.amazon.com/redshift/latest/mgmt/db-auditing.html
    r"/aws/redshift/cluster/[^/]+/(connectionlog|userlog)": "Redshift",
}


def glue_groups(job):
    """Returns the log groups of a Glue job.

    https://docs.aws.amazon.com/glue/latest/dg/monitor-continuous-logging.html
    """
    arguments = job["DefaultArguments"]
    prefix = arguments.get(
        "--custom-logGroup-prefix", "/aws-glue/jobs" if job["Command"]["Name"] == "glueetl" else "/aws-glue/python-jobs"
    )
    if "SecurityConfiguration" in job:
        prefix = f"{prefix}/{job['SecurityConfiguration']}-role/{job['Role'].rsplit('/', 1)[-1]}"
    return [f"{prefix}/{kind}" for kind in ("error", "output")]


def of_arn(arn):
    return re.findall(r":log-group:([^:]+)", arn)


def named(resource):
    """Returns the log groups that a resource reads or writes."""
    kind, properties = resource["Type"], resource["Properties"]
    if kind == "AWS::Lambda::Function":
        return [properties["LoggingConfig"]["LogGroup"]]
    if kind == "AWS::KinesisFirehose::DeliveryStream":
        return [properties["ExtendedS3DestinationConfiguration"]["CloudWatchLoggingOptions"]["LogGroupName"]]
    if kind == "AWS::ApiGateway::Stage":
        return of_arn(properties["AccessLogSetting"]["DestinationArn"])
    if kind == "AWS::StepFunctions::StateMachine":
        return [
            group
            for one in properties["LoggingConfiguration"]["Destinations"]
            for group in of_arn(one["CloudWatchLogsLogGroup"]["LogGroupArn"])
        ]
    if kind == "AWS::EC2::FlowLog":
        return [properties["LogGroupName"]]
    if kind == "AWS::CodeBuild::Project":
        return [properties["LogsConfig"]["CloudWatchLogs"]["GroupName"]]
    if kind == "AWS::Logs::LogStream":
        return [properties["LogGroupName"]]
    if kind == "AWS::Glue::Job":
        return glue_groups(properties)
    if kind == "AWS::Redshift::Cluster":
        return [
            f"/aws/redshift/cluster/{properties['ClusterIdentifier']}/{one}"
            for one in properties["LoggingProperties"]["LogExports"]
        ]
    if kind == "AWS::CloudWatch::Dashboard":
        queries = [
            one["properties"]["query"]
            for one in json.loads(properties["DashboardBody"])["widgets"]
            if one["type"] == "log"
        ]
        return [group for query in queries for group in re.findall(r"SOURCE '([^']+)'", query)]
    return []


def groups(stacks):
    return {
        name
        for stack in stacks
        for logical, one in stack.resources.items()
        if one["Type"] == "AWS::Logs::LogGroup"
        for name in names_of(stack, logical)
    }


def is_made_by_a_service(name):
    return any(re.fullmatch(one, name) for one in MADE_BY_SERVICES)


def unknown(stacks):
    made = groups(stacks)
    for stack in stacks:
        for logical, resource in stack.resources.items():
            for name in named(resource):
                if name not in made and not is_made_by_a_service(name):
                    yield f"{logical}: {name}"


@pytest.mark.parametrize("option", OPTIONS)
def test_groups_exist(option):
    problems = set(unknown([stack for _, stack in all_stacks(warehouse(option))]))
    assert not problems, listed(problems)


def test_the_group_of_the_build_exists():
    assert not set(unknown([deployment.stack()]))


@pytest.mark.parametrize("option", OPTIONS)
def test_groups_expire(option):
    for _, stack in all_stacks(warehouse(option)):
        for name, one in stack.resources.items():
            if one["Type"] == "AWS::Logs::LogGroup":
                assert int(one["Properties"]["RetentionInDays"]) > 0, name


@pytest.mark.parametrize("option", ["defaults", "everything", "everything under Data Pipeline"])
def test_every_group_is_written_to(option):
    stacks = [stack for _, stack in all_stacks(warehouse(option))]
    written = {name for stack in stacks for one in stack.resources.values() for name in named(one)}
    # The log groups of jobs without a key remain if a key is configured later, so that their logs are not deleted.
    jobs = [
        one["Properties"] for stack in stacks for one in stack.resources.values() if one["Type"] == "AWS::Glue::Job"
    ]
    written |= {
        name
        for job in jobs
        for name in glue_groups({key: one for key, one in job.items() if key != "SecurityConfiguration"})
    }
    unused = {name for name in groups(stacks) - written if not is_made_by_a_service(name)}
    assert not unused, listed(unused)


def statements(stacks):
    """Yields (role, statement) for each statement of each role."""
    for stack in stacks:
        for role, one in stack.resources.items():
            if one["Type"] == "AWS::IAM::Role":
                yield from ((role, statement) for statement in iam.statements_of(role, stack, tuple(stacks)))


def is_documented(group):
    return any(re.match(one.split("(")[0], group) for one in MADE_BY_SERVICES)


WRITES = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")


def test_log_permissions_are_for_named_groups():
    """The patterns `*` and `/aws/*` match any log group of the account. The next test would always pass with them."""
    problems, seen = set(), 0
    for role, statement in statements(
        [stack for option in ("defaults", "everything") for _, stack in all_stacks(warehouse(option))]
    ):
        if not any(statement.names(action) for action in WRITES):
            continue
        for resource in statement.resources:
            # A statement can also contain resources of other services.
            if resource.startswith("arn:") and ":logs:" not in resource:
                continue
            seen += 1
            fixed = re.split(r"[*?]", resource.partition(":log-group:")[2])[0]
            if STACK_NAME not in fixed and not is_documented(fixed):
                problems.add(f"{role}: {resource}")
    assert not problems, listed(problems)
    assert seen > 20


@pytest.mark.parametrize("option", ["defaults", "everything"])
def test_log_permissions_are_for_existing_groups(option):
    """If no template creates the log group of a statement, its name is a typo or the group has no retention."""
    stacks = [stack for _, stack in all_stacks(warehouse(option))]
    made, problems = groups(stacks), set()
    for role, statement in statements(stacks):
        for resource in statement.resources:
            if ":log-group:" not in resource:
                continue
            known = [
                f"arn:aws:logs:us-east-1:123456789012:log-group:{name}:log-stream:{stream}"
                for name in made
                for stream in event_types.names()
            ]
            wanted = resource.removesuffix(":*") if ":log-stream:" not in resource else resource
            matches = any(iam.like(arn, resource) or iam.like(arn.split(":log-stream:")[0], wanted) for arn in known)
            if not matches and not is_documented(of_arn(resource)[0]):
                problems.add(f"{role}: {resource}")
    assert not problems, listed(problems)
