"""Items per second into the emulator's DynamoDB: a new day, the same day again, and after a correction.

    python glue/bench/dynamodb.py [--items 1000000] [--json]

Exit status 1 when DynamoDB does not have exactly the day's ads.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config

import harness
import traffic

ROOT = traffic.ROOT
TRAFFIC_TABLE = "traffic"
DAY = traffic.FIRST_DAY
ROUNDS = (
    ("nothing is there", "true", "0"),
    ("nothing has changed", "true", "0"),
    ("1 % has changed, 1 % is gone", "id % 100 <> 1", "CAST(id % 100 = 2 AS bigint)"),
)


def main() -> None:
    options = harness.options(__doc__, items=1_000_000)
    sys.path[:0] = [str(ROOT / folder) for folder in harness.MODULES]
    with emulated_dynamodb() as dynamodb, harness.scratch(ROOT, arrived=False) as work:
        spark = harness.start(work)
        harness.make_tables(spark, work)
        results = [
            {"of a day": what, **load(spark, f"file://{work}/data", options.items, *day)} for what, *day in ROUNDS
        ]
        expected = spark.table(f"{harness.DATABASE}.ad_traffic").count()
        spark.stop()
        pages = dynamodb.get_paginator("scan").paginate(TableName=TRAFFIC_TABLE, Select="COUNT")
        stored = sum(page["Count"] for page in pages)
    if options.json:
        print(json.dumps({"runs": results, "stored": stored, "expected": expected}))
    else:
        harness.table(results)
        print(f"{stored} items in DynamoDB, {expected} ads in the lake")
    sys.exit(0 if stored == expected else 1)


def load(spark: Any, data: str, items: int, condition: str, clicks: str) -> dict[str, Any]:
    """Makes the day's ads, and loads them."""
    from pyspark import cloudpickle

    import load_ad_traffic

    # Executors get functions with their code, as in the local runner.
    cloudpickle.register_pickle_by_value(load_ad_traffic)
    ads = f"SELECT concat(lpad(hex(id), 8, '0'), '-0000-4000-8000-000000000000') AS ad_id, id % 1000 + 1, {clicks}"
    partition = f"year = '{DAY:%Y}', month = '{DAY:%m}', day = '{DAY:%d}'"
    spark.sql(
        f"INSERT OVERWRITE {harness.DATABASE}.ad_traffic PARTITION ({partition}) {ads} FROM range({items}) WHERE {condition}"
    )
    argv = [
        "load_ad_traffic.py",
        "--database",
        harness.DATABASE,
        "--table_name",
        TRAFFIC_TABLE,
        "--day",
        str(DAY),
        "--data_path",
        data,
    ]
    started = time.monotonic()
    done = load_ad_traffic.run(spark, load_ad_traffic.parse_arguments(argv))
    seconds = time.monotonic() - started
    return {**done, "seconds": round(seconds, 1), "items a second": round((done["put"] + done["deleted"]) / seconds)}


@contextlib.contextmanager
def emulated_dynamodb() -> Iterator[Any]:
    """The emulator with DynamoDB only and an empty traffic table; yields a client.

    boto3 finds it by the environment, which Spark's Python takes over from a session that starts later.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "dynamodb",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }
    os.environ.update(settings | {"PYSPARK_PYTHON": sys.executable})
    os.environ.pop("AWS_PROFILE", None)
    program = ROOT / ".dataless/tools/emulator/bin/ministack"
    folder = tempfile.TemporaryDirectory(prefix="dynamodb-")
    emulator = subprocess.Popen([program], cwd=folder.name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        client = boto3.client("dynamodb", config=Config(retries={"mode": "standard", "total_max_attempts": 20}))
        client.create_table(
            TableName=TRAFFIC_TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("ad_id", "day")],
            KeySchema=[{"AttributeName": "ad_id", "KeyType": "HASH"}, {"AttributeName": "day", "KeyType": "RANGE"}],
        )
        yield client
    finally:
        emulator.terminate()
        emulator.wait()
        folder.cleanup()


if __name__ == "__main__":
    main()
