"""Identifies AWS calls in requests, and writes errors of their services in the caller's protocol."""

from __future__ import annotations

import dataclasses
import json
import random
import re
import uuid
import zlib
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import cbor2

# Names in the scope of a signature, where they are not those of a target.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
SIGNED_FOR = {"monitoring": "cloudwatch"}
SCOPE = re.compile(r"/\d{8}/[^/]+/([^/]+)/aws4_request")

# https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
CBOR_PATH = re.compile(r"/service/[^/]+/operation/(\w+)$")
INVOKE_PATH = re.compile(r"/2015-03-31/functions/[^/]+/invocations$")

JSON, CBOR, QUERY, REST_JSON, XML = "json", "cbor", "query", "rest-json", "xml"


@dataclasses.dataclass(frozen=True)
class Call:
    # A service by the name of its target, or by the name that it is signed for.
    target: str
    operation: str
    protocol: str
    # Of the JSON protocol, as it was sent.
    content_type: str


@dataclasses.dataclass(frozen=True)
class Failure:
    """An error of a service."""

    status: int
    code: str
    message: str


# Throttling. "Slow down." is Firehose's own message; its status is the one in the service's reference.
# https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CommonErrors.html
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
# https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
THROTTLED = {
    "firehose": (
        Failure(500, "ServiceUnavailableException", "Slow down."),
        Failure(400, "ThrottlingException", "Rate exceeded"),
    ),
    "dynamodb": (
        Failure(
            400,
            "ProvisionedThroughputExceededException",
            "The level of configured provisioned throughput for the table was exceeded. "
            "Consider increasing your provisioning level with the UpdateTable API.",
        ),
        Failure(400, "ThrottlingException", "Rate of requests exceeds the allowed throughput."),
        Failure(400, "RequestLimitExceeded", "Throughput exceeds the current throughput limit for your account."),
    ),
    "cloudwatch": (Failure(400, "Throttling", "Rate exceeded"),),
    "s3": (Failure(503, "SlowDown", "Please reduce your request rate."),),
    "lambda": (Failure(429, "TooManyRequestsException", "Rate Exceeded."),),
}
FAILED = {
    "firehose": Failure(500, "InternalFailure", "The request processing has failed because of an unknown error."),
    "dynamodb": Failure(500, "InternalServerError", "Internal server error"),
    "cloudwatch": Failure(500, "InternalServiceError", "Request processing has failed due to an internal error."),
    "s3": Failure(500, "InternalError", "We encountered an internal error. Please try again."),
    "lambda": Failure(500, "ServiceException", "The AWS Lambda service encountered an internal error."),
}
# Where Smithy's name of an error is not the code of the query protocol.
# https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#aws-protocols-awsqueryerror-trait
SHAPES = {"InternalServiceError": "InternalServiceFault"}

# For services that are no target of their own.
THROTTLED_ELSEWHERE = (Failure(400, "ThrottlingException", "Rate exceeded"),)
FAILED_ELSEWHERE = Failure(500, "InternalFailure", "The request processing has failed because of an unknown error.")

DYNAMODB_TYPE = "com.amazonaws.dynamodb.v20120810#"
COMMON_DYNAMODB_TYPE = "com.amazon.coral.availability#"


def s3_operation(method: str, path: str, query: Mapping[str, list[str]]) -> str:
    """The operation of S3's REST API, for those that this project calls."""
    has_key = "/" in path.strip("/")
    known = {
        ("GET", True): "ListParts" if "uploadId" in query else "GetObject",
        ("HEAD", True): "HeadObject",
        ("PUT", True): "UploadPart" if "uploadId" in query else "PutObject",
        ("DELETE", True): "AbortMultipartUpload" if "uploadId" in query else "DeleteObject",
        ("POST", True): "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload",
        ("GET", False): "ListObjectVersions" if "versions" in query else "ListObjects",
        ("HEAD", False): "HeadBucket",
        ("POST", False): "DeleteObjects",
    }
    return known.get((method, has_key), method)


def signed_for(headers: Mapping[str, str], query: Mapping[str, list[str]]) -> str | None:
    credential = headers.get("authorization", "") or "".join(query.get("X-Amz-Credential", []))
    found = SCOPE.search(credential)
    return found and SIGNED_FOR.get(found[1], found[1])


def identify(method: str, raw_path: str, headers: Mapping[str, str], body: bytes) -> Call | None:
    """The call of AWS that a request is; None for one that is not signed, such as a health check. Names of headers are lower case."""
    url = urlsplit(raw_path)
    path, query = unquote(url.path), parse_qs(url.query, keep_blank_values=True)
    target = signed_for(headers, query)
    if target is None:
        return None
    content_type = headers.get("content-type", "")
    if operation := headers.get("x-amz-target"):
        return Call(target, operation.rpartition(".")[2], JSON, content_type)
    if found := CBOR_PATH.search(path):
        return Call(target, found[1], CBOR, content_type)
    if content_type.startswith("application/x-www-form-urlencoded"):
        action = parse_qs(body.decode("utf-8", "replace")).get("Action", [method])[0]
        return Call(target, action, QUERY, content_type)
    if target == "s3":
        return Call(target, s3_operation(method, path, query), XML, content_type)
    return Call(target, "Invoke" if INVOKE_PATH.search(path) else f"{method} {path}", REST_JSON, content_type)


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def throttled(call: Call, chance: random.Random) -> Answer:
    return answer(call, chance.choice(THROTTLED.get(call.target, THROTTLED_ELSEWHERE)))


def failed(call: Call) -> Answer:
    return answer(call, FAILED.get(call.target, FAILED_ELSEWHERE))


def answer(call: Call, failure: Failure) -> Answer:
    """The failure in the protocol of the call."""
    request_id = str(uuid.uuid4())
    write = {JSON: as_json, CBOR: as_cbor, QUERY: as_query, REST_JSON: as_rest_json, XML: as_xml}[call.protocol]
    headers, body = write(call, failure, request_id)
    return Answer(failure.status, {"x-amzn-requestid": request_id, **headers}, body)


def compatible(call: Call, failure: Failure) -> dict[str, str]:
    """CloudWatch's clients take the codes of the query protocol in every other one too."""
    if call.target != "cloudwatch":
        return {}
    return {"x-amzn-query-error": f"{failure.code};{'Sender' if failure.status < 500 else 'Receiver'}"}


def as_json(call: Call, failure: Failure, request_id: str) -> tuple[dict[str, str], bytes]:
    kind = SHAPES.get(failure.code, failure.code)
    if call.target == "dynamodb":
        kind = (COMMON_DYNAMODB_TYPE if failure.code == "ThrottlingException" else DYNAMODB_TYPE) + kind
    body = json.dumps({"__type": kind, "message": failure.message}).encode()
    headers = {"content-type": call.content_type or "application/x-amz-json-1.1", **compatible(call, failure)}
    if call.target == "dynamodb":
        headers["x-amz-crc32"] = str(zlib.crc32(body))
    return headers, body


def as_cbor(call: Call, failure: Failure, request_id: str) -> tuple[dict[str, str], bytes]:
    kind = "com.amazonaws.cloudwatch#" + SHAPES.get(failure.code, failure.code)
    body = cbor2.dumps({"__type": kind, "message": failure.message})
    return {"content-type": "application/cbor", "smithy-protocol": "rpc-v2-cbor", **compatible(call, failure)}, body


def as_query(call: Call, failure: Failure, request_id: str) -> tuple[dict[str, str], bytes]:
    side = "Sender" if failure.status < 500 else "Receiver"
    body = (
        f"<ErrorResponse><Error><Type>{side}</Type><Code>{failure.code}</Code>"
        f"<Message>{escape(failure.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return {"content-type": "text/xml"}, body.encode()


def as_rest_json(call: Call, failure: Failure, request_id: str) -> tuple[dict[str, str], bytes]:
    details = {"Type": "User" if failure.status < 500 else "Service", "message": failure.message}
    if failure.code == "TooManyRequestsException":
        details |= {"Reason": "ConcurrentInvocationLimitExceeded"}
    return {"content-type": "application/json", "x-amzn-errortype": failure.code}, json.dumps(details).encode()


def as_xml(call: Call, failure: Failure, request_id: str) -> tuple[dict[str, str], bytes]:
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{failure.code}</Code>'
        f"<Message>{escape(failure.message)}</Message><RequestId>{request_id}</RequestId></Error>"
    )
    return {"content-type": "application/xml", "x-amz-request-id": request_id}, body.encode()
