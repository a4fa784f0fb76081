"""The stacks that a user would deploy, by the names that the documentation gives them."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import configuration
from templates import ROOT

from account.calls import Account
from account.template import Template

# The pipeline's stack, as README.md and docs/delivery.md name it.
PIPELINE_STACK = "dataless"

SAMCONFIG = "samconfig.toml"

# The branch that build.yaml delivers by default.
BRANCH = "main"

WAREHOUSE, PIPELINE = "template.yaml", "build.yaml"

KINDS = {WAREHOUSE: "a warehouse", PIPELINE: "a pipeline"}


@dataclass(frozen=True)
class Deployment:
    stack: str
    # The template, from the root of the repository.
    file: str
    # Deploys it under another name.
    rename: str
    # The file that gives its parameters.
    source: str = ""
    parameters: dict = field(default_factory=dict)

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
    return Deployment(stack or samconfig_stack(path), WAREHOUSE, "sam deploy --stack-name <another name>", SAMCONFIG, parameters)


def samconfig_stack(path: Path) -> str:
    default = tomllib.loads(path.read_text(encoding="utf-8"))["default"]
    sections = [default.get(command, {}).get("parameters", {}) for command in ("deploy", "global")]
    return next(section["stack_name"] for section in sections if "stack_name" in section)


def by_pipeline(stack: str | None, branch: str, root: Path = ROOT) -> list[Deployment]:
    """The stack of build.yaml, and the warehouse that it deploys."""
    name = stack or PIPELINE_STACK
    rename = f"aws cloudformation deploy --template-file {PIPELINE} --capabilities CAPABILITY_IAM --stack-name <another name>"
    source = f"config/{branch}.json"
    parameters = configuration.read_configuration(root / source)["Parameters"]
    return [Deployment(name, PIPELINE, rename), Deployment(f"{name}-{branch}", WAREHOUSE, rename, source, parameters)]
