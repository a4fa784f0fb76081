"""Where the stack under test is. Everything comes from the environment:

DATALESS_BASE_URL          base URL of the API, the stack's output BaseURL (required)
DATALESS_BUCKET            the data lake bucket, the stack's output DataLakeBucket (for the browser tests)
DATALESS_TABLE             the traffic table, the stack's output AdTrafficTable (for the tests of paging)
DATALESS_API_KEY           the key of the traffic route, where the stack asks for one
DATALESS_CHROMIUM          the browser to use instead of one on the PATH
DATALESS_DELIVERY_SECONDS  how long an event may take to S3: 30, or DeliveryBufferIntervalSeconds and some more on AWS
AWS_ENDPOINT_URL and the like, as the AWS SDK reads them. An endpoint means an emulator, which lacks some of API Gateway
"""

import os
from dataclasses import dataclass

import boto3
import pytest


def required(name):
    value = os.environ.get(name)
    if not value:
        pytest.fail(f"{name} is not set: these tests need a running stack, see tests/conftest.py", pytrace=False)
    return value


@dataclass(frozen=True)
class Target:
    base_url: str
    api_key: str | None
    delivery_seconds: float
    is_emulator: bool

    @property
    def headers(self):
        return {"x-api-key": self.api_key} if self.api_key else {}


@pytest.fixture(scope="session")
def target():
    return Target(
        base_url=required("DATALESS_BASE_URL").rstrip("/"),
        api_key=os.environ.get("DATALESS_API_KEY"),
        delivery_seconds=float(os.environ.get("DATALESS_DELIVERY_SECONDS", "30")),
        is_emulator="AWS_ENDPOINT_URL" in os.environ,
    )


@pytest.fixture(scope="session")
def bucket():
    """The data lake bucket."""
    return boto3.resource("s3").Bucket(required("DATALESS_BUCKET"))


@pytest.fixture(scope="session")
def traffic_table():
    return boto3.resource("dynamodb").Table(required("DATALESS_TABLE"))
