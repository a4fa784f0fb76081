"""Deploys one build to an emulator, fills it, deploys another over it, and compares all stored data.

    AWS_ENDPOINT_URL=... python3 tools/delivery/upgrade.py --old ../before/.dataless/up/build --new .dataless/up/build

Both builds must have their resources in the same stacks: CloudFormation moves none (docs/delivery.md).

A build is what `cargo dataless up` leaves in `.dataless/up/build` of a checkout, so the old one is that of a second
checkout at an earlier commit. `sam` must be on the PATH. The stack is one of its own, and is deleted at the end, which
must leave its data too. Exit status: 0 when nothing was lost.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import urllib.request
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

STACK = "upgrade"
BATCHES, EVENTS = 20, 50
ADS = 30


class Warehouse:
    """The stack as it is now."""

    def __init__(self) -> None:
        self.cloudformation = boto3.client("cloudformation")
        self.s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
        self.dynamodb = boto3.client("dynamodb")
        self.outputs: dict[str, str] = {}

    def deploy(self, build: Path) -> None:
        machine = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[os.uname().machine]
        command: list[str | Path] = [
            "sam",
            "deploy",
            "--template-file",
            build / "template.local.yaml",
            "--stack-name",
            STACK,
            "--resolve-s3",
        ]
        command += [
            "--region",
            "us-east-1",
            "--capabilities",
            "CAPABILITY_IAM",
            "CAPABILITY_AUTO_EXPAND",
            "--no-confirm-changeset",
        ]
        command += ["--no-progressbar", "--parameter-overrides", f"Architecture={machine}", "MetricNamespace=Upgrade"]
        # Not in a folder with a samconfig.toml, which would be read.
        subprocess.run(
            command, check=True, cwd=build, stdout=subprocess.DEVNULL, env=os.environ | {"SAM_CLI_TELEMETRY": "0"}
        )
        (stack,) = self.cloudformation.describe_stacks(StackName=STACK)["Stacks"]
        print(f"{build}: {stack['StackStatus']}")
        assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
        self.outputs = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}

    def send(self, table: str) -> int:
        """Sends batches; returns the number of acknowledged events."""
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        acknowledged = 0
        for _ in range(BATCHES):
            events = [{"ad_id": str(uuid.uuid4()), "occurred_at": now} for _ in range(EVENTS)]
            if table == "clicks":
                events = [event | {"impression_id": str(uuid.uuid4())} for event in events]
            answer = self.call(f"/{table}", {table: events})
            acknowledged += EVENTS - answer["failed_count"]
        return acknowledged

    def call(self, path: str, body: Any = None) -> Any:
        url = "{}/restapis/{ApiId}/{StageName}/_user_request_{}".format(
            os.environ["AWS_ENDPOINT_URL"], path, **self.outputs
        )
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def fill_table(self) -> list[str]:
        """Items as the load job writes them."""
        ads = [str(uuid.uuid4()) for _ in range(ADS)]
        for number, ad in enumerate(ads):
            item = {
                "ad_id": {"S": ad},
                "day": {"S": "2026-11-20"},
                "impressions": {"N": str(number + 1)},
                "clicks": {"N": "1"},
            }
            self.dynamodb.put_item(TableName=self.outputs["AdTrafficTable"], Item=item)
        return ads

    def objects(self) -> dict[str, str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.outputs["DataLakeBucket"], Prefix="data/")
        return {one["Key"]: one["ETag"] for page in pages for one in page.get("Contents", [])}

    def raw_lines(self, table: str) -> int:
        lines = 0
        for key in self.objects():
            if key.startswith(f"data/raw/ad/{table}/"):
                content = self.s3.get_object(Bucket=self.outputs["DataLakeBucket"], Key=key)["Body"].read()
                lines += len((gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).splitlines())
        return lines

    def items(self) -> list[str]:
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.outputs["AdTrafficTable"])
        return sorted(json.dumps(item, sort_keys=True) for page in pages for item in page["Items"])

    def delete(self) -> None:
        self.cloudformation.delete_stack(StackName=STACK)
        self.cloudformation.get_waiter("stack_delete_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1})


def check(what: str, left: Any, right: Any) -> None:
    shown = left if isinstance(left, int | str) else len(left)
    print(f"{'same' if left == right else 'DIFFERENT'}: {what}: {shown}")
    if left != right:
        sys.exit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Deploys a build over another that holds data, and compares.")
    parser.add_argument("--old", type=Path, required=True, metavar="BUILD")
    parser.add_argument("--new", type=Path, required=True, metavar="BUILD")
    arguments = parser.parse_args()

    warehouse = Warehouse()
    warehouse.deploy(arguments.old.resolve())
    sent = {table: warehouse.send(table) for table in ("impressions", "clicks")}
    ads = warehouse.fill_table()
    for table, count in sent.items():
        check(f"raw {table} before", warehouse.raw_lines(table), count)
    objects, items, before = warehouse.objects(), warehouse.items(), warehouse.outputs

    warehouse.deploy(arguments.new.resolve())
    for name in (
        "DataLakeBucket",
        "AdTrafficTable",
        "ApiId",
        "ImpressionsDeliveryStream",
        "ClicksDeliveryStream",
        "GlueDatabase",
    ):
        check(name, warehouse.outputs[name], before[name])
    check("objects in the lake", warehouse.objects(), objects)
    check("items of the table", warehouse.items(), items)
    answer = warehouse.call(f"/traffic/{ads[4]}?start=2026-11-20&end=2026-11-20")
    check("impressions of an ad, asked of the new version", answer["days"][0]["impressions"], 5)
    for table, count in sent.items():
        more = warehouse.send(table)
        check(f"raw {table} with {more} more", warehouse.raw_lines(table), count + more)

    objects, items = warehouse.objects(), warehouse.items()
    warehouse.delete()
    check("objects after the stack was deleted", warehouse.objects(), objects)
    check("items after the stack was deleted", warehouse.items(), items)


if __name__ == "__main__":
    main()
