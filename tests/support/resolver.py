"""Resolves rules, conditions and references of a template, as CloudFormation does before it creates resources.

`resolve` takes parameter values and returns the stack that would be created, with nested stacks. It raises `Refused` if
the parameter values violate a rule. It raises `DanglingReference` if the template refers to an unknown name, or to a
resource or output whose condition is false, and if a template gets an unknown parameter or lacks a required one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from templates import read as read_template

PSEUDO_PARAMETERS = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackId": "<stack id>",
    "AWS::StackName": "dataless",
    "AWS::URLSuffix": "amazonaws.com",
}

NO_VALUE = object()


class DanglingReference(Exception):
    """The template refers to something that would not exist."""


class Refused(Exception):
    """The template does not allow these parameter values. The message is the description of the violated rule."""


@dataclass
class Stack:
    """The resources (with resolved properties), outputs and nested stacks of a template, by logical id."""

    resources: dict[str, dict] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    nested: dict[str, Stack] = field(default_factory=dict)
    # The dependencies of each resource: the logical ids in its properties and DependsOn.
    edges: dict[str, set[str]] = field(default_factory=dict)

    def all_resources(self) -> dict[str, dict]:
        """Returns all resources by path. A resource of a nested stack has a path like `TablesStack/GlueDatabase`."""
        below = {
            f"{name}/{inner}": resource
            for name, stack in self.nested.items()
            for inner, resource in stack.all_resources().items()
        }
        return self.resources | below

    def one(self, path: str) -> dict:
        """Returns the only resource whose path ends with `path`: `LedgerJob`, or `ClicksEvents/DeliveryRole`."""
        ((_, found),) = [(name, one) for name, one in self.all_resources().items() if f"/{name}".endswith(f"/{path}")]
        return found

    def all_nested(self) -> dict[str, Stack]:
        """Returns the nested stacks at any depth, by logical id."""
        found = dict(self.nested)
        for stack in self.nested.values():
            found |= stack.all_nested()
        return found


def resolve(
    path: Path,
    parameters: dict[str, str],
    pseudo: dict[str, str] | None = None,
    outputs: dict[str, dict[str, str]] | None = None,
) -> Stack:
    """Returns the stack that these parameters would create. Missing parameters get their defaults.

    `outputs` contains the outputs of deployed nested stacks by logical id. Outputs of other stacks are placeholders.
    """
    return Resolver(path, parameters, PSEUDO_PARAMETERS | (pseudo or {}), outputs or {}).stack()


class Resolver:
    def __init__(self, path: Path, parameters: dict, pseudo: dict[str, str], deployed: dict[str, dict[str, str]]):
        self.path, self.pseudo, self.deployed = path, pseudo, deployed
        # `where` is the current part of the template, for messages. `at` is the resource that gets the dependencies.
        self.where = path.name
        self.at: str | None = None
        self.template = self.read(parameters)
        declared = self.template.get("Parameters", {})
        if unknown := set(parameters) - set(declared):
            raise DanglingReference(f"{path.name} has no parameter {', '.join(sorted(unknown))}")
        if missing := {name for name, one in declared.items() if "Default" not in one} - set(parameters):
            raise DanglingReference(f"{path.name} needs {', '.join(sorted(missing))}")
        defaults = {name: str(one["Default"]) for name, one in declared.items() if "Default" in one}
        self.parameters = defaults | {name: str(value) for name, value in parameters.items()}
        for name, value in self.parameters.items():
            self.check_value(name, declared[name], value)
        self.conditions = self.template.get("Conditions", {})
        self.made = Stack()

    def read(self, parameters: dict) -> dict:
        """Returns the template. A subclass can apply transforms with these parameters."""
        return read_template(self.path)

    def check_value(self, name: str, declared: dict, value: str) -> None:
        allowed = [str(one) for one in declared.get("AllowedValues", [])]
        if allowed and value not in allowed:
            raise Refused(f"{name} is {value!r}, allowed are {allowed}")
        pattern = declared.get("AllowedPattern")
        if pattern and not value.startswith("<") and not re.fullmatch(pattern, value):
            raise Refused(f"{name} is {value!r}: {declared.get('ConstraintDescription', pattern)}")

    def stack(self) -> Stack:
        self.check_rules()
        resources = self.template["Resources"]
        self.active = {name for name, one in resources.items() if self.holds(one)}
        for name in self.active:
            if resources[name]["Type"] == "AWS::CloudFormation::Stack":
                self.nest(name)
        for name in sorted(self.active):
            resource = resources[name]
            self.where, self.at = f"{self.path.name}: {name}", name
            depends_on = resource.get("DependsOn", [])
            for other in [depends_on] if isinstance(depends_on, str) else depends_on:
                self.reference(other)
            self.made.resources[name] = {
                "Type": resource["Type"],
                "Properties": self.value(resource.get("Properties", {})),
            }
        self.at = None
        for name, output in self.template.get("Outputs", {}).items():
            if self.holds(output):
                self.where = f"{self.path.name}: output {name}"
                self.made.outputs[name] = self.value(output["Value"])
                self.value(output.get("Export", {}))
        return self.made

    def nest(self, name: str) -> Stack:
        """Returns the nested stack. Resolves it on first use."""
        if name not in self.made.nested:
            before, self.where, self.at = self.at, f"{self.path.name}: {name}", name
            properties = self.template["Resources"][name]["Properties"]
            values = {key: self.value(one) for key, one in properties.get("Parameters", {}).items()}
            child = self.path.parent / properties["TemplateURL"]
            nested_pseudo = self.pseudo | {"AWS::StackName": f"{self.pseudo['AWS::StackName']}-{name}-1ABCDEFGHIJ2K"}
            self.made.nested[name] = type(self)(child, values, nested_pseudo, self.deployed).stack()
            self.at = before
        return self.made.nested[name]

    def check_rules(self) -> None:
        for rule in self.template.get("Rules", {}).values():
            if self.condition(rule.get("RuleCondition", {"Fn::Equals": ["", ""]})):
                for one in rule["Assertions"]:
                    if not self.condition(one["Assert"]):
                        raise Refused(one["AssertDescription"])

    def holds(self, part: dict) -> bool:
        return "Condition" not in part or self.condition({"Condition": part["Condition"]})

    def condition(self, expression: dict) -> bool:
        ((name, argument),) = expression.items()
        if name == "Condition":
            if argument not in self.conditions:
                raise DanglingReference(f"{self.path.name} has no condition {argument}")
            return self.condition(self.conditions[argument])
        if name == "Fn::Equals":
            left, right = (str(self.operand(one)) for one in argument)
            return left == right
        if name == "Fn::Contains":
            values, value = argument
            return self.operand(value) in [self.operand(one) for one in values]
        if name == "Fn::Not":
            return not self.condition(argument[0])
        if name in ("Fn::And", "Fn::Or"):
            # Evaluates all operands, even if the result is already known, to find references to missing names.
            values = [self.condition(one) for one in argument]
            return all(values) if name == "Fn::And" else any(values)
        raise DanglingReference(f"{self.path.name}: a condition uses {name}")

    def operand(self, one: Any) -> Any:
        if not isinstance(one, dict):
            return one
        if list(one) != ["Ref"] or one["Ref"] not in self.parameters | self.pseudo:
            raise DanglingReference(f"{self.path.name}: a condition refers to {one}, which is no parameter")
        return (self.parameters | self.pseudo)[one["Ref"]]

    def value(self, part: Any) -> Any:
        """Resolves the intrinsic functions in a part of the template.

        `<Name>` and `<Name.Attribute>` are placeholders for values that are known only after deployment.
        """
        if isinstance(part, list):
            return [one for one in map(self.value, part) if one is not NO_VALUE]
        if not isinstance(part, dict):
            return part
        if len(part) == 1:
            ((name, argument),) = part.items()
            if name == "Ref":
                return NO_VALUE if argument == "AWS::NoValue" else self.reference(argument)
            if name == "Fn::GetAtt":
                return self.attribute(*argument)
            if name == "Fn::If":
                condition, then, otherwise = argument
                return self.value(then if self.condition({"Condition": condition}) else otherwise)
            if name == "Fn::Sub":
                return self.substitute(argument)
            if name == "Fn::Split":
                separator, text = argument
                text = self.value(text)
                return (
                    text.split(separator) if isinstance(text, str) and not text.startswith("<") else f"<{name} {text}>"
                )
            if name == "Fn::Select":
                return self.select(*argument)
            if name == "Fn::Join":
                separator, parts = argument
                parts = self.value(parts)
                return separator.join(map(str, parts)) if isinstance(parts, list) else parts
            if name.startswith("Fn::"):
                return f"<{name} {self.value(argument)}>"
        resolved = {key: self.value(one) for key, one in part.items()}
        return {key: one for key, one in resolved.items() if one is not NO_VALUE}

    def select(self, index: Any, items: Any) -> Any:
        items = self.value(items)
        if not isinstance(items, list):
            return f"<Fn::Select {[index, items]}>"
        if not 0 <= int(index) < len(items) or items[int(index)] == "":
            raise DanglingReference(f"{self.where} selects item {index} of {items}")
        return items[int(index)]

    def reference(self, name: str) -> Any:
        if name in self.parameters:
            is_list = self.template["Parameters"][name]["Type"] == "CommaDelimitedList"
            return self.parameters[name].split(",") if is_list else self.parameters[name]
        if name in self.pseudo:
            return self.pseudo[name]
        # SAM supports references to resources that it generates for another resource, such as Function.Alias.
        logical_id = name.split(".")[0]
        if logical_id not in self.template["Resources"]:
            raise DanglingReference(f"{self.where} refers to {name}, which nothing defines")
        if logical_id not in self.active:
            raise DanglingReference(f"{self.where} refers to {name}, whose condition is false")
        if self.at:
            self.made.edges.setdefault(self.at, set()).add(logical_id)
        return self.physical_id(name)

    def physical_id(self, name: str) -> str:
        """Returns a placeholder for the value of Ref. A subclass can return the actual value."""
        return f"<{name}>"

    def physical_attribute(self, name: str, attribute: str) -> str:
        """Returns a placeholder for the value of GetAtt. A subclass can return the actual value."""
        return f"<{name}.{attribute}>"

    def attribute(self, name: str, attribute: str) -> Any:
        self.reference(name)
        if not attribute.startswith("Outputs."):
            return self.physical_attribute(name, attribute)
        where, output = self.where, attribute.removeprefix("Outputs.")
        outputs = self.nest(name).outputs
        self.where = where
        if output not in outputs:
            raise DanglingReference(f"{self.where} refers to the output {output} of {name}, which is not there")
        if output in self.deployed.get(name, {}):
            return self.deployed[name][output]
        return outputs[output] if isinstance(outputs[output], str) else f"<{name}.{attribute}>"

    def substitute(self, argument: Any) -> str:
        text, given = argument if isinstance(argument, list) else (argument, {})
        given = {key: self.value(one) for key, one in given.items()}

        def put(match: re.Match) -> str:
            name = match[1].strip()
            if name in given:
                return str(given[name])
            if "." in name and name.split(".")[0] in self.template["Resources"]:
                return str(self.attribute(*name.split(".", 1)))
            return str(self.reference(name))

        return re.sub(r"\$\{(?!!)([^}]+)\}", put, text).replace("${!", "${")
