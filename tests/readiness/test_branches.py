"""The deployment role of a branch cannot access resources of other branches.

The only exception are branches whose names begin with the name of the role's own branch.
"""

import re

import pytest

from deployment import asked, deployment_statements
from support import iam
from support.processed import STACK_NAME, listed

# Resource names of another branch of the same pipeline, or of another warehouse in the account.
OTHERS = {
    "glue:DeleteJob": ["job/a-warehouse-of-other-AdTrafficJob", "job/AdTrafficJob-1ABCDEFGHIJ2K"],
    "states:DeleteStateMachine": [
        "stateMachine:a-warehouse-of-other-DailyPipeline",
        "stateMachine:DailyPipeline-1ABCDEFGHIJ2K",
    ],
    "secretsmanager:GetSecretValue": [
        "secret:a-warehouse-of-other-PageTokenKey-a1B2c3",
        "secret:PageTokenKey-1ABCDEFGHIJ2K-a1B2c3",
    ],
    "scheduler:DeleteSchedule": [
        "schedule/default/a-warehouse-of-other-night",
        "schedule/default/DailyPipelineSchedule-1ABCDEFGHIJ2K",
    ],
    "logs:DeleteLogGroup": [
        "log-group:/aws/lambda/a-warehouse-of-other-ad-traffic:*",
        "log-group:/aws-glue/jobs/a-warehouse-of-other:*",
    ],
    "iam:DeleteRole": ["role/a-warehouse-of-other-LakeJobRole-1ABCDEFGHIJ2K"],
    "dynamodb:DeleteTable": ["table/a-warehouse-of-other-AdTrafficTable-1ABCDEFGHIJ2K"],
    "firehose:DeleteDeliveryStream": ["deliverystream/a-warehouse-of-other-clicks"],
    "lambda:DeleteFunction": ["function:a-warehouse-of-other-AdTrafficFunction-1ABCDEFGHIJ2K"],
}


def test_other_branches_are_out_of_reach():
    context = {"aws:requestedregion": ["us-east-1"]}
    reached = set()
    for action, resources in OTHERS.items():
        service = action.partition(":")[0]
        for resource in resources:
            region = "" if service == "iam" else "us-east-1"
            if iam.allowed(
                deployment_statements(), action, f"arn:aws:{service}:{region}:123456789012:{resource}", context
            ):
                reached.add(f"{action} on {resource}")
    assert not reached, listed(reached)


def kind_of(arn):
    """Returns the kind of an ARN, such as `iam:role`, or only the service if its ARNs contain no resource type."""
    _, _, service, _, _, resource = arn.split(":", 5)
    if "redshift!" in resource:
        return "secret of Redshift"
    if resource.startswith("log-group:/"):
        return "log group of a service"
    kind = re.match(r"[A-Za-z-]+(?=[:/])", resource)
    return f"{service}:{kind[0]}" if kind else service


def reached(stack):
    """Returns two sets: the kinds of resources of another stack that the role can access, and those that it cannot.

    Replaces the stack name in CloudFormation's calls with the name of the other stack. Ignores actions that describe
    Redshift, because they accept only `*` as the resource.
    """
    kinds, seen = {True: set(), False: set()}, 0
    for ask in asked():
        arn = ask.arn.replace(STACK_NAME, stack).replace(STACK_NAME.replace("-", "_"), stack.replace("-", "_"))
        is_granted = any(one.names(ask.action) for one in deployment_statements())
        if arn == ask.arn or not is_granted or ask.action.startswith("redshift:Describe"):
            continue
        is_allowed = iam.allowed(
            deployment_statements(), ask.action, arn, {key: list(values) for key, values in ask.context}
        )
        kinds[is_allowed].add(kind_of(arn))
        seen += 1
    assert seen > 1000
    return kinds[True], kinds[False]


# Kinds that policies name by `<stack>`, without a wildcard.
EXACT = {"athena:workgroup", "glue:database", "glue:table", "glue:userDefinedFunction"}
# Kinds that policies name by `<stack>-*`.
WITH_A_HYPHEN = {
    "cloudformation:stack", "cloudwatch:alarm", "cloudwatch:dashboard", "codedeploy:application", "codedeploy:deploymentgroup",
    "dynamodb:table", "events:rule", "firehose:deliverystream", "glue:crawler", "glue:job", "iam:instance-profile", "iam:policy",
    "iam:role", "lambda:function", "logs:log-group", "s3", "scheduler:schedule", "secret of Redshift", "secretsmanager:secret", "sns",
    "sqs", "states:stateMachine",
}  # fmt: skip
# Kinds that policies name by `<stack>*`.
OPEN = {"log group of a service", "redshift:cluster", "redshift:parametergroup", "redshift:subnetgroup"}


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        ("a-warehouse-of-other", set()),
        # The role of `main-2` cannot access `main`.
        (STACK_NAME.removesuffix("-dev"), set()),
        # The role of `main` can access everything of `main-2`, except its workgroup and its database with the tables.
        (f"{STACK_NAME}-2", OPEN | WITH_A_HYPHEN),
        # The role of `main` can access the logs and the Redshift cluster of `main2` or `mainline`.
        (f"{STACK_NAME}2", OPEN),
    ],
)
def test_a_branch_reaches_branches_whose_names_begin_with_its_own(stack, expected):
    found, left = reached(stack)
    assert found == expected, listed(found ^ expected)
    assert found | left == OPEN | WITH_A_HYPHEN | EXACT
    # For each kind, the role can access either all resources or none.
    assert not found & left, listed(found & left)
