"""Tests the real metrics sink behind a delivery stream, while CloudWatch refuses one call in five."""

import base64
import io
import json
import random
import threading
import time
import urllib.error
import urllib.request
import uuid
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest

from served import required

REFUSED_SHARE = 0.2
BATCHES = 120
# All three attempts of a batch are refused once in 125 batches. With this seed, it happens within the first ones.
SEED = 24


class CloudWatch:
    """Forwards calls to the emulator, and refuses some."""

    def __init__(self, endpoint):
        self.calls = self.refused = 0
        dice = random.Random(SEED)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                proxy.calls += 1
                if dice.random() < REFUSED_SHARE:
                    proxy.refused += 1
                    return self.answer(503, {}, b"")
                request = urllib.request.Request(endpoint + self.path, data=body, method="POST")
                for name, value in self.headers.items():
                    if name.lower() not in ("host", "content-length", "connection"):
                        request.add_header(name, value)
                try:
                    with urllib.request.urlopen(request, timeout=30) as response:
                        kept = {name: response.headers[name] for name in ("content-type", "smithy-protocol")}
                        self.answer(response.status, kept, response.read())
                except urllib.error.HTTPError as error:
                    self.answer(error.code, {}, error.read())

            def answer(self, status, headers, body):
                self.send_response(status)
                for name, value in headers.items():
                    if value:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class Stream:
    """A delivery stream with its own metrics sink."""

    def __init__(self, bucket, cloudwatch_url):
        self.name = f"sink-test-{uuid.uuid4().hex[:12]}"
        self.delivery_stream = f"{self.name}-impressions"
        self.namespace = f"Test/{self.name}"
        self.prefix = f"temp/{self.name}/"
        self.bucket = bucket
        self._lambda, self._firehose = boto3.client("lambda"), boto3.client("firehose")
        role = "arn:aws:iam::000000000000:role/test"
        function = self._lambda.create_function(
            FunctionName=self.name,
            Runtime="provided.al2023",
            Handler="bootstrap",
            Role=role,
            Timeout=60,
            Code={"ZipFile": self.code(cloudwatch_url)},
            Environment={
                "Variables": {
                    "METRIC_NAMESPACE": self.namespace,
                    "STACK_NAME": self.name,
                }
            },
        )
        self._firehose.create_delivery_stream(
            DeliveryStreamName=self.delivery_stream,
            ExtendedS3DestinationConfiguration={
                "BucketARN": f"arn:aws:s3:::{bucket.name}",
                "RoleARN": role,
                "Prefix": self.prefix,
                "ProcessingConfiguration": {
                    "Enabled": True,
                    "Processors": [
                        {
                            "Type": "Lambda",
                            "Parameters": [{"ParameterName": "LambdaArn", "ParameterValue": function["FunctionArn"]}],
                        }
                    ],
                },
            },
        )

    @staticmethod
    def code(cloudwatch_url):
        """Returns the zipped function. It replaces the endpoint that the emulator sets for every function."""
        binary = Path(required("DATALESS_METRICS_SINK"))
        start = f'#!/bin/sh\nexport AWS_ENDPOINT_URL={cloudwatch_url}\nexec "$(dirname "$0")/sink"\n'
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in [("bootstrap", start.encode()), ("sink", binary.read_bytes())]:
                entry = zipfile.ZipInfo(name)
                entry.external_attr = 0o755 << 16
                archive.writestr(entry, content)
        return zipped.getvalue()

    def put(self, ids):
        rest = {"ad_id": str(uuid.UUID(int=1)), "occurred_at": "2026-11-20 12:00:00.000"}
        lines = "".join(json.dumps({"impression_id": each} | rest) + "\n" for each in ids)
        answer = self._firehose.put_record_batch(
            DeliveryStreamName=self.delivery_stream, Records=[{"Data": lines.encode()}]
        )
        assert answer["FailedPutCount"] == 0

    def stored(self):
        objects = self.bucket.objects.filter(Prefix=self.prefix)
        lines = b"".join(each.get()["Body"].read() for each in objects).splitlines()
        return [json.loads(line)["impression_id"] for line in lines]

    def failures(self):
        """Returns the metrics in the sink's log. On AWS, CloudWatch Logs extracts them."""
        pages = (
            boto3.client("logs").get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{self.name}")
        )
        messages = [line for page in pages for event in page["events"] for line in event["message"].splitlines()]
        return [json.loads(line) for line in messages if line.startswith("{") and '"_aws"' in line]

    def close(self):
        self._firehose.delete_delivery_stream(DeliveryStreamName=self.delivery_stream)
        self._lambda.delete_function(FunctionName=self.name)


@pytest.fixture
def refusing():
    cloudwatch = CloudWatch(required("AWS_ENDPOINT_URL"))
    yield cloudwatch
    cloudwatch.close()


@pytest.fixture
def stream(bucket, refusing):
    stream = Stream(bucket, refusing.url)
    yield stream
    stream.close()


def test_events_missing_in_cloudwatch_are_reported_exactly(stream, refusing, cloudwatch):
    dice = random.Random(SEED)
    sent = []
    for _ in range(BATCHES):
        ids = [str(uuid.UUID(int=dice.getrandbits(128))) for _ in range(dice.randint(1, 40))]
        stream.put(ids)
        sent += ids
    assert 0.1 < refusing.refused / refusing.calls < 0.3

    assert sorted(stream.stored()) == sorted(sent), "none is missing in S3, and none is there twice"

    now = time.time()
    answer = cloudwatch.get_metric_statistics(
        Namespace=stream.namespace,
        MetricName="Impressions",
        Dimensions=[{"Name": "Stack", "Value": stream.name}],
        StartTime=now - 3600,
        EndTime=now + 120,
        Period=60,
        Statistics=["Sum"],
    )
    counted = sum(point["Sum"] for point in answer["Datapoints"])
    failures = stream.failures()
    assert failures, "with this seed some batch is refused three times"
    for failure in failures:
        (told,) = failure["_aws"]["CloudWatchMetrics"]
        assert told["Namespace"] == stream.namespace
        assert {metric["Name"] for metric in told["Metrics"]} == {"SinkFailures", "UncountedEvents"}
        assert told["Dimensions"] == [["Stack"]] and failure["Stack"] == stream.name
        assert failure["SinkFailures"] == 1
    assert sum(failure["UncountedEvents"] for failure in failures) == len(sent) - counted > 0


def test_a_batch_at_the_limit_of_lambda_is_returned_unchanged(stream):
    data = base64.b64encode(b'{"impression_id":"x"}\n' * 40_000).decode()
    arn = f"arn:aws:firehose:us-east-1:000000000000:deliverystream/{stream.delivery_stream}"
    record = {"recordId": "4" * 56, "approximateArrivalTimestamp": int(time.time() * 1000), "data": data}
    event = {"invocationId": "i", "deliveryStreamArn": arn, "region": "us-east-1", "records": []}
    limit = 6 * 1024 * 1024
    count = (limit - len(json.dumps(event))) // (len(json.dumps(record)) + 2)
    event["records"] = [{**record, "recordId": f"{index:056}"} for index in range(count)]
    last = limit - len(json.dumps(event)) - len(json.dumps({**record, "data": ""})) - 2
    event["records"].append({**record, "data": data[: last // 4 * 4]})
    payload = json.dumps(event).encode()
    assert limit - 4 < len(payload) <= limit
    answer = boto3.client("lambda").invoke(FunctionName=stream.name, Payload=payload)
    body = answer["Payload"].read()
    assert "FunctionError" not in answer and len(body) <= limit
    expected = [{"recordId": each["recordId"], "result": "Ok", "data": each["data"]} for each in event["records"]]
    assert json.loads(body) == {"records": expected}
