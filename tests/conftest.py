"""Describes the stack under test. All settings come from environment variables:

DATALESS_BASE_URL          base URL of the API, the stack's output BaseURL (required)
DATALESS_BUCKET            the data lake bucket, the stack's output DataLakeBucket (for the browser tests)
DATALESS_TABLE             the traffic table, the stack's output AdTrafficTable (for the pagination tests)
DATALESS_API_KEY           the API key of the traffic route, if the stack requires one
DATALESS_CHROMIUM          the Chromium to use instead of the one on the PATH
DATALESS_DELIVERY_SECONDS  the maximum delivery time to S3: 30, or on AWS a bit more than DeliveryBufferIntervalSeconds
AWS_ENDPOINT_URL and other variables of the AWS SDK. An endpoint means an emulator, which lacks parts of API Gateway
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
    """Returns the data lake bucket."""
    return boto3.resource("s3").Bucket(required("DATALESS_BUCKET"))


@pytest.fixture(scope="session")
def traffic_table():
    return boto3.resource("dynamodb").Table(required("DATALESS_TABLE"))
