"""Fixtures for an account in moto, with stubbed answers for calls that moto does not support."""

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

import runnable
import templates
from account import Finding
from account.calls import Account
from account.deployments import PIPELINE, WAREHOUSE, Deployment, deploy_pipeline


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Removes the user's AWS settings from the environment."""
    for name in (
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_ENDPOINT_URL",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(autouse=True)
def commands_can_be_run(monkeypatch):
    """Checks that the command of each finding can be run."""
    init = Finding.__init__

    def checked(self, *given, **named):
        init(self, *given, **named)
        if self.command is not None:
            runnable.check(self.command)

    monkeypatch.setattr(Finding, "__init__", checked)


@pytest.fixture(scope="session")
def aws():
    """Returns one session for all tests. It caches the services' models, which are slow to load."""
    return boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing")


@pytest.fixture
def account(aws):
    with mock_aws():
        account = Account(aws, "us-east-1")
        account.identify()
        yield account


@pytest.fixture
def stub(account):
    """Returns a function that stubs the next call of an operation.

    The answer is a response, which is validated against the service's model, or an error.
    """

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
def large(stub):
    """Returns a function that stubs sufficient quotas and an account without CodeBuild projects."""
    of_glue = {"Max concurrent job runs per account": 200, "Max task DPUs per account": 300}
    of_codebuild = {"Concurrently running builds for ARM/Large environment": 1}

    def large(warehouse=True):
        limits = {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000}
        stub("lambda", "get_account_settings", {"AccountLimit": limits})
        functions = [
            one
            for one in templates.read(templates.ROOT / WAREHOUSE)["Resources"].values()
            if one["Type"] == "AWS::Serverless::Function"
        ]
        for _ in functions if warehouse else ():
            stub("lambda", "get_function", error="ResourceNotFoundException")
        for names in (of_glue, of_codebuild) if warehouse else (of_codebuild,):
            quotas = [{"QuotaName": name, "QuotaCode": "L-1", "Value": value} for name, value in names.items()]
            stub("service-quotas", "list_aws_default_service_quotas", {"Quotas": quotas})
            stub("service-quotas", "list_service_quotas", {"Quotas": []})
        image = {"name": "aws/codebuild/amazonlinux-aarch64-standard:4.0"}
        stub("codebuild", "list_curated_environment_images", {"platforms": [{"languages": [{"images": [image]}]}]})
        stub("codebuild", "batch_get_projects", {"projects": []})

    return large


@pytest.fixture
def pipeline():
    return Deployment("shop", PIPELINE, deploy_pipeline("shop-2", "main"), parameters={"Branch": "main"})


@pytest.fixture
def warehouse():
    return Deployment("shop-main", WAREHOUSE, deploy_pipeline("shop-2", "main"), "config/main.json")
