"""`api.yaml` uses only what API Gateway can import.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html#api-gateway-known-issues-rest-apis
"""

import re

import yaml

from templates import ROOT

API = yaml.safe_load((ROOT / "api.yaml").read_text(encoding="utf-8"))
METHODS = {"get", "put", "post", "delete", "options", "head", "patch"}

# Keywords and number formats that API Gateway's models do not support.
UNKNOWN_KEYWORDS = {
    "anyOf",
    "oneOf",
    "discriminator",
    "exclusiveMinimum",
    "readOnly",
    "example",
    "nullable",
    "deprecated",
}
UNKNOWN_FORMATS = {"int32", "int64"}


def schemas(part):
    """Yields a part of the document and all schemas below it."""
    if isinstance(part, list):
        for one in part:
            yield from schemas(one)
    elif isinstance(part, dict):
        yield part
        for name, one in part.items():
            if name not in ("properties", "examples"):
                yield from schemas(one)
            elif name == "properties":
                yield from schemas(list(one.values()))


def test_every_response_is_inline():
    """API Gateway does not support a reference in place of a response."""
    responses = [
        (f"{method} {path} {status}", response)
        for path, item in API["paths"].items()
        for method, operation in item.items()
        if method in METHODS
        for status, response in operation["responses"].items()
    ]
    assert len(responses) > 20
    assert [where for where, response in responses if "$ref" in response] == []
    assert "responses" not in API["components"]


def test_models_use_only_supported_keywords():
    models = API["components"]["schemas"]
    assert all(re.fullmatch("[A-Za-z0-9]+", name) for name in models)
    for name, model in models.items():
        for schema in schemas(model):
            assert not UNKNOWN_KEYWORDS & set(schema), name
            assert schema.get("format") not in UNKNOWN_FORMATS, name
