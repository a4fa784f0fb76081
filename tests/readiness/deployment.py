"""The pipeline's stack for the warehouse `processed.STACK_NAME`, and the warehouse as this pipeline deploys it."""

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

# Parameter values that give the deployment role the most permissions.
WANTED = {"Branch": BRANCH, "RepositoryName": "dataless", "RequireApproval": "true", "KmsKeyArn": KEY}


@functools.cache
def stack(name: str = "build.yaml"):
    path = ROOT / name
    declared = read_template(path)["Parameters"]
    values = {key: value for key, value in WANTED.items() if key in declared}
    # As in the documentation, the value of these parameters is the name of the pipeline's stack.
    values |= {key: PIPELINE for key, one in declared.items() if one.get("Default") == "dataless"}
    return plain(path, tuple(sorted(values.items())), PIPELINE)


@functools.cache
def deployment_statements() -> tuple[iam.Statement, ...]:
    """Returns the statements of the deployment role, including the policies that other stacks attach to it."""
    found = iam.statements_of("DeploymentRole", stack())
    for path in sorted(ROOT.glob("build-*.yaml")):
        for name, resource in stack(path.name).resources.items():
            if resource["Type"] == "AWS::IAM::ManagedPolicy" and resource["Properties"].get("Roles"):
                found += iam.statements(name, resource["Properties"]["PolicyDocument"])
    return tuple(found)


@functools.cache
def bounds() -> dict[str, tuple[str, tuple[iam.Statement, ...]]]:
    """Returns the permissions boundaries of the pipeline's stacks by ARN: (logical id, statements)."""
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
    """Returns the boundary ARNs by parameter of the warehouse: one for roles of machines, one for other roles."""
    declared = [name for name in read_template(TEMPLATE)["Parameters"] if "Boundary" in name]
    return {
        parameter: arn
        for parameter in declared
        for arn, (name, _) in bounds().items()
        if parameter.startswith("Machines") == name.startswith("Machines")
    }


@functools.cache
def delivered(option: str):
    """Returns the warehouse with the parameters that buildspec.yml sets."""
    (bucket,) = names_of(stack(), "ArtifactBucket")
    set_by_the_build = {"ScriptsBucket": bucket, "ScriptsPrefix": "scripts/0123abcd"}
    return Processed(TEMPLATE, OPTIONS[option] | set_by_the_build | boundary_parameters(), PSEUDO, {}).stack()


@functools.cache
def every_ask() -> dict[str, tuple[frozenset, frozenset]]:
    """Returns CloudFormation's calls and the (type, action) pairs without a known ARN, by option."""
    (bucket,) = names_of(stack(), "ArtifactBucket")
    found = {}
    for option in OPTIONS:
        asks = Asks(delivered(option), bucket)
        found[option] = (frozenset(asks.all()), frozenset(asks.dropped))
    return found


@functools.cache
def asked() -> frozenset:
    """Returns CloudFormation's calls for all options."""
    return frozenset().union(*(one for one, _ in every_ask().values()))


def dropped(*options: str) -> frozenset:
    """Returns the (type, action) pairs without a known ARN in at least one of the options."""
    return frozenset().union(*(every_ask()[option][1] for option in options or OPTIONS))
