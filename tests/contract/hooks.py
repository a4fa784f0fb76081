"""Rules of the API that its schema cannot express, and two checks that are stricter than those of Schemathesis."""

import datetime
import json
import re
from urllib.parse import parse_qsl, urlsplit

import schemathesis

import contract

DOCUMENT = contract.load()

# Error codes of events that match the schema: a 30th of February, and times too far from now.
BEYOND_THE_SCHEMA = {"InvalidTime", "TooEarly", "TooLate"}


@schemathesis.serializer("text/plain")
def json_as_text(ctx, value):
    return json.dumps(value).encode()


def operation_id(case):
    return case.operation.definition.raw.get("operationId")


@schemathesis.hook
def before_call(context, case, kwargs):
    """Makes valid traffic queries consistent as a whole.

    OpenAPI describes each parameter alone. It cannot express that start is not after end, that they are at most 366
    days apart, or that a page token comes from an earlier response. a_question_is_judged_as_a_whole checks these rules.
    """
    if operation_id(case) != "getTraffic" or case.method != "GET" or case.meta is None:
        return
    if not case.meta.generation.mode.is_positive or not case.query:
        return
    query = dict(case.query)
    query.pop("page", None)
    if isinstance(query.get("start"), str):
        query["end"] = query["start"]
    case.query = query


def strict(schema):
    """Returns the schema with patterns that mean the same in Python: in JSON Schema, $ matches only at the very end."""
    if isinstance(schema, dict):
        return {
            key: value.removesuffix("$") + r"\Z" if key == "pattern" and isinstance(value, str) else strict(value)
            for key, value in schema.items()
        }
    return [strict(item) for item in schema] if isinstance(schema, list) else schema


STRICT = strict(DOCUMENT)


def routes():
    """Yields for each event type (operation, (key of a batch, model of an event, field of its own id))."""
    for schema in sorted((contract.ROOT / "events").glob("*.json")):
        event_type = json.loads(schema.read_text(encoding="utf-8"))
        if "x-id" in event_type:
            pascal = "".join(word.capitalize() for word in schema.stem.split("_"))
            yield f"capture{pascal}", (schema.stem, f"{pascal}Event", event_type["x-id"])


ROUTES = dict(routes())


def read_json(body):
    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    return json.loads(body, parse_constant=refuse)


@schemathesis.check
def a_batch_is_judged_event_by_event(ctx, response, case):
    """Checks that only a batch is answered with 200, and that an event fails exactly if it violates its schema."""
    if operation_id(case) not in ROUTES or response.request.method != "POST":
        return
    key, name, own_id = ROUTES[operation_id(case)]
    content_type = response.request.headers.get("Content-Type", "application/json").split(";")[0].strip().lower()
    if content_type not in ("application/json", "text/plain"):
        assert response.status_code == 415, f"{content_type} was answered with {response.status_code}"
        return
    try:
        body = read_json(response.request.body or b"")
    except ValueError:
        assert response.status_code == 400, f"a body that is not JSON was answered with {response.status_code}"
        return
    is_batch = (
        isinstance(body, dict) and set(body) == {key} and isinstance(body[key], list) and 1 <= len(body[key]) <= 500
    )
    assert response.status_code == (200 if is_batch else 400), (
        f"{response.status_code} for a {'good' if is_batch else 'bad'} batch"
    )
    if not is_batch:
        return
    answer = response.json()
    assert len(answer["records"]) == len(body[key])
    assert answer["failed_count"] == sum(record["failed"] for record in answer["records"])
    for event, record in zip(body[key], answer["records"], strict=True):
        wrong = contract.errors(STRICT, STRICT["components"]["schemas"][name], event)
        if wrong:
            assert record["failed"], f"{event} was stored, yet {wrong}"
            assert record["error_code"] not in BEYOND_THE_SCHEMA - {"InvalidTime"}, record
        elif record["failed"]:
            assert record["error_code"] in BEYOND_THE_SCHEMA, f"{event} is good by its schema, yet {record}"
        given = not record["failed"] and own_id not in event
        assert ("id" in record) == given, f"{event} got {record}"


@schemathesis.check
def a_question_is_judged_as_a_whole(ctx, response, case):
    """Checks that a valid query gets 200 (or 304), and that any other gets 400 and the code of one of its errors."""
    if operation_id(case) != "getTraffic" or response.request.method != "GET":
        return
    url = urlsplit(response.request.url)
    if response.status_code == 404 or len(url.path.split("/traffic/")[-1].split("/")) != 1:
        return  # An empty id, or an id with a slash, matches another route.
    wrong = set()
    if not re.fullmatch(DOCUMENT["components"]["schemas"]["Id"]["pattern"], url.path.split("/")[-1]):
        wrong.add("InvalidAdId")
    query = {}
    for name, value in parse_qsl(url.query, keep_blank_values=True):
        query.setdefault(name, []).append(value)
    codes = {"start": "InvalidDay", "end": "InvalidDay", "limit": "InvalidLimit", "page": "InvalidPage"}
    wrong |= {"UnknownParameter" for name in query if name not in codes}
    wrong |= {codes[name] for name, values in query.items() if name in codes and len(values) > 1}
    wrong |= {"InvalidDay" for name in ("start", "end") for value in query.get(name, []) if not contract.is_day(value)}
    wrong |= {
        "InvalidLimit"
        for value in query.get("limit", [])
        if not re.fullmatch(r"[0-9]+", value, re.ASCII) or not 1 <= int(value) <= 100
    }
    wrong |= {"InvalidPage" for _ in query.get("page", [])}
    if "InvalidDay" not in wrong:
        day = datetime.date.fromisoformat
        yesterday = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
        start = day(query["start"][0]) if "start" in query else None
        end = day(query["end"][0]) if "end" in query else max(start or yesterday, yesterday)
        if not 0 <= (end - (start or end)).days < 366:
            wrong.add("InvalidRange")
    if wrong:
        assert response.status_code == 400, f"{response.status_code}, yet {sorted(wrong)}"
        assert response.json()["error_code"] in wrong, f"{response.json()}, not {sorted(wrong)}"
    else:
        assert response.status_code in (200, 304), f"{response.status_code} for a right question: {response.text}"
