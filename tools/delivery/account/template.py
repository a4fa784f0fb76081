"""What a template would make, as far as it is known before anything is made: types, names, numbers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import templates


class Unknown(Exception):
    """Only a deployment gives the value, such as the ARN of a resource."""


@dataclass(frozen=True)
class Resource:
    type: str
    properties: dict
    template: "Template"

    def value(self, name: str) -> Any:
        """A property's value; `None` when it is not set or not known yet."""
        try:
            return self.template.value(self.properties[name]) if name in self.properties else None
        except Unknown:
            return None


class Template:
    def __init__(self, path: Path, parameters: dict[str, Any], pseudo: dict[str, str]):
        self.path, self.content, self.pseudo = path, templates.read(path), pseudo
        defaults = {name: one.get("Default") for name, one in self.content.get("Parameters", {}).items()}
        # Compared as text, as CloudFormation does.
        self.parameters = {
            name: None if value is None else str(value) for name, value in (defaults | parameters).items()
        }

    def parameter(self, name: str) -> str:
        """Its value; blank when it has none."""
        return self.parameters.get(name) or ""

    def resources(self) -> Iterator[Resource]:
        """What is made with these parameters, nested stacks included. A condition that is not known yet counts as true."""
        for resource in self.content["Resources"].values():
            if "Condition" in resource and not self.may_hold(resource["Condition"]):
                continue
            properties = resource.get("Properties", {})
            yield Resource(resource["Type"], properties, self)
            if resource["Type"] == "AWS::CloudFormation::Stack":
                yield from self.nested(properties).resources()

    def nested(self, properties: dict) -> "Template":
        parameters = {name: self.known(value) for name, value in properties.get("Parameters", {}).items()}
        # CloudFormation makes up the name of a nested stack.
        pseudo = {name: value for name, value in self.pseudo.items() if name != "AWS::StackName"}
        return Template(self.path.parent / properties["TemplateURL"], parameters, pseudo)

    def known(self, node: Any) -> Any:
        try:
            return self.value(node)
        except Unknown:
            return None

    def may_hold(self, condition: str) -> bool:
        try:
            return self.value({"Condition": condition})
        except Unknown:
            return True

    def value(self, node: Any) -> Any:
        """The value of an expression. Raises `Unknown` for one that needs a resource."""
        if not isinstance(node, dict):
            return [self.value(one) for one in node] if isinstance(node, list) else node
        if len(node) != 1:
            raise Unknown(node)
        ((function, given),) = node.items()
        match function, given:
            case "Ref", "AWS::NoValue":
                return None
            case "Ref", _:
                return self.reference(given)
            case "Condition", _:
                return self.value(self.content["Conditions"][given])
            case "Fn::Sub", [text, variables]:
                return self.substitute(text, variables)
            case "Fn::Sub", text:
                return self.substitute(text, {})
            case "Fn::If", [condition, then, otherwise]:
                return self.value(then if self.value({"Condition": condition}) else otherwise)
            case "Fn::Equals", [one, other]:
                return str(self.value(one)) == str(self.value(other))
            case "Fn::Not", [one]:
                return not self.value(one)
            case "Fn::And", conditions:
                return all(self.value(one) for one in conditions)
            case "Fn::Or", conditions:
                return any(self.value(one) for one in conditions)
            case "Fn::Join", [separator, items]:
                return separator.join(self.value(items))
            case "Fn::Split", [separator, text]:
                return self.value(text).split(separator)
            case "Fn::Select", [index, items]:
                return self.select(int(index), self.value(items))
        raise Unknown(function)

    def select(self, index: int, items: list) -> Any:
        if index >= len(items):
            raise Unknown(index)
        return items[index]

    def reference(self, name: str) -> str:
        value = self.pseudo.get(name, self.parameters.get(name))
        if value is None:
            raise Unknown(name)
        return value

    def substitute(self, text: str, variables: dict) -> str:
        def replace(found: re.Match) -> str:
            name = found[1]
            return str(self.value(variables[name]) if name in variables else self.reference(name))

        return re.sub(r"\$\{([^!}]+)\}", replace, text)
