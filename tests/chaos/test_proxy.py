"""For each fault: the result for an AWS SDK client, and the requests that reach AWS."""

import http.client
import json
import socket

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from faulty import always, client

STREAM = "warehouse-impressions"


def firehose(request):
    """Accepts every record, and answers with an id that contains the record's data."""
    taken = [{"RecordId": f"id-of-{record['Data']}"} for record in request.json["Records"]]
    body = {"FailedPutCount": 0, "Encrypted": False, "RequestResponses": taken}
    return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(body).encode()


def put(url, *records, **config):
    return client("firehose", url, **config).put_record_batch(
        DeliveryStreamName=STREAM, Records=[{"Data": record} for record in records]
    )


def test_a_call_passes_unchanged_while_there_is_no_fault(upstream, start):
    upstream.answers = firehose
    proxy = start({**always("cut"), "at": 1000})
    answer = put(proxy.url, b"a\n", b"b\n")
    assert [entry["RecordId"] for entry in answer["RequestResponses"]] == ["id-of-YQo=", "id-of-Ygo="]
    [request] = upstream.received
    assert request.json == {"DeliveryStreamName": STREAM, "Records": [{"Data": "YQo="}, {"Data": "Ygo="}]}
    assert request.headers["X-Amz-Target"] == "Firehose_20150804.PutRecordBatch"
    assert proxy.faults() == []


def test_cut(upstream, start):
    proxy = start(always("cut", "firehose"))
    with pytest.raises(ConnectionClosedError):
        put(proxy.url, b"a\n")
    assert upstream.received == []
    [fault] = proxy.faults()
    assert fault["at"] >= 0
    assert fault.pop("time").endswith("Z")
    assert {**fault, "at": 0} == {
        "at": 0,
        "fault": "cut",
        "target": "firehose",
        "operation": "PutRecordBatch",
        "request": 1,
        "forwarded": False,
        "records": [],
    }


def test_lost_answer(upstream, start):
    upstream.answers = firehose
    proxy = start(always("lost-answer"))
    with pytest.raises(ConnectionClosedError):
        put(proxy.url, b"a\n")
    assert [request.json["Records"] for request in upstream.received] == [[{"Data": "YQo="}]]
    assert [fault["forwarded"] for fault in proxy.faults()] == [True]


def test_late_answer(upstream, start):
    upstream.answers = firehose
    proxy = start(always("late-answer", delay=60))
    with pytest.raises(ReadTimeoutError):
        put(proxy.url, b"a\n", read_timeout=1)
    assert len(upstream.received) == 1
    assert [(fault["fault"], fault["forwarded"]) for fault in proxy.faults()] == [("late-answer", True)]


def test_a_late_answer_within_the_timeout_arrives(upstream, start):
    upstream.answers = firehose
    proxy = start(always("late-answer", delay=0.2))
    assert put(proxy.url, b"a\n")["RequestResponses"] == [{"RecordId": "id-of-YQo="}]


def test_truncate(upstream, start):
    upstream.answers = firehose
    proxy = start(always("truncate"))
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=20)
    signature = "AWS4-HMAC-SHA256 Credential=test/20261120/us-east-1/firehose/aws4_request"
    headers = {"Authorization": signature, "X-Amz-Target": "Firehose_20150804.PutRecordBatch"}
    connection.request("POST", "/", json.dumps({"Records": [{"Data": "YQo="}]}), headers)
    answer = connection.getresponse()
    assert answer.status == 200
    with pytest.raises(http.client.IncompleteRead) as caught:
        answer.read()
    whole = b'{"FailedPutCount": 0, "Encrypted": false, "RequestResponses": [{"RecordId": "id-of-YQo="}]}'
    assert int(answer.headers["Content-Length"]) == len(whole) == 91
    assert caught.value.partial == whole[:45]
    assert len(upstream.received) == 1
    assert [(fault["fault"], fault["forwarded"]) for fault in proxy.faults()] == [("truncate", True)]


def test_a_truncated_object_raises_an_error(upstream, start):
    upstream.answers = lambda request: (200, {}, b"0123456789")
    proxy = start(always("truncate", "s3"))
    body = client("s3", proxy.url).get_object(Bucket="bucket", Key="key")["Body"]
    with pytest.raises((IncompleteReadError, ResponseStreamingError)):
        body.read()


def test_an_answer_without_a_body_is_truncated_in_its_headers(upstream, start):
    upstream.answers = lambda request: (200, {"ETag": '"of-the-object"'}, b"")
    proxy = start(always("truncate", "s3"))
    with socket.create_connection(("127.0.0.1", int(proxy.url.rpartition(":")[2])), timeout=20) as connection:
        signature = b"Authorization: AWS4-HMAC-SHA256 Credential=test/20261120/us-east-1/s3/aws4_request\r\n"
        connection.sendall(b"PUT /bucket/key HTTP/1.1\r\nHost: s3\r\n" + signature + b"Content-Length: 4\r\n\r\ndata")
        head = b"".join(iter(lambda: connection.recv(4096), b""))
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n" not in head
    assert [(request.path, request.body) for request in upstream.received] == [("/bucket/key", b"data")]


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "errors"),
    [
        (
            "firehose",
            "put_record_batch",
            {"DeliveryStreamName": "s", "Records": [{"Data": b"a"}]},
            {(500, "ServiceUnavailableException"), (400, "ThrottlingException"), (500, "InternalFailure")},
        ),
        (
            "dynamodb",
            "query",
            {"TableName": "t"},
            {
                (400, "ProvisionedThroughputExceededException"),
                (400, "ThrottlingException"),
                (400, "RequestLimitExceeded"),
                (500, "InternalServerError"),
            },
        ),
        (
            "cloudwatch",
            "put_metric_data",
            {"Namespace": "n", "MetricData": [{"MetricName": "m", "Value": 1}]},
            {(400, "Throttling"), (500, "InternalServiceError")},
        ),
        ("s3", "get_object", {"Bucket": "bucket", "Key": "key"}, {(503, "SlowDown"), (500, "InternalError")}),
        (
            "lambda",
            "invoke",
            {"FunctionName": "f"},
            {(429, "TooManyRequestsException"), (500, "ServiceException")},
        ),
        (
            "glue",
            "get_table",
            {"DatabaseName": "d", "Name": "n"},
            {(400, "ThrottlingException"), (500, "InternalFailure")},
        ),
    ],
)
def test_errors_are_those_of_the_service(upstream, start, service, operation, arguments, errors):
    proxy = start({**always("throttle"), "share": 0.5}, always("error-500"))
    seen = set()
    for _ in range(60):
        with pytest.raises(ClientError) as caught:
            getattr(client(service, proxy.url), operation)(**arguments)
        answer = caught.value.response
        assert answer["Error"]["Message"]
        seen.add((answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]))
    assert seen == errors
    assert upstream.received == []
    assert {fault["forwarded"] for fault in proxy.faults()} == {False}
    assert {fault["fault"] for fault in proxy.faults()} == {"throttle", "error-500"}
