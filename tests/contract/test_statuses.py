"""Each documented status is reached, or has a reason why no test can reach it here. Also tests rules that the schema
cannot express."""

import base64
import datetime
import gzip
import json
import re
import uuid

import boto3
import pytest
import requests

import contract

DOCUMENT = contract.load()
AD = "7d9f8a52-1c3e-4b6d-8f20-5a4e3c2b1d09"
MIB = 1024 * 1024


def now():
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def types():
    """Yields for each event type its name, and (its part of operation ids, time field, example event without an id)."""
    for schema in sorted((contract.ROOT / "events").glob("*.json")):
        event_type = json.loads(schema.read_text(encoding="utf-8"))
        if "x-time" in event_type:
            content = DOCUMENT["paths"][f"/{schema.stem}"]["post"]["requestBody"]["content"]["text/plain"]
            (event,) = json.loads(content["examples"]["beacon"]["value"])[schema.stem]
            pascal = "".join(word.capitalize() for word in schema.stem.split("_"))
            yield schema.stem, (pascal, event_type["x-time"], event)


TYPES = dict(types())


def batch(kind, count=1):
    _, time, event = TYPES[kind]
    return {kind: [event | {time: now()}] * count}


def post(kind, body=None, content_type="application/json"):
    def send(target):
        data = body(kind) if callable(body) else body
        data = json.dumps(batch(kind)) if data is None else data
        return requests.post(f"{target.base_url}/{kind}", data=data, headers={"Content-Type": content_type}, timeout=30)

    return send


def preflight(path, method):
    def send(target):
        headers = {"Origin": "https://www.example.com", "Access-Control-Request-Method": method}
        return requests.options(f"{target.base_url}{path}", headers=headers, timeout=30)

    return send


def traffic(headers=None, **query):
    def send(target):
        url = f"{target.base_url}/traffic/{AD}"
        return requests.get(url, params=query, headers=target.headers | (headers or {}), timeout=30)

    return send


def traffic_again(target):
    etag = traffic()(target).headers["ETag"]
    return traffic({"If-None-Match": etag})(target)


REACHED = {
    ("getTraffic", 200): traffic(),
    ("getTraffic", 304): traffic_again,
    ("getTraffic", 400): traffic(start="2026-11-02", end="2026-11-01"),
    ("preflightTraffic", 204): preflight(f"/traffic/{AD}", "GET"),
}
for kind, (pascal, _, _) in TYPES.items():
    capture = f"capture{pascal}"
    REACHED |= {
        (f"preflight{pascal}", 204): preflight(f"/{kind}", "POST"),
        (capture, 200): post(kind),
        (capture, 400): post(kind, body=lambda kind: json.dumps(batch(kind, 501))),
        (capture, 413): post(kind, body=lambda kind: json.dumps(batch(kind)).ljust(MIB + 1)),
        (capture, 415): post(kind, content_type="application/xml"),
    }

# Statuses that no request to a healthy local stack gets. If a unit test covers a status, it is named and must exist.
CAPTURE_TESTS = "crates/capture/src/handler.rs"
TRAFFIC_TESTS = "crates/ad-traffic/src/handler.rs"
OUT_OF_REACH = {
    (
        "capture",
        500,
    ): "The function has no such answer of its own: it is API Gateway's, for a fault of its integration.",
    ("capture", 503): (
        "Firehose would have to be down.",
        CAPTURE_TESTS,
        "when_nothing_could_be_stored_the_client_is_asked_to_retry",
    ),
    (
        "getTraffic",
        403,
    ): "API Gateway answers it for a missing key; the local stack asks for none, and the emulator would not check it.",
    ("getTraffic", 500): (
        "DynamoDB would have to refuse the function.",
        TRAFFIC_TESTS,
        "errors_have_a_code_and_a_reason",
    ),
    ("getTraffic", 503): ("DynamoDB would have to be down.", TRAFFIC_TESTS, "errors_have_a_code_and_a_reason"),
    ("preflight", 500): "The function answers by constant; a 500 is API Gateway's.",
    ("any", 429): "API Gateway throttles; the emulator does not.",
    ("any", 502): "The function would have to crash, which no request makes it do.",
    ("any", 504): "The function gives up long before API Gateway does.",
}


def out_of_reach(operation_id, status):
    group = re.match("capture|preflight|getTraffic", operation_id)[0]
    return OUT_OF_REACH.get((group, status)) or OUT_OF_REACH.get(("any", status))


DOCUMENTED = [
    pytest.param(operation_id, status, response, id=f"{operation_id}-{status}")
    for operation_id, _, _, operation in contract.operations(DOCUMENT)
    for status, response in contract.responses(DOCUMENT, operation).items()
]


@pytest.mark.parametrize(("operation_id", "status", "described"), DOCUMENTED)
def test_each_documented_status_is_returned(operation_id, status, described, target):
    send = REACHED.get((operation_id, status))
    reason = out_of_reach(operation_id, status)
    assert bool(send) != bool(reason), "either a request reaches it, or a reason says why none can"
    if not send:
        if isinstance(reason, tuple):
            _, file, test = reason
            assert f"fn {test}(" in (contract.ROOT / file).read_text(encoding="utf-8")
        return
    response = send(target)
    assert response.status_code == status, response.text
    for name in described.get("headers", {}):
        if name not in ("Vary", "Retry-After"):  # Vary is sent only if some, but not all, origins are allowed.
            assert name in response.headers, f"{name} is documented"
    if "content" in described:
        media_type, body = next(iter(described["content"].items()))
        assert response.headers["Content-Type"] == media_type
        assert contract.errors(DOCUMENT, body["schema"], response.json()) == []
    else:
        assert response.content == b""


@pytest.mark.parametrize("kind", TYPES)
def test_a_body_of_one_mib_is_read(kind, target):
    response = post(kind, body=lambda kind: json.dumps(batch(kind)).ljust(MIB))(target)
    assert (response.status_code, response.json()["failed_count"]) == (200, 0)


def packed(kind, content, coding="gzip"):
    def send(target):
        headers = {"Content-Type": "application/json", "Content-Encoding": coding}
        return requests.post(f"{target.base_url}/{kind}", data=content, headers=headers, timeout=30)

    return send


@pytest.mark.parametrize("kind", TYPES)
def test_a_gzip_body_is_a_batch(kind, target):
    body = json.dumps(batch(kind, 500)).encode()
    for content in (gzip.compress(body), gzip.compress(body[:99]) + gzip.compress(body[99:])):
        response = packed(kind, content)(target)
        assert (response.status_code, response.json()["failed_count"]) == (200, 0), response.text


@pytest.mark.parametrize("kind", TYPES)
def test_a_body_may_decompress_to_one_mib_and_no_more(kind, target):
    body = json.dumps(batch(kind)).encode()
    response = packed(kind, gzip.compress(body.ljust(MIB)))(target)
    assert (response.status_code, response.json()["failed_count"]) == (200, 0)
    bombs = [body.ljust(MIB + 1), bytes(MIB + 1)]
    for bomb in bombs:
        response = packed(kind, gzip.compress(bomb))(target)
        assert (response.status_code, response.json()["error_code"]) == (413, "PayloadTooLarge"), response.text


@pytest.mark.parametrize("kind", TYPES)
def test_a_body_that_cannot_be_decompressed_is_refused(kind, target):
    whole = gzip.compress(json.dumps(batch(kind)).encode())
    for content in (whole[:-1], whole[:20], whole + b"x"):
        response = packed(kind, content)(target)
        # On AWS, API Gateway rejects the body with 415. Behind the emulator, the function rejects it with 400.
        assert response.status_code == (400 if target.is_emulator else 415), response.text
        assert contract.errors(DOCUMENT, DOCUMENT["components"]["schemas"]["Error"], response.json()) == []
    response = packed(kind, whole, coding="br")(target)
    assert (response.status_code, response.json()["error_code"]) == (415, "UnsupportedMediaType")


@pytest.mark.parametrize("kind", TYPES)
def test_the_function_decompresses_a_gzip_body(kind, target):
    """API Gateway decompresses bodies itself, except for an API with binary media types. This test covers that case."""
    if not target.is_emulator:
        pytest.skip("who may call the API need not be allowed to invoke its functions")
    functions, suffix = boto3.client("lambda"), kind.replace("_", "-")
    names = [
        one["FunctionName"]
        for page in functions.get_paginator("list_functions").paginate()
        for one in page["Functions"]
    ]
    (name,) = [
        name for name in names if name.endswith(f"-capture-{suffix}") and not name.endswith(f"-check-capture-{suffix}")
    ]

    def invoke(content):
        event = {
            "httpMethod": "POST",
            "path": f"/{kind}",
            "headers": {"Content-Type": "application/json", "Content-Encoding": "gzip"},
            "requestContext": {"stage": "Prod", "httpMethod": "POST"},
            "body": base64.b64encode(content).decode(),
            "isBase64Encoded": True,
        }
        answer = json.loads(functions.invoke(FunctionName=name, Payload=json.dumps(event))["Payload"].read())
        return answer["statusCode"], json.loads(answer["body"])

    body = json.dumps(batch(kind, 500)).encode()
    status, answer = invoke(gzip.compress(body))
    assert (status, answer["failed_count"], len(answer["records"])) == (200, 0, 500)
    assert invoke(gzip.compress(body.ljust(MIB)))[0] == 200
    for content, expected in [
        (gzip.compress(body.ljust(MIB + 1)), (413, "PayloadTooLarge")),
        (gzip.compress(bytes(MIB)) * 900, (413, "PayloadTooLarge")),
        (gzip.compress(body)[:-1], (400, "InvalidGzip")),
        (gzip.compress(body) + b"x", (400, "InvalidGzip")),
    ]:
        status, answer = invoke(content)
        assert (status, answer["error_code"]) == expected


@pytest.mark.parametrize("kind", TYPES)
def test_a_page_may_send_json_as_a_beacon(kind, target):
    """The preflight response allows exactly this origin, with credentials. Browsers require both for a beacon."""
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    answer = requests.options(f"{target.base_url}/{kind}", headers=asked, timeout=30)
    sent = requests.post(f"{target.base_url}/{kind}", json=batch(kind), headers={"Origin": asked["Origin"]}, timeout=30)
    for response in (answer, sent):
        assert response.headers["Access-Control-Allow-Origin"] == asked["Origin"]
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
        assert response.headers["Vary"] == "Origin"
    allowed = answer.headers["Access-Control-Allow-Headers"].split(", ")
    assert set(allowed) == {"content-encoding", "content-type"}


@pytest.mark.parametrize("kind", TYPES)
def test_499_valid_events_are_stored_next_to_an_invalid_one(kind, target):
    events = batch(kind, 500)[kind]
    events[123] = {name: value for name, value in events[123].items() if name != TYPES[kind][1]}
    answer = post(kind, body=json.dumps({kind: events}))(target).json()
    assert answer["failed_count"] == 1
    assert answer["records"][123]["error_code"] == "MissingField"
    ids = [record["id"] for place, record in enumerate(answer["records"]) if place != 123]
    assert len(set(ids)) == 499


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/impressions"), ("DELETE", "/clicks"), ("POST", f"/traffic/{AD}")]
)
def test_an_unsupported_method_is_answered_with_the_supported_ones(method, path, target):
    response = requests.request(method, f"{target.base_url}{path}", timeout=30)
    if target.is_emulator:
        # The emulator does not support x-amazon-apigateway-any-method, which routes these methods to the functions.
        # Unit tests check the functions' answers: options_is_answered_and_get_is_refused (capture),
        # errors_have_a_code_and_a_reason (ad-traffic).
        assert (response.status_code, response.json()) == (403, {"message": "Missing Authentication Token"})
        return
    assert response.status_code == 405
    methods = {
        other for _, other, template, _ in contract.operations(DOCUMENT) if template.split("/")[1] == path.split("/")[1]
    }
    assert set(response.headers["Allow"].split(", ")) == methods
    assert response.json()["error_code"] == "MethodNotAllowed"


def test_pages_can_be_read_to_the_end(target, traffic_table):
    ad_id = str(uuid.uuid4())
    days = [f"2026-03-{day:02}" for day in range(1, 26)]
    with traffic_table.batch_writer() as writer:
        for place, day in enumerate(days):
            writer.put_item(Item={"ad_id": ad_id, "day": day, "impressions": 10 * place, "clicks": place})
    url = f"{target.base_url}/traffic/{ad_id}"
    query = {"start": "2026-03-01", "end": "2026-03-31", "limit": 10}
    seen, page = [], {}
    for _ in range(4):
        response = requests.get(url, params=query | page, headers=target.headers, timeout=30)
        assert response.status_code == 200, response.text
        answer = response.json()
        assert answer["count"] == len(answer["days"]) <= 10
        assert (answer["start"], answer["end"]) == (query["start"], query["end"])
        seen += answer["days"]
        if "next" not in answer:
            break
        page = {"page": answer["next"]}
    assert [day["day"] for day in seen] == days
    assert seen[0]["clickthrough_rate"] == 0 and seen[24] == {
        "day": "2026-03-25",
        "impressions": 240,
        "clicks": 24,
        "clickthrough_rate": 0.1,
    }
    other = requests.get(url, params=query | page | {"end": "2026-03-30"}, headers=target.headers, timeout=30)
    assert (other.status_code, other.json()["error_code"]) == (400, "InvalidPage")
