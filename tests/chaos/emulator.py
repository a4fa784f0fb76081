"""The emulator of a local warehouse, with a bucket, a sink in Python and a delivery stream that uses both."""

import io
import json
import os
import signal
import socket
import subprocess
import time
import zipfile
from pathlib import Path

from faulty import ROOT, client

PYTHON = ROOT / ".dataless/tools/emulator/bin/python"
LAUNCHER = ROOT / "tools/emulator/start_ministack.py"

BUCKET = "lake"
STREAM = "warehouse-impressions"

# Logs each call with its instance and returns the records unchanged.
SINK = """
import json, os, time

def handler(event, context):
    time.sleep(0.3)
    with open({calls!r}, "a") as file:
        print(json.dumps({{"instance": os.getpid(), "records": event["records"]}}), file=file)
    return {{"records": [{{"recordId": r["recordId"], "result": "Ok", "data": r["data"]}} for r in event["records"]]}}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Emulator:
    def __init__(self, folder: Path, schedule: list):
        self.folder = folder
        self.calls_file = folder / "calls.ndjson"
        self.schedule = folder / "schedule.json"
        self.log = folder / "faults.ndjson"
        self.offset = folder / "offset"
        self.schedule.write_text(json.dumps(schedule))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        environment = {
            "PATH": os.environ["PATH"],
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "SERVICES": "s3,firehose,lambda,iam,logs,cloudwatch,sts",
            "PERSIST_STATE": "1",
            "S3_PERSIST": "1",
            "STATE_DIR": str(self.folder / "state"),
            "S3_DATA_DIR": str(self.folder / "s3"),
            "TMPDIR": str(self.folder),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "DATALESS_CHAOS_SCHEDULE": str(self.schedule),
            "DATALESS_CHAOS_LOG": str(self.log),
            "DATALESS_CLOCK_OFFSET": str(self.offset),
        }
        command = [PYTHON, LAUNCHER, self.folder]
        with (self.folder / "emulator.log").open("ab") as log:
            # In a separate process group, so that its functions end with it.
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        for _ in range(600):
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self.process.poll() is None, (self.folder / "emulator.log").read_text()
                time.sleep(0.1)
        raise AssertionError("the emulator does not listen")

    def end(self, number=signal.SIGKILL):
        os.killpg(self.process.pid, number)
        self.process.wait(timeout=60)

    def deploy(self):
        client("s3", self.url).create_bucket(Bucket=BUCKET)
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("sink.py", SINK.format(calls=str(self.calls_file)))
        role = "arn:aws:iam::000000000000:role/any"
        function = client("lambda", self.url).create_function(
            FunctionName="sink",
            Runtime="python3.11",
            Handler="sink.handler",
            Role=role,
            Timeout=30,
            Code={"ZipFile": archive.getvalue()},
        )["FunctionArn"]
        hours = "year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}/"
        parameters = {"LambdaArn": function, "NumberOfRetries": "300"}
        parameters = [{"ParameterName": name, "ParameterValue": value} for name, value in parameters.items()]
        client("firehose", self.url).create_delivery_stream(
            DeliveryStreamName=STREAM,
            ExtendedS3DestinationConfiguration={
                "BucketARN": f"arn:aws:s3:::{BUCKET}",
                "RoleARN": role,
                "Prefix": f"raw/{hours}",
                "ErrorOutputPrefix": f"raw-errors/!{{firehose:error-output-type}}/{hours}",
                "ProcessingConfiguration": {
                    "Enabled": True,
                    "Processors": [{"Type": "Lambda", "Parameters": parameters}],
                },
            },
        )

    def begin(self):
        Path(f"{self.schedule}.start").touch()

    def put(self, *records):
        answer = client("firehose", self.url).put_record_batch(
            DeliveryStreamName=STREAM, Records=[{"Data": record} for record in records]
        )
        assert answer["FailedPutCount"] == 0
        return [entry["RecordId"] for entry in answer["RequestResponses"]]

    def objects(self, prefix=""):
        """Returns the contents of the objects by key."""
        s3 = client("s3", self.url)
        found = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return {entry["Key"]: s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read() for entry in found}

    def calls(self):
        """Returns the calls of the sink, in the order in which they ended."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        return [json.loads(line) for line in lines]

    def faults(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def held(self):
        return list(Path(f"{self.log}.held").iterdir())
