"""The deployment role allows exactly the actions and ARNs that the resources of the processed templates need.

Tests in tests/delivery check whether an action is granted at all. They list the actions that the templates do not use.
"""

import pytest

from asks import handlers
from deployment import asked, deployment_statements, dropped
from not_asked import NOT_ASKED, SOMETIMES, WITHOUT_A_KEY, pairs
from support import iam
from support.processed import listed


def context_of(ask):
    return {key: list(values) for key, values in ask.context}


def grants(action):
    return any(one.effect == "Allow" and one.names(action) for one in deployment_statements())


@pytest.fixture(scope="module")
def used():
    """Returns the (action, ARN) pairs of the CloudFormation calls that each statement allows."""
    found = {one: set() for one in deployment_statements()}
    for ask in asked():
        for statement in deployment_statements():
            if statement.matches(ask.action, ask.arn, context_of(ask)):
                found[statement].add((ask.action, ask.arn))
    return found


def test_each_call_is_allowed():
    refused = {
        f"{ask.kind}: {ask.action} on {ask.arn}"
        for ask in asked()
        if grants(ask.action) and not iam.allowed(deployment_statements(), ask.action, ask.arn, context_of(ask))
    }
    assert not refused, listed(refused)
    assert len(asked()) > 2000


def test_calls_that_no_schema_lists_are_allowed():
    """The schemas of some resource types lack actions. `asks` lists the missing actions."""
    missing = {
        f"{ask.kind}: {ask.action}"
        for ask in asked()
        if not grants(ask.action) and ask.action not in handlers(ask.kind)
    }
    assert not missing, listed(missing)


def text_of(found):
    return listed(f"{kind}: {action}" for kind, action in found)


def test_actions_without_a_call_are_reviewed():
    """The other tests cannot check actions without a known ARN."""
    never, sometimes = pairs(*NOT_ASKED.values()), pairs(*SOMETIMES.values(), WITHOUT_A_KEY)
    asking = {(one.kind, one.action) for one in asked()}
    assert dropped() == never | sometimes, text_of(dropped() ^ (never | sometimes))
    assert not never & asking and sometimes <= asking, text_of(never & asking | sometimes - asking)


def test_with_a_kms_key_all_its_actions_are_called():
    left = dropped("a key", "everything", "everything under Data Pipeline") & pairs(WITHOUT_A_KEY)
    assert not left, text_of(left)


def test_every_action_of_a_statement_is_used_on_its_resources(used):
    unused = {
        f"{statement.place}: {action} on {statement.resources}"
        for statement, uses in used.items()
        for action in statement.actions
        if statement.effect == "Allow" and not any(iam.pattern(action, True).fullmatch(one) for one, _ in uses)
    }
    assert not unused, listed(unused)


def test_every_resource_of_a_statement_is_used(used):
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
