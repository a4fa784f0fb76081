"""api.yaml as plain OpenAPI: with CloudFormation functions resolved, and without keys that are not OpenAPI."""

import copy
import re
from fractions import Fraction
from pathlib import Path

import yaml
from jsonschema import Draft4Validator, FormatChecker, ValidationError
from jsonschema.validators import extend

ROOT = Path(__file__).resolve().parents[2]
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def load(has_api_key=False):
    """Returns the contract of a stack with or without an API key for the traffic route."""
    document = yaml.safe_load((ROOT / "api.yaml").read_text(encoding="utf-8"))
    return _resolve(document, {"HasTrafficApiKey": has_api_key})


_NO_VALUE = object()


def _resolve(node, conditions):
    if isinstance(node, list):
        items = (_resolve(item, conditions) for item in node)
        return [item for item in items if item is not _NO_VALUE]
    if not isinstance(node, dict):
        return node
    if set(node) == {"Fn::If"}:
        condition, yes, no = node["Fn::If"]
        return _resolve(yes if conditions[condition] else no, conditions)
    if node == {"Ref": "AWS::NoValue"}:
        return _NO_VALUE
    if set(node) == {"Fn::Sub"} and node["Fn::Sub"].startswith("${AWS::StackName}-"):
        return node["Fn::Sub"].replace("${AWS::StackName}", "dataless")
    unknown = [key for key in node if key == "Ref" or str(key).startswith("Fn::")]
    # The result has no x-amazon- keys, such as the integration. Clients do not need them.
    if unknown:
        raise ValueError(f"{node} is not resolved by the tests: teach contract.py to")
    return {key: _resolve(value, conditions) for key, value in node.items() if not str(key).startswith("x-amazon-")}


def operations(document):
    """Yields (operationId, method, path, operation) for each operation."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield item[method]["operationId"], method.upper(), path, item[method]


def deref(document, node):
    while isinstance(node, dict) and "$ref" in node:
        target = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def responses(document, operation):
    return {int(status): deref(document, response) for status, response in operation["responses"].items()}


# The OpenAPI 3.0 schemas in api.yaml use only features of JSON Schema draft 4.
FORMATS = FormatChecker(formats=["date", "uuid"])


def multiple_of(validator, step, value, schema):
    """Compares decimal values. As floats, 47.03 is not a multiple of 0.01."""
    if validator.is_type(value, "number") and Fraction(str(value)) % Fraction(str(step)):
        yield ValidationError(f"{value} is not a multiple of {step}")


Validator = extend(Draft4Validator, {"multipleOf": multiple_of})


def errors(document, schema, value):
    """Returns the errors of a value as strings."""
    rooted = schema | {"components": document.get("components", {})}
    validator = Validator(rooted, format_checker=FORMATS)
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(value)]


def media_types_with_json_text_as_json(document):
    """Returns a copy in which a text/plain body has the schema of its JSON.

    OpenAPI 3.0 cannot describe JSON in a text body, so api.yaml only says "The same JSON as text". A data generator
    would send any text.
    """
    document = copy.deepcopy(document)
    for _, _, _, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {})
        if "text/plain" in content:
            content["text/plain"] = {"schema": content["application/json"]["schema"]}
    return document


def is_day(text):
    return bool(re.fullmatch(r"\d{4}-\d{2}-\d{2}", text)) and not errors({}, {"format": "date"}, text)
