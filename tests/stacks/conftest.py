import boto3
import pytest
from moto import mock_aws


@pytest.fixture
def aws(monkeypatch):
    """Mocks AWS with moto. The mocked account has a key pair."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        boto3.client("ec2").create_key_pair(KeyName="operators")
        yield
