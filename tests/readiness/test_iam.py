"""Tests the evaluation of policies with examples from the IAM User Guide."""

import pytest

from support import iam


@pytest.mark.parametrize(
    ("text", "wanted", "matches"),
    [
        ("arn:aws:s3:::lake/data/raw/a", "arn:aws:s3:::lake/data/*", True),
        ("arn:aws:s3:::lake", "arn:aws:s3:::lake/*", False),
        # The ARN of an action without resource types is "*". Only the pattern "*" matches it.
        ("*", "arn:aws:acm:us-east-1:123456789012:certificate/*", False),
        ("*", "*", True),
        ("arn:aws:logs:us-east-1:1:log-group:/aws/lambda/a:*", "arn:aws:logs:us-east-1:1:log-group:/aws/*/a*", True),
        ("arn:aws:iam::1:role/ab", "arn:aws:iam::1:role/a?", True),
        ("arn:aws:iam::1:role/a.b", "arn:aws:iam::1:role/a+b", False),
    ],
)
def test_resource_patterns(text, wanted, matches):
    assert iam.like(text, wanted) is matches


CONTEXT = {"iam:passedtoservice": ["lambda.amazonaws.com"], "aws:requestedregion": ["us-east-1"]}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({}, True),
        ({"StringEquals": {"iam:PassedToService": ["glue.amazonaws.com", "lambda.amazonaws.com"]}}, True),
        ({"StringEquals": {"iam:PassedToService": "glue.amazonaws.com"}}, False),
        ({"StringEquals": {"aws:SourceAccount": "123456789012"}}, False),
        ({"StringEqualsIfExists": {"aws:SourceAccount": "123456789012"}}, True),
        ({"StringLike": {"aws:RequestedRegion": "us-*"}, "Bool": {"aws:SecureTransport": "true"}}, False),
        ({"Null": {"iam:PermissionsBoundary": "true"}}, True),
        ({"StringNotEquals": {"aws:RequestedRegion": "us-east-1"}}, False),
        ({"StringNotEquals": {"iam:PermissionsBoundary": "arn"}}, True),
    ],
)
def test_conditions(condition, expected):
    assert iam.holds(condition, CONTEXT) is expected


def test_an_unknown_operator_is_an_error():
    with pytest.raises(KeyError):
        iam.holds({"IpAddress": {"aws:RequestedRegion": "us-east-1"}}, CONTEXT)


def test_deny_overrides_allow():
    granted = iam.statements("a", {"Statement": [
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
        {"Effect": "Deny", "Action": "s3:Delete*", "Resource": "arn:aws:s3:::lake/*"},
    ]})  # fmt: skip
    assert iam.allowed(granted, "s3:GetObject", "arn:aws:s3:::lake/a", {})
    assert not iam.allowed(granted, "s3:DeleteObject", "arn:aws:s3:::lake/a", {})


@pytest.mark.parametrize(
    "action",
    ["route53:CreateHostedZone", "logs:DescribeIndexPolicies", "acm:RequestCertificate", "xray:PutTraceSegments"],
)
def test_actions_that_accept_only_a_wildcard(action):
    assert iam.formats(action) == ()


@pytest.mark.parametrize(
    ("action", "arn"),
    [
        ("s3:GetObject", "arn:aws:s3:::lake/a"),
        ("s3:ListBucket", "arn:aws:s3:::lake"),
        ("glue:CreateTable", "arn:aws:glue:us-east-1:1:catalog"),
        ("apigateway:POST", "arn:aws:apigateway:us-east-1::/restapis"),
    ],
)
def test_actions_apply_to_their_resources(action, arn):
    assert iam.is_about(action, arn)
    assert not iam.is_about(action, "arn:aws:sqs:us-east-1:1:queue")


def test_an_unknown_action_is_an_error():
    with pytest.raises(iam.UnknownAction):
        iam.formats("s3:GetObjct")
