"""Accesses a deployed warehouse: its S3 objects, state machine, notifications and DynamoDB table, and its lake in SQL.

`cargo dataless test` sets the variables for boto3, and also DATALESS_STACK, DATALESS_BUCKET, DATALESS_STATE_MACHINE,
DATALESS_TOPIC, DATALESS_TABLE, DATALESS_RUNNER (the argument of `glue/local/launch.py`) and DATALESS_SPARK_PYTHON.
"""

import gzip
import json
import os
import subprocess
import time
import uuid
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

import launch
from templates import ROOT

WAIT_SECONDS = 600


class Warehouse:
    """The deployed stack."""

    def __init__(self):
        clients = Config(s3={"addressing_style": "path"})
        self.s3 = boto3.client("s3", config=clients)
        self.states = boto3.client("stepfunctions")
        self.sns, self.sqs = boto3.client("sns"), boto3.client("sqs")
        self.dynamodb = boto3.client("dynamodb")
        self.scheduler, self.cloudformation = boto3.client("scheduler"), boto3.client("cloudformation")
        self.bucket = os.environ["DATALESS_BUCKET"]
        self.state_machine = os.environ["DATALESS_STATE_MACHINE"]
        self.topic = os.environ["DATALESS_TOPIC"]
        self.table = os.environ["DATALESS_TABLE"]

    def put_raw(self, table, hour, name, lines):
        """Stores an object as Firehose does, and returns its key. The format of `hour` is `YYYY-MM-DD HH`."""
        return self.put_object(table, hour, name, gzip.compress("".join(line + "\n" for line in lines).encode()))

    def put_object(self, table, hour, name, content):
        year, month, day, hour = hour.replace(" ", "-").split("-")
        key = f"data/raw/ad/{table}/year={year}/month={month}/day={day}/hour={hour}/{name}"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)
        return key

    def delete(self, key):
        self.s3.delete_object(Bucket=self.bucket, Key=key)

    def start(self, **fields):
        return self.states.start_execution(stateMachineArn=self.state_machine, input=json.dumps(fields))["executionArn"]

    def wait(self, execution):
        """Waits until the execution ends, and returns its description."""
        for _ in range(WAIT_SECONDS * 5):
            found = self.states.describe_execution(executionArn=execution)
            if found["status"] != "RUNNING":
                return found
            time.sleep(0.2)
        raise AssertionError(f"{execution} still runs after {WAIT_SECONDS} s")

    def run(self, **fields):
        """Runs the state machine, which must succeed, and returns its output."""
        ended = self.wait(self.start(**fields))
        assert ended["status"] == "SUCCEEDED", ended.get("cause")
        return json.loads(ended["output"])

    def failed_tasks(self, execution):
        events = self.states.get_execution_history(executionArn=execution, maxResults=1000)["events"]
        return [event["taskFailedEventDetails"]["cause"] for event in events if event["type"] == "TaskFailed"]

    def ask_spark(self, **request):
        """Sends a request to the runner that replaces Glue, and returns the response."""
        command = [os.environ["DATALESS_SPARK_PYTHON"], ROOT / "glue/local/launch.py", os.environ["DATALESS_RUNNER"]]
        address = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        answer = launch.call(address, request)
        assert answer["ok"], answer["error"]
        return answer

    def run_job(self, name, arguments):
        """Runs a deployed Glue job."""
        self.ask_spark(job=name, arguments=arguments)

    def sql(self, statement):
        """Runs a query on the lake and returns its rows, sorted, as lists of values."""
        database = json.loads(Path(os.environ["DATALESS_RUNNER"]).read_text(encoding="utf-8"))["database"]
        args = ["--database", database, "--format", "json", "--sql", statement]
        answer = self.ask_spark(script=str(ROOT / "glue/local/query.py"), args=args)
        return sorted(list(json.loads(line).values()) for line in answer["output"].splitlines())

    def items(self):
        """Returns the whole traffic table as {(ad, day): (impressions, clicks)}."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.table)
        return {
            (item["ad_id"]["S"], item["day"]["S"]): (int(item["impressions"]["N"]), int(item["clicks"]["N"]))
            for page in pages
            for item in page["Items"]
        }


@pytest.fixture(scope="session")
def warehouse():
    return Warehouse()


@pytest.fixture
def notices(warehouse):
    """Yields a function that waits for the next messages that the alarm topic sends during the test."""
    queue = warehouse.sqs.create_queue(QueueName=f"notices-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    names = {"QueueUrl": queue, "AttributeNames": ["QueueArn"]}
    arn = warehouse.sqs.get_queue_attributes(**names)["Attributes"]["QueueArn"]
    subscription = warehouse.sns.subscribe(TopicArn=warehouse.topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]

    def receive(wait_seconds=20):
        found = warehouse.sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=wait_seconds).get("Messages", [])
        for message in found:
            warehouse.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in found]

    yield receive
    warehouse.sns.unsubscribe(SubscriptionArn=subscription)
    warehouse.sqs.delete_queue(QueueUrl=queue)
