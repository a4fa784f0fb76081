"""An account that moto plays, and answers of what moto does not have."""

import sys
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "delivery"))

from account.calls import Account  # noqa: E402
from account.deployments import PIPELINE, WAREHOUSE, Deployment  # noqa: E402


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """None of the user's own settings."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def aws():
    """One for all tests: it keeps the services' models, which take long to read."""
    return boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing")


@pytest.fixture
def account(aws):
    with mock_aws():
        account = Account(aws, "us-east-1")
        account.identify()
        yield account


@pytest.fixture
def stub(account):
    """Answers the next call of an operation: with a response, which is checked against the service's model, or an error."""

    def stub(service, operation, response=None, error=None, message=""):
        client = account.client(service)
        stubber = client.meta.stubber = getattr(client.meta, "stubber", None) or Stubber(client)
        if error:
            stubber.add_client_error(operation, service_error_code=error, service_message=message)
        else:
            stubber.add_response(operation, response)
        stubber.activate()

    return stub


@pytest.fixture
def pipeline():
    return Deployment("shop", PIPELINE, "deploy another pipeline")


@pytest.fixture
def warehouse():
    return Deployment("shop-main", WAREHOUSE, "deploy another warehouse", "config/main.json")
