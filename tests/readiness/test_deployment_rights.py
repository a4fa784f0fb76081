"""The deployment role against the resources of the processed templates: actions and ARNs, both ways.

Whether an action is granted at all is tested in tests/delivery, with the list of those that the templates don't use.
"""

import iam
import pytest
from asks import handlers
from deployment import asked, boundary_parameters, bounds, delivered, deployment_statements
from processed import all_stacks, listed


def context_of(ask):
    return {key: list(values) for key, values in ask.context}


def grants(action):
    return any(one.effect == "Allow" and one.names(action) for one in deployment_statements())


@pytest.fixture(scope="module")
def used():
    """For each statement, the actions and ARNs that it allows somebody who asks."""
    found = {one: set() for one in deployment_statements()}
    for ask in asked():
        for statement in deployment_statements():
            if statement.matches(ask.action, ask.arn, context_of(ask)):
                found[statement].add((ask.action, ask.arn))
    return found


def test_what_is_asked_is_allowed():
    refused = {
        f"{ask.kind}: {ask.action} on {ask.arn}"
        for ask in asked()
        if grants(ask.action) and not iam.allowed(deployment_statements(), ask.action, ask.arn, context_of(ask))
    }
    assert not refused, listed(refused)
    assert len(asked()) > 2000


def test_what_no_schema_lists_is_granted_too():
    """CloudFormation is silent about some types; what they need is in `asks`."""
    missing = {f"{ask.kind}: {ask.action}" for ask in asked() if not grants(ask.action) and ask.action not in handlers(ask.kind)}
    assert not missing, listed(missing)


def test_every_action_of_a_statement_is_used_on_its_resources(used):
    unused = {
        f"{statement.place}: {action} on {statement.resources}"
        for statement, uses in used.items()
        for action in statement.actions
        if statement.effect == "Allow" and not any(iam.pattern(action, True).fullmatch(one) for one, _ in uses)
    }
    assert not unused, listed(unused)


def test_every_resource_of_a_statement_is_there(used):
    unused = {
        f"{statement.place}: {resource} for {', '.join(statement.actions)}"
        for statement, uses in used.items()
        for resource in statement.resources
        if statement.effect == "Allow" and not any(iam.like(arn, resource) for _, arn in uses)
    }
    assert not unused, listed(unused)


def test_the_actions_exist():
    unknown = set()
    for action in {one for statement in deployment_statements() for one in statement.actions if "*" not in one}:
        try:
            iam.formats(action)
        except iam.UnknownAction:
            unknown.add(action)
    assert unknown == set()


# Names that another branch of the same pipeline, or another warehouse of the account, could have.
OTHERS = {
    "glue:DeleteJob": ["job/a-warehouse-of-other-AdTrafficJob", "job/AdTrafficJob-1ABCDEFGHIJ2K"],
    "states:DeleteStateMachine": ["stateMachine:a-warehouse-of-other-DailyPipeline", "stateMachine:DailyPipeline-1ABCDEFGHIJ2K"],
    "secretsmanager:GetSecretValue": ["secret:a-warehouse-of-other-PageTokenKey-a1B2c3", "secret:PageTokenKey-1ABCDEFGHIJ2K-a1B2c3"],
    "scheduler:DeleteSchedule": ["schedule/default/a-warehouse-of-other-night", "schedule/default/DailyPipelineSchedule-1ABCDEFGHIJ2K"],
    "logs:DeleteLogGroup": ["log-group:/aws/lambda/a-warehouse-of-other-ad-traffic:*", "log-group:/aws-glue/jobs/a-warehouse-of-other:*"],
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
            if iam.allowed(deployment_statements(), action, f"arn:aws:{service}:{region}:123456789012:{resource}", context):
                reached.add(f"{action} on {resource}")
    assert not reached, listed(reached)


# --- the boundary of the roles that it makes --------------------------------------------------------------------------

MAKES_ROLES = ("iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy")


ROLE = "arn:aws:iam::123456789012:role/a-warehouse-of-some-dev-LakeJobRole-1ABCDEFGHIJ2K"


def test_no_role_is_made_without_a_boundary():
    policy = "arn:aws:iam::123456789012:policy/a-warehouse-of-some-dev-GlueJobPolicy-1ABCDEFGHIJ2K"
    unbounded = {"iam:policyarn": [policy]}
    another = unbounded | {"iam:permissionsboundary": ["arn:aws:iam::aws:policy/AdministratorAccess"]}
    for context in (unbounded, another):
        assert [one for one in MAKES_ROLES if iam.allowed(deployment_statements(), one, ROLE, context)] == []


def test_a_boundary_cannot_be_taken_off_or_changed():
    assert boundary_parameters()
    for arn in bounds():
        context = {"iam:permissionsboundary": [arn]}
        assert not iam.allowed(deployment_statements(), "iam:DeleteRolePermissionsBoundary", ROLE, context)
        for action in ("iam:CreatePolicyVersion", "iam:DeletePolicy", "iam:DeletePolicyVersion", "iam:SetDefaultPolicyVersion"):
            assert not iam.allowed(deployment_statements(), action, arn, context), f"{action} on {arn}"


def roles():
    for option in ("everything", "everything under Data Pipeline"):
        for place, stack in all_stacks(delivered(option)):
            for name, one in stack.resources.items():
                if one["Type"] == "AWS::IAM::Role":
                    yield f"{place} {name}".strip(), stack, name, one["Properties"].get("PermissionsBoundary")


def test_every_role_of_the_warehouse_has_a_boundary():
    without = {where for where, _, _, boundary in roles() if boundary not in bounds()}
    assert not without, listed(without)


def calls_of(statement):
    """What a statement allows, as calls: each action with each resource that it is about."""
    # The conditions of the statement are those of the calls that it allows.
    context = {key.lower(): [str(one) for one in iam.as_list(wanted)] for keys in statement.condition.values() for key, wanted in keys.items()}
    for action in statement.actions:
        for resource in statement.resources:
            arn = "*" if resource == "*" or not iam.formats(action) else resource.replace("*", "any")
            if arn == "*" or iam.is_about(action, arn):
                yield action, arn, context | {"aws:requestedregion": ["us-east-1"]}


def leaves(boundary, action, arn, context):
    statements = list(bounds()[boundary][1])
    # All resources of an action that knows some are more than anybody asks for: any of them will do.
    is_open = arn == "*" and iam.formats(action) and any(one.names(action) for one in statements)
    return is_open or iam.allowed(statements, action, arn, context)


def test_a_boundary_leaves_the_roles_what_they_need():
    """What the policies of a role allow and its boundary does not, the role may not do."""
    assert bounds()
    lost = {
        f"{where}: {action} on {arn}"
        for where, stack, name, boundary in roles()
        for statement in iam.statements_of(name, stack)
        for action, arn, context in calls_of(statement)
        if boundary in bounds() and not leaves(boundary, action, arn, context)
    }
    assert not lost, listed(lost)
