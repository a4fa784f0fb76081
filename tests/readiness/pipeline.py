"""The pipeline's stack as it delivers the warehouse of `processed.STACK_NAME`, and the warehouse with what the pipeline gives it."""

from __future__ import annotations

import functools

import iam
from asks import Asks
from combinations import ROOT, TEMPLATE
from options import KEY, OPTIONS
from processed import PSEUDO, STACK_NAME, Processed, arns_of, names_of, plain
from resolver import read_template

BRANCH = "some-dev"
PIPELINE = STACK_NAME.removesuffix(f"-{BRANCH}")

# What widens the role as far as it goes.
WANTED = {"Branch": BRANCH, "AllowMachines": "true", "RequireApproval": "true", "KmsKeyArn": KEY}


@functools.cache
def stack(name: str = "build.yaml"):
    path = ROOT / name
    declared = read_template(path)["Parameters"]
    values = {key: value for key, value in WANTED.items() if key in declared}
    # What is named after the pipeline's stack in the documentation is so here.
    values |= {key: PIPELINE for key, one in declared.items() if one.get("Default") == "dataless"}
    return plain(path, tuple(sorted(values.items())), PIPELINE)


@functools.cache
def deployment_statements() -> tuple[iam.Statement, ...]:
    """Those of the role that CloudFormation has, with what other stacks attach to it."""
    found = iam.statements_of("DeploymentRole", stack())
    for path in sorted(ROOT.glob("build-*.yaml")):
        for name, resource in stack(path.name).resources.items():
            if resource["Type"] == "AWS::IAM::ManagedPolicy" and resource["Properties"].get("Roles"):
                found += iam.statements(name, resource["Properties"]["PolicyDocument"])
    return tuple(found)


def boundary() -> dict[str, str]:
    """The parameter by which the warehouse gets the boundary of its roles, and the policy's ARN; nothing without one."""
    declared = [name for name in read_template(TEMPLATE)["Parameters"] if "Boundary" in name]
    policies = [name for name, one in stack().resources.items() if one["Type"] == "AWS::IAM::ManagedPolicy" and "Boundary" in name]
    return {name: arns_of(stack(), policies[0])[0][0] for name in declared} if policies else {}


@functools.cache
def delivered(option: str):
    return Processed(TEMPLATE, OPTIONS[option] | boundary(), PSEUDO, {}).stack()


@functools.cache
def asked() -> frozenset:
    """All that CloudFormation asks for, with any option."""
    (bucket,) = names_of(stack(), "ArtifactBucket")
    return frozenset(one for option in OPTIONS for one in Asks(delivered(option), bucket).all())
