"""The policy statements of the pipeline's roles, with resources resolved for the warehouse `dataless-main`."""

from functools import cache

from support.iam import as_list, like
from support.resolver import resolve
from templates import ROOT

WAREHOUSE = "dataless-main"


@cache
def pipeline(**parameters):
    """Returns the resources of the pipeline's stack and of the stack that lets it deploy machines."""
    return resolve(ROOT / "build-machines.yaml", {}).resources | resolve(ROOT / "build.yaml", parameters).resources


def statements(*names, **parameters):
    """Yields the statements of the policies and roles with these names. For a role, only its inline policies count."""
    for name in names:
        properties = pipeline(**parameters)[name]["Properties"]
        inline = [one["PolicyDocument"] for one in properties.get("Policies", [])]
        for document in [properties["PolicyDocument"]] if "PolicyDocument" in properties else inline:
            yield from document["Statement"]


def matches(text, patterns):
    """Compares as IAM does: `*` matches any text, including slashes and colons."""
    return any(like(text, one) for one in as_list(patterns))


def granting(action, resource, *names, **parameters):
    """Returns the statements that allow the action on the resource. Ignores their conditions."""
    return [
        one
        for one in statements(*names, **parameters)
        if one["Effect"] == "Allow"
        and matches(action.lower(), [pattern.lower() for pattern in as_list(one["Action"])])
        and matches(resource, one["Resource"])
    ]


@cache
def warehouse(**parameters):
    """Returns the resources of the warehouse's stack and of its nested stacks."""
    return resolve(ROOT / "template.yaml", parameters, {"AWS::StackName": WAREHOUSE}).all_resources()
