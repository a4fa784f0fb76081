"""The statements of the pipeline's roles with their resources resolved, for the warehouse `dataless-main`."""

from functools import cache

from support.iam import as_list, like
from support.resolver import resolve
from templates import ROOT

WAREHOUSE = "dataless-main"


@cache
def pipeline(**parameters):
    """What the pipeline's stack makes, and the one that lets it deploy machines."""
    return resolve(ROOT / "build-machines.yaml", {}).resources | resolve(ROOT / "build.yaml", parameters).resources


def statements(*names, **parameters):
    """Those of the policies and roles of these names. A role has its inline policies only."""
    for name in names:
        properties = pipeline(**parameters)[name]["Properties"]
        inline = [one["PolicyDocument"] for one in properties.get("Policies", [])]
        for document in [properties["PolicyDocument"]] if "PolicyDocument" in properties else inline:
            yield from document["Statement"]


def matches(text, patterns):
    """As IAM compares: `*` is any text, slashes and colons included."""
    return any(like(text, one) for one in as_list(patterns))


def granting(action, resource, *names, **parameters):
    """The statements that allow the action on the resource, whatever their conditions ask."""
    return [
        one
        for one in statements(*names, **parameters)
        if one["Effect"] == "Allow"
        and matches(action.lower(), [pattern.lower() for pattern in as_list(one["Action"])])
        and matches(resource, one["Resource"])
    ]


@cache
def warehouse(**parameters):
    """What the warehouse's stack makes, with the stacks below it."""
    return resolve(ROOT / "template.yaml", parameters, {"AWS::StackName": WAREHOUSE}).all_resources()
