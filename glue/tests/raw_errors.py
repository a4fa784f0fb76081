"""What Firehose sets aside."""

import base64
import json
from datetime import UTC, datetime


def milliseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() * 1000)


def record(received: str, *lines: str, **more) -> bytes:
    """A record as Firehose writes it, of many lines as the beacons put them.

    https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-failure-handling.html
    """
    data = "".join(line + "\n" for line in lines).encode()
    fields = {
        "attemptsMade": 301,
        "arrivalTimestamp": milliseconds(received),
        "errorCode": "Lambda.InvokeLimitExceeded",
        "errorMessage": "The Lambda concurrency limit was exceeded.",
        "attemptEndingTimestamp": milliseconds(received) + 18_000_000,
        "rawData": base64.b64encode(data).decode(),
        "lambdaArn": "arn:aws:lambda:us-east-1:123456789012:function:dataless-metrics-sink:live",
    }
    return json.dumps(fields | more).encode() + b"\n"
