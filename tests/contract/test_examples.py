"""The examples in api.yaml match their schemas."""

import json

import pytest
from jsonschema import Draft4Validator

import contract

DOCUMENT = contract.load()


def media_types():
    """Yields the place, and the media type object with schema and examples, of each documented body."""
    for operation_id, _, _, operation in contract.operations(DOCUMENT):
        contents = {"request": operation.get("requestBody", {}).get("content", {})}
        for status, response in contract.responses(DOCUMENT, operation).items():
            contents[str(status)] = response.get("content", {})
        for where, content in contents.items():
            for media_type, described in content.items():
                yield f"{operation_id} {where} {media_type}", described


@pytest.mark.parametrize(("where", "described"), [pytest.param(*case, id=case[0]) for case in media_types()])
def test_every_body_has_valid_examples(where, described):
    assert described.get("examples"), f"{where} has no example"
    for name, example in described["examples"].items():
        assert contract.errors(DOCUMENT, described["schema"], example["value"]) == [], f"{where}: {name}"


def parameters():
    for operation_id, _, _, operation in contract.operations(DOCUMENT):
        for parameter in operation.get("parameters", []):
            if "example" in parameter:
                yield f"{operation_id} {parameter['name']}", parameter


@pytest.mark.parametrize(("where", "parameter"), [pytest.param(*case, id=case[0]) for case in parameters()])
def test_the_example_of_a_parameter_is_valid(where, parameter):
    assert contract.errors(DOCUMENT, parameter["schema"], parameter["example"]) == []


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param(operation, id=name)
        for name, _, _, operation in contract.operations(DOCUMENT)
        if "requestBody" in operation
    ],
)
def test_the_text_of_a_beacon_is_a_json_batch_of_the_route(operation):
    content = operation["requestBody"]["content"]
    for example in content["text/plain"]["examples"].values():
        batch = json.loads(example["value"])
        assert contract.errors(DOCUMENT, content["application/json"]["schema"], batch) == []


def test_the_schemas_are_valid_json_schemas():
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft4Validator.check_schema(schema)


def test_only_the_traffic_route_requires_the_api_key():
    for has_api_key, expected in [(False, []), (True, [{"ApiKey": []}])]:
        for operation_id, _, _, operation in contract.operations(contract.load(has_api_key)):
            assert operation.get("security", []) == (expected if operation_id == "getTraffic" else []), operation_id
