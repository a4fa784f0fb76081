"""Evaluates IAM policy statements offline, and returns the resource ARNs that an action supports.

cfn-lint ships the Service Authorization Reference.
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import re
from dataclasses import dataclass, field
from typing import Any

from support.processed import arns_of, names_of
from support.resolver import Stack


@functools.cache
def reference() -> dict:
    return json.loads(
        (importlib.resources.files("cfnlint.data.AdditionalSpecs") / "Policies.json").read_text(encoding="utf-8")
    )


# More precise patterns than those in the reference. Only the ARN of an object contains a slash.
CLOSER = {("s3", "bucket"): r"arn:[^:]*:s3:::[^/]+", ("s3", "object"): r"arn:[^:]*:s3:::[^/]+/.*"}


# Resource types of actions that are missing in the reference. The source is the guide of the service.
GUIDES = {
    # https://docs.aws.amazon.com/codedeploy/latest/userguide/auth-and-access-control-permissions-reference.html
    "codedeploy:PutLifecycleEventHookExecutionStatus": ["deploymentgroup"],
    "codedeploy:StopDeployment": ["deploymentgroup"],
}


class UnknownAction(Exception):
    """The action is not in the reference. It is misspelled, or newer than the installed cfn-lint."""


@functools.cache
def formats(action: str) -> tuple[str, ...]:
    """Returns patterns of the resource ARNs that the action supports. Without patterns, it supports only "*"."""
    service, _, name = action.partition(":")
    known = reference().get(service.lower(), {"Actions": {}})
    actions = {one.lower(): about for one, about in known["Actions"].items()}
    if name.lower() not in actions:
        raise UnknownAction(action)
    found = []
    for kind in GUIDES.get(action, actions[name.lower()].get("Resources", [])):
        kind = kind.lower()
        for one in known["Resources"].get(kind, known["Resources"].get(kind.rstrip("s"), {})).get("ARNFormats", []):
            # The pattern also matches an empty field, such as in ARNs without an account.
            found.append(CLOSER.get((service, kind), re.sub(r"\$\{\w+\}", "[^:]*", one)))
    return tuple(found)


def is_about(action: str, arn: str) -> bool:
    return any(re.fullmatch(one, arn) for one in formats(action))


def as_list(value: Any) -> list:
    return value if isinstance(value, list) else [value]


@functools.cache
def pattern(text: str, ignore_case: bool = False) -> re.Pattern:
    parts = {"*": ".*", "?": "."}
    return re.compile(
        "".join(parts.get(one, re.escape(one)) for one in text), re.IGNORECASE | re.DOTALL if ignore_case else re.DOTALL
    )


def like(text: str, wanted: str) -> bool:
    """Returns whether the text matches a pattern with the wildcards `*` and `?`. In the text, both are literals."""
    return bool(pattern(wanted).fullmatch(text))


# The condition operators that the policies use. Any other operator raises an error.
OPERATORS = {
    "StringEquals": lambda value, wanted: value == wanted,
    "StringLike": like,
    "ArnEquals": like,
    "ArnLike": like,
    "Bool": lambda value, wanted: value.lower() == str(wanted).lower(),
}


def holds(condition: dict, context: dict[str, list[str]]) -> bool:
    """Returns whether the context of a call satisfies a condition. A key that is missing in it matches no value."""
    for name, keys in condition.items():
        for key, wanted in keys.items():
            values = context.get(key.lower(), [])
            operator = name.removeprefix("ForAnyValue:").removesuffix("IfExists")
            if operator == "Null":
                if bool(values) == (str(wanted).lower() == "true"):
                    return False
            elif operator.startswith("StringNot") or operator.startswith("ArnNot"):
                positive = OPERATORS[operator.replace("Not", "")]
                if any(positive(value, str(one)) for value in values for one in as_list(wanted)):
                    return False
            elif not values:
                if not name.endswith("IfExists"):
                    return False
            elif not any(OPERATORS[operator](value, str(one)) for value in values for one in as_list(wanted)):
                return False
    return True


@dataclass(frozen=True, eq=False)
class Statement:
    """A policy statement of a role, with the place of its policy in the templates."""

    place: str
    effect: str
    actions: list[str]
    resources: list[str]
    condition: dict = field(default_factory=dict)

    def names(self, action: str) -> bool:
        return any(pattern(one, True).fullmatch(action) for one in self.actions)

    def matches(self, action: str, arn: str, context: dict) -> bool:
        return self.names(action) and any(like(arn, one) for one in self.resources) and holds(self.condition, context)


def statements(place: str, document: dict) -> list[Statement]:
    return [
        Statement(place, one["Effect"], as_list(one["Action"]), as_list(one["Resource"]), one.get("Condition", {}))
        for one in as_list(document["Statement"])
    ]


def allowed(granted: list[Statement], action: str, arn: str, context: dict) -> bool:
    """Returns whether a statement allows the call and none denies it. For actions without resources, `arn` is "*"."""
    matching = [one for one in granted if one.matches(action, arn, context)]
    return any(one.effect == "Allow" for one in matching) and not any(one.effect == "Deny" for one in matching)


def statements_of(role: str, stack: Stack, everywhere: tuple[Stack, ...] = ()) -> list[Statement]:
    """Returns the statements of a role's inline policies and of the policies that are attached to it.

    Searches for attached policies in the stacks `everywhere`, by default in the role's own stack. Ignores the
    permissions boundary, because it grants nothing.
    """
    properties = stack.resources[role]["Properties"]
    found = []
    for one in properties.get("Policies", []):
        found += statements(f"{role}/{one['PolicyName']}", one["PolicyDocument"])
    names, attached = set(names_of(stack, role)), set(properties.get("ManagedPolicyArns", []))
    for other in everywhere or (stack,):
        for name, resource in other.resources.items():
            if resource["Type"] not in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
                continue
            arns = {arn for arns in arns_of(other, name) for arn in arns}
            if names & set(resource["Properties"].get("Roles", [])) or attached & arns:
                found += statements(name, resource["Properties"]["PolicyDocument"])
    return found
