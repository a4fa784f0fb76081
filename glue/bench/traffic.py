"""The raw lines of the benchmarks: generated once, and kept below `.dataless/bench`.

Impressions and clicks come from the load generator (`loadgen.yaml`): 1,000 ads with popularity by Zipf, 3% repeats, 1%
of events that arrive 100 hours after they occurred, 0.5% malformed lines. Orders have nine fields of mixed types, 3%
repeats and 0.5% of broken lines. Each folder has `raw/ad/<table>/year=/month=/day=/hour=/*.gz`.
"""

from __future__ import annotations

import gzip
import os
import random
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FIRST_DAY = date(2026, 3, 1)

# The catalog table of the orders: https://docs.aws.amazon.com/glue/latest/webapi/API_TableInput.html
ORDERS: dict[str, Any] = {
    "Name": "orders",
    "Parameters": {
        "event.id": "order_id",
        "event.time": "occurred_at",
        "event.required": "order_id,customer_id,amount,occurred_at",
        "event.uuid": "order_id,customer_id",
        "event.sort": "customer_id,occurred_at,order_id",
    },
    "PartitionKeys": [{"Name": name, "Type": "string"} for name in ("year", "month", "day", "arrived")],
    "StorageDescriptor": {
        "Location": "s3://lake-bucket/data/lake/ad/orders/",
        "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.orc.OrcSerde"},
        "Columns": [
            {"Name": name, "Type": kind}
            for name, kind in (
                ("order_id", "string"),
                ("customer_id", "string"),
                ("amount", "decimal(12,2)"),
                ("currency", "string"),
                ("channel", "string"),
                ("quantity", "bigint"),
                ("coupon", "string"),
                ("note", "string"),
                ("occurred_at", "timestamp"),
                ("arrived_at", "timestamp"),
            )
        ],
    },
}


def day_of(number: int) -> date:
    """The day of this number, from 0."""
    return FIRST_DAY + timedelta(days=number)


def day_path(table: str, day: date) -> str:
    return f"raw/ad/{table}/year={day:%Y}/month={day:%m}/day={day:%d}"


def impressions(folder: Path, count: int, days: int = 1) -> Path:
    """This many impressions of each day, and their clicks."""

    def fill(made: Path) -> None:
        for number in range(days):
            command: list[str | Path] = [
                *loadgen(),
                "files",
                "-c",
                ROOT / "glue/bench/loadgen.yaml",
                "--day",
                str(day_of(number)),
            ]
            command += ["--out", made / "day", "--impressions", str(count), "--seed", str(number + 1)]
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            for table in ("impressions", "clicks"):
                path = day_path(table, day_of(number))
                (made / path).parent.mkdir(parents=True, exist_ok=True)
                (made / "day/data" / path).rename(made / path)
            shutil.rmtree(made / "day")

    return make(folder / f"impressions-{count}-{days}", fill)


def loadgen() -> list[str]:
    """The load generator, built here unless LOADGEN names one."""
    built = os.environ.get("LOADGEN")
    return [built] if built else ["cargo", "run", "--quiet", "--release", "--package", "loadgen", "--"]


def orders(folder: Path, count: int) -> Path:
    """This many orders of the first day."""

    def fill(made: Path) -> None:
        source = random.Random(5)
        customers = [new_id(source) for _ in range(1000)]
        for hour in range(24):
            path = made / day_path("orders", FIRST_DAY) / f"hour={hour:02}"
            path.mkdir(parents=True)
            lines = range(count * hour // 24, count * (hour + 1) // 24)
            with gzip.open(path / "orders.gz", "wb", compresslevel=3) as file:
                file.writelines(line for _ in lines for line in order_lines(source, customers, hour))

    return make(folder / f"orders-{count}", fill)


def order_lines(source: random.Random, customers: list[str], hour: int) -> Iterator[bytes]:
    """One order, usually on one line."""
    coupon = "null" if source.random() < 0.8 else f'"SAVE{source.randrange(99)}"'
    time = f"{FIRST_DAY} {hour:02}:{source.randrange(60):02}:{source.randrange(60):02}.{source.randrange(1000):03}"
    order = (
        f'{{"order_id":"{new_id(source)}","customer_id":"{source.choice(customers)}","amount":{source.randrange(1, 99999) / 100},'
        f'"currency":"{source.choice(("EUR", "USD", "GBP", "JPY"))}","channel":"{source.choice(("web", "ios", "android", "store"))}",'
        f'"quantity":{source.randrange(1, 9)},"coupon":{coupon},"note":"caf\\u00e9 {source.randrange(10**9)}","occurred_at":"{time}"}}\n'
    ).encode()
    yield order
    if source.random() < 0.03:
        yield order
    if source.random() < 0.005:
        yield b'{"order_id":"x"\n'


def new_id(source: random.Random) -> str:
    return str(uuid.UUID(int=source.getrandbits(128), version=4))


def make(folder: Path, fill: Callable[[Path], None]) -> Path:
    """The folder, filled if it does not exist yet."""
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        fill(unfinished)
        unfinished.rename(folder)
    return folder


def old_jobs(folder: Path, commit: str) -> Path:
    """The jobs and the tables as they were at a commit. Raises when the history doesn't have it."""

    def fill(made: Path) -> None:
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, stdout=subprocess.PIPE)
        if archive.returncode:
            raise SystemExit(f"could not read commit {commit}: is the clone shallow? Try git fetch --unshallow")
        subprocess.run(["tar", "-x", "-C", made], input=archive.stdout, check=True)

    return make(folder / f"jobs-{commit}", fill)
