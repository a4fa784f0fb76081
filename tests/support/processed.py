"""Processes the warehouse's templates as CloudFormation does: runs the transforms, resolves conditions and references.

`warehouse` returns the stack for the parameters of an option. The transforms are AWS's own code. They run in the Python
environment of the SAM CLI (tools/readiness/transform.py), because the environment of the tests does not contain them.
Results are cached.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support import physical
from support.combinations import ROOT, TEMPLATE
from support.options import OPTIONS
from support.resolver import PSEUDO_PARAMETERS, Resolver, Stack
from templates import read as read_template

SAM = ROOT / ".dataless" / "tools" / "sam" / "bin" / "python"

# The longest name that docs/delivery.md allows. It makes the physical names as long as possible.
STACK_NAME = "a-warehouse-of-some-dev"
PSEUDO = PSEUDO_PARAMETERS | {
    "AWS::StackName": STACK_NAME,
    "AWS::StackId": f"arn:aws:cloudformation:us-east-1:123456789012:stack/{STACK_NAME}/0123abcd-0123-0123-0123-0123456789ab",
}


class NotProcessed(Exception):
    """A transform rejected the template, or could not run."""


@functools.cache
def worker() -> subprocess.Popen[str]:
    if not SAM.exists():
        raise NotProcessed(f"{SAM} is missing: cargo dataless test templates installs it")
    command = [str(SAM), str(ROOT / "tools" / "readiness" / "transform.py")]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdin
    atexit.register(process.stdin.close)
    return process


@functools.cache
def transformed(path: Path, parameters: tuple, pseudo: tuple) -> dict:
    """Returns the template after the transforms as `template`, and before them, but with includes, as `source`."""
    request = {"path": str(path), "parameters": dict(parameters), "pseudo": dict(pseudo)}
    answer = json.loads(answered(worker(), json.dumps(request)))
    if "error" in answer:
        raise NotProcessed(f"{path.name}: {answer['error']}")
    return answer


def answered(process: subprocess.Popen[str], request: str) -> str:
    """Sends a request to the worker and returns the response."""
    assert process.stdin and process.stdout
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(request + "\n")
        process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise NotProcessed(f"the transforms ended with exit status {process.wait()}")
    return line


@dataclass(frozen=True)
class Template:
    """A template before and after the transforms, with its parameters."""

    path: Path
    stack_name: str
    parameters: dict
    source: dict
    body: dict


@dataclass
class ProcessedStack(Stack):
    """A stack with its template."""

    template: Template = field(kw_only=True)
    pseudo: dict[str, str] = field(kw_only=True)
    resolver: Processed = field(kw_only=True)


class Processed(Resolver):
    """Resolves a transformed template. Names and ARNs have the form that CloudFormation would give them."""

    def read(self, parameters: dict) -> dict:
        # Values that are known only after deployment are placeholders here. In a deployment, the transforms get the
        # actual values.
        declared = read_template(self.path).get("Parameters", {})
        values = {name: str(one["Default"]) for name, one in declared.items() if "Default" in one}
        values |= {name: str(value) for name, value in parameters.items()}
        answer = transformed(self.path, tuple(sorted(values.items())), tuple(sorted(self.pseudo.items())))
        self.given = Template(self.path, self.pseudo["AWS::StackName"], values, answer["source"], answer["template"])
        return answer["template"]

    def stack(self) -> ProcessedStack:
        return ProcessedStack(**vars(super().stack()), template=self.given, pseudo=self.pseudo, resolver=self)

    def properties(self, name: str, *keys: str) -> dict[str, Any]:
        """Returns the resolved values of the given properties. Does not add dependencies to the current resource."""
        given, at, where = self.template["Resources"][name].get("Properties", {}), self.at, self.where
        self.at = None
        values = {key: self.value(given[key]) for key in keys if key in given}
        self.at, self.where = at, where
        return values

    def names(self, name: str) -> list[str]:
        """Returns the possible physical names. There are two if the form of the generated name is unknown."""
        kind = self.template["Resources"][name]["Type"]
        given: Any = None
        if path := physical.KINDS[kind].name_property:
            first, *rest = path.split(".")
            given = self.properties(name, first).get(first)
            for step in rest:
                given = given.get(step)
        return physical.names(kind, name, self.pseudo["AWS::StackName"], given if isinstance(given, str) else None)

    def known(self, name: str) -> bool:
        return name in self.template["Resources"] and self.template["Resources"][name]["Type"] in physical.KINDS

    def physical_id(self, name: str) -> str:
        if not self.known(name):
            return super().physical_id(name)
        properties = self.properties(name, "FunctionName")
        return physical.reference(
            self.template["Resources"][name]["Type"], self.names(name)[0], self.pseudo, properties
        )

    def physical_attribute(self, name: str, attribute: str) -> str:
        if not self.known(name):
            return super().physical_attribute(name, attribute)
        kind = self.template["Resources"][name]["Type"]
        if attribute == "Arn":
            return physical.arns(kind, self.names(name)[0], self.pseudo)[0]
        return (
            self.names(name)[0]
            if attribute in physical.KINDS[kind].name_attributes
            else super().physical_attribute(name, attribute)
        )


def all_stacks(stack: Stack, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (path, stack) for the stack and its nested stacks, such as `RedshiftStack`. The root's path is empty."""
    yield name, stack
    for inner, nested in stack.nested.items():
        yield from all_stacks(nested, f"{name}/{inner}".lstrip("/"))


@functools.cache
def warehouse(option: str) -> ProcessedStack:
    return Processed(TEMPLATE, OPTIONS[option], PSEUDO, {}).stack()


@functools.cache
def plain(path: Path, parameters: tuple, stack_name: str) -> ProcessedStack:
    """Returns the stack of another template, such as build.yaml."""
    return Processed(path, dict(parameters), PSEUDO | {"AWS::StackName": stack_name}, {}).stack()


def given_name(kind: str, properties: dict[str, Any]) -> Any:
    value: Any = properties
    for step in physical.KINDS[kind].name_property.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def names_of(stack: Any, logical: str) -> list[str]:
    """Returns the possible physical names of a resource, or an empty list for types without names."""
    resource = stack.resources[logical]
    if resource["Type"] not in physical.KINDS:
        return []
    return physical.names(
        resource["Type"], logical, stack.pseudo["AWS::StackName"], given_name(resource["Type"], resource["Properties"])
    )


def arns_of(stack: Any, logical: str) -> list[list[str]]:
    """Returns the ARNs by which a policy can refer to the resource, as one list for each possible physical name."""
    resource = stack.resources[logical]
    return [
        physical.arns(resource["Type"], name, stack.pseudo, resource["Properties"]) for name in names_of(stack, logical)
    ]


def listed(problems: Iterable[str]) -> str:
    """Returns the problems as a message with one line for each."""
    return "\n".join(["", *sorted(problems)])
