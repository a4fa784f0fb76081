"""Rights of the roles in build.yaml and the templates, held against the resources that they are about."""

import re

import pytest
from rights import DEPLOYMENT, arn, as_list, granting, statements, warehouse
from templates import ROOT, read

MACHINES = {
    "EnableEC2Instance": "yes", "EnableEMRCluster": "yes", "EnableRedshift": "yes", "RedshiftPassword": "Not-a-secret-1",
    "Orchestrator": "DataPipeline", "EnablePipeline": "yes",
}  # fmt: skip


def named(made, text):
    """With names for roles, as CloudFormation makes them, and for the security configuration."""
    security = made["GlueSecurity"]["Properties"].get("Name", "GlueSecurity-1ABCDEFGHIJ2K")
    return re.sub(r"<(\w+Role)>", r"dataless-main-\1-1ABCDEFGHIJ2K", text.replace("<GlueSecurity>", security))


def test_every_log_group_may_be_made():
    made = warehouse(**MACHINES, KmsKeyArn=arn("kms", "key/0123abcd-0123-0123-0123-0123456789ab"))
    groups = {
        name: named(made, one["Properties"].get("LogGroupName", f"dataless-main-{name}-1ABCDEFGHIJ2K"))
        for name, one in made.items()
        if one["Type"] == "AWS::Logs::LogGroup"
    }
    assert len(groups) > 20
    for action in ("logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:TagResource", "logs:DeleteLogGroup"):
        refused = {
            name: group for name, group in groups.items() if not granting(action, arn("logs", f"log-group:{group}"), *DEPLOYMENT)
        }
        assert refused == {}, action


# https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
WITHOUT_A_RESOURCE = (
    "cloudfront:UpdateDistribution", "logs:DescribeIndexPolicies", "logs:DescribeLogGroups", "route53:CreateHostedZone",
    "route53:ListHostedZonesByName", "secretsmanager:GetRandomPassword",
)  # fmt: skip


@pytest.mark.parametrize("action", WITHOUT_A_RESOURCE)
def test_what_knows_no_resource_is_allowed_for_all(action):
    assert any(action in as_list(one["Action"]) and one["Resource"] == "*" for one in statements(*DEPLOYMENT))


# Services whose documentation shows a trust policy without a condition, and says nowhere which keys they send. A condition on
# a key that is not sent is false: the role could not be assumed.
SEND_NO_SOURCE = {
    "cloudformation.amazonaws.com", "codepipeline.amazonaws.com", "firehose.amazonaws.com", "redshift.amazonaws.com",
    "scheduler.redshift.amazonaws.com",
}  # fmt: skip


def test_a_service_that_documents_no_source_is_trusted_without_a_condition():
    seen = set()
    for path in (ROOT / "template.yaml", ROOT / "build.yaml", ROOT / "build-machines.yaml", *(ROOT / "stacks").glob("*.yaml")):
        for name, one in read(path)["Resources"].items():
            if one["Type"] == "AWS::IAM::Role":
                (statement,) = one["Properties"]["AssumeRolePolicyDocument"]["Statement"]
                service = statement["Principal"]["Service"]
                if isinstance(service, str) and service in SEND_NO_SOURCE:
                    seen.add(service)
                    assert "Condition" not in statement, f"{path.name}: {name}"
    assert seen == SEND_NO_SOURCE
