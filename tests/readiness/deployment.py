"""The pipeline's stack as it delivers the warehouse of `processed.STACK_NAME`, and the warehouse with what the pipeline gives it."""

from __future__ import annotations

import functools

from asks import Asks
from support import iam
from support.combinations import ROOT, TEMPLATE
from support.options import KEY, OPTIONS
from support.processed import PSEUDO, STACK_NAME, Processed, arns_of, names_of, plain
from support.resolver import read_template

BRANCH = "some-dev"
PIPELINE = STACK_NAME.removesuffix(f"-{BRANCH}")

# What widens the role as far as it goes.
WANTED = {"Branch": BRANCH, "RepositoryName": "dataless", "RequireApproval": "true", "KmsKeyArn": KEY}


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


@functools.cache
def bounds() -> dict[str, tuple[str, tuple[iam.Statement, ...]]]:
    """The boundaries that the pipeline's stacks make, by their ARN: the logical id, and what they leave."""
    found = {}
    for path in sorted(ROOT.glob("build*.yaml")):
        made = stack(path.name)
        for name, resource in made.resources.items():
            if resource["Type"] == "AWS::IAM::ManagedPolicy" and name.endswith("Boundary"):
                found[arns_of(made, name)[0][0]] = (
                    name,
                    tuple(iam.statements(name, resource["Properties"]["PolicyDocument"])),
                )
    return found


def boundary_parameters() -> dict[str, str]:
    """The parameters by which the warehouse gets the boundaries of its roles: one for machines, one for the rest."""
    declared = [name for name in read_template(TEMPLATE)["Parameters"] if "Boundary" in name]
    return {
        parameter: arn
        for parameter in declared
        for arn, (name, _) in bounds().items()
        if parameter.startswith("Machines") == name.startswith("Machines")
    }


@functools.cache
def delivered(option: str):
    """The warehouse with the parameters that the build sets, see buildspec.yml."""
    (bucket,) = names_of(stack(), "ArtifactBucket")
    set_by_the_build = {"ScriptsBucket": bucket, "ScriptsPrefix": "scripts/0123abcd"}
    return Processed(TEMPLATE, OPTIONS[option] | set_by_the_build | boundary_parameters(), PSEUDO, {}).stack()


@functools.cache
def every_ask() -> dict[str, tuple[frozenset, frozenset]]:
    """By option: what CloudFormation asks for, and the types and actions for which no ARN is known here."""
    (bucket,) = names_of(stack(), "ArtifactBucket")
    found = {}
    for option in OPTIONS:
        asks = Asks(delivered(option), bucket)
        found[option] = (frozenset(asks.all()), frozenset(asks.dropped))
    return found


@functools.cache
def asked() -> frozenset:
    """All that CloudFormation asks for, with any option."""
    return frozenset().union(*(one for one, _ in every_ask().values()))


def dropped(*options: str) -> frozenset:
    """The types and actions that are not asked for, for some resource with one of the options at least."""
    return frozenset().union(*(every_ask()[option][1] for option in options or OPTIONS))
