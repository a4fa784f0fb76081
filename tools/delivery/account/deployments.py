"""The stacks that a user would deploy, by the names that the documentation gives them."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import configuration
import templates
from account.calls import Account
from account.template import Template
from templates import ROOT

# The pipeline's stack, as README.md and docs/delivery.md name it.
PIPELINE_STACK = "dataless"

SAMCONFIG = "samconfig.toml"

# The branch that build.yaml delivers by default.
BRANCH = "main"

WAREHOUSE, PIPELINE, MACHINES = "template.yaml", "build.yaml", "build-machines.yaml"

KINDS = {WAREHOUSE: "a warehouse", PIPELINE: "a pipeline", MACHINES: "the rights of a pipeline to machines"}


@dataclass(frozen=True)
class Deployment:
    stack: str
    # The template, from the root of the repository.
    file: str
    # The command that deploys it under another name, if one fits.
    rename: str | None
    # The file that gives its parameters.
    source: str = ""
    parameters: dict = field(default_factory=dict)

    def problems(self) -> list[str]:
        """What is wrong with its parameters, by the template."""
        declared = templates.read(ROOT / self.file)["Parameters"]
        return [
            f"{self.source or self.file}: {problem}" for problem in configuration.check(declared, self.parameters, {})
        ]

    def template(self, account: Account) -> Template:
        pseudo = {
            "AWS::StackName": self.stack,
            "AWS::Region": account.region,
            "AWS::AccountId": account.id,
            "AWS::Partition": account.partition,
        }
        return Template(ROOT / self.file, self.parameters, pseudo)


def by_hand(stack: str | None, root: Path = ROOT) -> Deployment:
    """What `sam deploy` deploys, by samconfig.toml."""
    path = root / SAMCONFIG
    parameters = configuration.read_samconfig(path, "default")
    name = stack or samconfig_stack(path)
    rename = f"sam deploy --stack-name {other}" if (other := another(name)) else None
    return Deployment(name, WAREHOUSE, rename, SAMCONFIG, parameters)


def samconfig_stack(path: Path) -> str:
    default = tomllib.loads(path.read_text(encoding="utf-8"))["default"]
    sections = [default.get(command, {}).get("parameters", {}) for command in ("deploy", "global")]
    for section in sections:
        if isinstance(name := section.get("stack_name"), str):
            return name
    text = 'it names no stack: give --stack, or write stack_name = "warehouse" below [default.global.parameters]'
    raise configuration.Invalid(f"{path}: {text}")


def by_pipeline(stack: str | None, branch: str, root: Path = ROOT) -> list[Deployment]:
    """The stack of build.yaml, and the warehouse that it deploys."""
    name = stack or PIPELINE_STACK
    # build.yaml refuses another branch that would make a repository of its own.
    repository = None if branch == BRANCH else PIPELINE_STACK
    rename = deploy_pipeline(other, branch, repository) if (other := another(name, branch)) else None
    source = f"config/{branch}.json"
    parameters = configuration.read_configuration(root / source)["Parameters"]
    return [
        Deployment(name, PIPELINE, rename, parameters={"Branch": branch}),
        Deployment(f"{name}-{branch}", WAREHOUSE, rename, source, parameters),
    ]


def deploy_pipeline(stack: str, branch: str, repository: str | None = None) -> str:
    overrides = f"Branch={branch}" + (f" RepositoryName={repository}" if repository else "")
    command = f"aws cloudformation deploy --template-file {PIPELINE} --stack-name {stack} --capabilities CAPABILITY_IAM"
    return f"{command} --parameter-overrides {overrides}"


def another(stack: str, branch: str = "") -> str | None:
    """A name like the stack's that a stack may have, and with the branch its warehouse; `None` when the branch leaves no room."""
    suffix = "-2"
    room = configuration.MAX_STACK_NAME - len(suffix) - len(f"-{branch}" if branch else "")
    name = re.sub(r"[^a-z0-9]+", "-", stack.lower()).lstrip("-0123456789")[: max(0, room)].rstrip("-")
    return name + suffix if name else None
