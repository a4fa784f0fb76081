"""Each role that the deployment role creates has the right permissions boundary.

The boundary allows everything that the role needs.
"""

import pytest

from deployment import boundary_parameters, bounds, delivered, deployment_statements, stack
from support import iam
from support.combinations import ROOT
from support.processed import all_stacks, arns_of, listed, warehouse

# Actions that grant permissions to a role, and that support the condition key iam:PermissionsBoundary.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
MAKES_ROLES = ("iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:PutRolePermissionsBoundary")
CHANGES_POLICIES = (
    "iam:CreatePolicyVersion",
    "iam:DeletePolicy",
    "iam:DeletePolicyVersion",
    "iam:SetDefaultPolicyVersion",
)
CHANGES_ROLES = (
    *MAKES_ROLES,
    "iam:DeleteRole",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:UpdateAssumeRolePolicy",
)

ROLE = "arn:aws:iam::123456789012:role/a-warehouse-of-some-dev-LakeJobRole-1ABCDEFGHIJ2K"
POLICY = "arn:aws:iam::123456789012:policy/a-warehouse-of-some-dev-GlueJobPolicy-1ABCDEFGHIJ2K"
SSM = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


@pytest.mark.parametrize("boundary", [[], [ADMINISTRATOR]], ids=["none", "another"])
def test_no_role_can_be_created_without_a_boundary(boundary):
    context = {"iam:policyarn": [POLICY, SSM], "iam:permissionsboundary": boundary}
    made = {
        f"{statement.place}: {action} on {resource}"
        for statement in deployment_statements()
        for action in MAKES_ROLES
        # Covers every role that a statement names.
        for resource in statement.resources
        if statement.effect == "Allow" and statement.matches(action, resource.replace("*", "any"), context)
    }
    assert not made, listed(made)


def test_roles_can_be_created_with_a_boundary():
    """Without these permissions, the previous test would always pass."""
    assert len(bounds()) == 2
    for arn in bounds():
        context = {"iam:policyarn": [POLICY, SSM], "iam:permissionsboundary": [arn]}
        assert [one for one in MAKES_ROLES if not iam.allowed(deployment_statements(), one, ROLE, context)] == []


def may(action, arn):
    """Returns whether a statement allows the action on the ARN. Ignores the conditions of the statement."""
    return any(
        one.effect == "Allow" and one.names(action) and any(iam.like(arn, other) for other in one.resources)
        for one in deployment_statements()
    )


def of_the_pipeline(kind):
    """Returns the logical ids of all resources of a type in the pipeline's own stacks, by ARN."""
    stacks = [stack(path.name) for path in sorted(ROOT.glob("build*.yaml"))]
    return {
        arns_of(one, name)[0][0]: name
        for one in stacks
        for name, resource in one.resources.items()
        if resource["Type"] == kind
    }


def test_the_role_cannot_change_boundaries_or_its_own_permissions():
    assert boundary_parameters()
    policies, roles = of_the_pipeline("AWS::IAM::ManagedPolicy"), of_the_pipeline("AWS::IAM::Role")
    assert {"WarehouseBoundary", "MachinesBoundary", "DeployDataPolicy", "DeployMachinesPolicy"} <= set(
        policies.values()
    )
    assert {"DeploymentRole", "BuildRole", "PipelineRole"} <= set(roles.values())
    changed = {f"{action} on {arn}" for arn in policies for action in CHANGES_POLICIES if may(action, arn)}
    changed |= {
        f"{action} on {arn}" for arn in roles for action in (*CHANGES_ROLES, "iam:PassRole") if may(action, arn)
    }
    changed |= {
        f"iam:DeleteRolePermissionsBoundary on {arn}"
        for arn in (*roles, ROLE)
        if may("iam:DeleteRolePermissionsBoundary", arn)
    }
    assert not changed, listed(changed)
    # The role can change the policies and roles that it created.
    assert all(may(action, POLICY) for action in ("iam:CreatePolicyVersion", "iam:DeletePolicy")) and may(
        "iam:PutRolePolicy", ROLE
    )


# --- which boundary a role has ----------------------------------------------------------------------------------------


def roles():
    for option in ("everything", "everything under Data Pipeline"):
        stacks = list(all_stacks(delivered(option)))
        for place, made in stacks:
            for name, one in made.resources.items():
                if one["Type"] == "AWS::IAM::Role":
                    statements = iam.statements_of(name, made, tuple(stack for _, stack in stacks))
                    yield place, name, statements, one["Properties"]


def boundary_of(place):
    """Returns the logical id of the expected boundary.

    The jobs that load Redshift have the boundary for jobs, although their stack is in MachinesStack.
    """
    return (
        "MachinesBoundary"
        if place.startswith("MachinesStack/") and not place.endswith("/RedshiftJobsStack")
        else "WarehouseBoundary"
    )


def test_every_role_of_the_warehouse_has_its_boundary():
    """Roles of machines are in nested stacks of MachinesStack. The test includes SAM's generated roles of functions."""
    found = {(place, name): bounds().get(one.get("PermissionsBoundary"), [None])[0] for place, name, _, one in roles()}
    assert len(found) > 20
    wrong = {f"{place} {name}" for (place, name), boundary in found.items() if boundary != boundary_of(place)}
    assert not wrong, listed(wrong)


def test_without_the_pipeline_no_role_has_a_boundary():
    assert not [
        name
        for name, one in warehouse("everything").all_resources().items()
        if "PermissionsBoundary" in one["Properties"]
    ]


# --- what a boundary allows -------------------------------------------------------------------------------------------

# Actions in the attached AWS managed policies that are certainly used.
OF_AWS = {
    # https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonAPIGatewayPushToCloudWatchLogs.html
    "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs": [
        f"logs:{action}" for action in
        ("CreateLogGroup", "CreateLogStream", "DescribeLogGroups", "DescribeLogStreams", "PutLogEvents", "GetLogEvents", "FilterLogEvents")
    ],
    # https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonSSMManagedInstanceCore.html
    SSM: [
        "ssm:UpdateInstanceInformation", "ssm:ListInstanceAssociations", "ssm:PutInventory", "ssmmessages:OpenDataChannel", "ec2messages:GetMessages",
    ],
    # https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonEMRServicePolicy_v2.html
    "arn:aws:iam::aws:policy/service-role/AmazonEMRServicePolicy_v2": [
        "ec2:RunInstances", "ec2:CreateTags", "ec2:AuthorizeSecurityGroupIngress", "cloudwatch:PutMetricAlarm", "resource-groups:ListGroupResources",
    ],
}  # fmt: skip


def calls_of(statement):
    """Yields (action, ARN, context) for each call that a statement allows."""
    # The context contains the values that the conditions of the statement require.
    context = {
        key.lower(): [str(one) for one in iam.as_list(wanted)]
        for keys in statement.condition.values()
        for key, wanted in keys.items()
    }
    for action in statement.actions:
        for resource in statement.resources:
            # Here the wildcard means all service-linked roles. A boundary names their path.
            if action == "iam:CreateServiceLinkedRole" and resource == "*":
                resource = "arn:aws:iam::123456789012:role/aws-service-role/any/any"
            arn = "*" if resource == "*" or not iam.formats(action) else resource.replace("*", "any")
            if arn == "*" or iam.is_about(action, arn):
                yield action, arn, context | {"aws:requestedregion": ["us-east-1"]}


def test_a_boundary_allows_what_the_policies_of_roles_allow():
    """A role can only do what both its policies and its boundary allow."""
    lost = {
        f"{place} {name}: {action} on {arn}"
        for place, name, statements, one in roles()
        for statement in statements
        for action, arn, context in calls_of(statement)
        if not iam.allowed(list(bounds()[one["PermissionsBoundary"]][1]), action, arn, context)
    }
    assert not lost, listed(lost)


def test_a_boundary_allows_what_aws_managed_policies_allow():
    attached = {
        (bounds()[one["PermissionsBoundary"]][1], policy)
        for _, _, _, one in roles()
        for policy in one.get("ManagedPolicyArns", [])
        if policy.startswith("arn:aws:iam::aws:")
    }
    assert {policy for _, policy in attached} == set(OF_AWS)
    context = {"aws:requestedregion": ["us-east-1"]}
    lost = {
        action
        for statements, policy in attached
        for action in OF_AWS[policy]
        if not iam.allowed(list(statements), action, "*", context)
    }
    assert not lost, listed(lost)
