"""Measures the jobs on generated data: speed, memory, size, what a query for one ad reads, the books, the load.

    python glue/bench/bench.py speed|layout|books [--impressions 1250000,5000000] [--engines plain,python,scala] [--rounds 3]
    python glue/bench/bench.py load [--items 1000000]

README.md beside this file tells what it needs and what it prints.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("glue", "glue/local", "glue/tests")]

import conftest  # noqa: E402  (sets TZ before Spark starts)
from pyspark import cloudpickle  # noqa: E402
from pyspark.sql import DataFrame, SparkSession  # noqa: E402
from pyspark.sql import functions as F  # noqa: E402

import etl  # noqa: E402
import expectation  # noqa: E402
import launch  # noqa: E402
import load_ad_traffic  # noqa: E402
import scala  # noqa: E402

DAY = "2026-03-01"
LOOKBACK_DAYS = 3
SEED = 1
TRAFFIC_TABLE = "traffic"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = {"speed": speed, "layout": layout, "books": books, "load": load, "measure": measure}
    parser.add_argument("what", choices=commands)
    parser.add_argument("--impressions", default="1250000,5000000", help="sizes; layout and books take the first")
    parser.add_argument("--engines", default="plain,python,scala", help="layout takes the first but for plain, books all but that")
    parser.add_argument("--rounds", type=int, default=1, help="of speed; more than one prints medians")
    parser.add_argument("--items", type=int, default=1_000_000, help="ads of the day that load takes to DynamoDB")
    parser.add_argument("--folder", type=Path, default=ROOT / ".dataless" / "bench", help="keeps the generated events")
    parser.add_argument("--file_mb", default="64")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    sizes = [int(size) for size in options.impressions.split(",")]
    commands[options.what](options, sizes)


def speed(options: argparse.Namespace, sizes: list[int]) -> None:
    """Every engine and size in a process of its own, one after the other, and all of it again in each round.

    The machine may be slower in one minute than in the next, so an engine is held against the plain approach of its round.
    """
    engines = options.engines.split(",")
    runs: dict[tuple[int, str], list[dict[str, Any]]] = {(size, engine): [] for size in sizes for engine in engines}
    for size in sizes:
        raw_folder(options.folder, size)
        for _ in range(options.rounds):
            for engine in engines:
                command = [sys.executable, __file__, "measure", "--impressions", str(size), "--engines", engine]
                command += ["--folder", str(options.folder), "--file_mb", options.file_mb]
                printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                run = json.loads(printed.splitlines()[-1])
                runs[size, engine].append(run)
                print(json.dumps(run), flush=True)
    rows = []
    for (size, engine), rounds in runs.items():
        row = {name: rounds[0][name] for name in ("engine", "lines", "files", "bytes_per_row")}
        for figure in ("seconds", "cpu_seconds", "lines_per_second", "peak_memory_mb"):
            row[figure] = statistics.median(run[figure] for run in rounds)
        if "plain" in engines:
            for figure in ("seconds", "cpu_seconds"):
                ratios = [run[figure] / plain[figure] for run, plain in zip(rounds, runs[size, "plain"])]
                row[f"{figure} / plain"] = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        rows.append(row)
    print_table(rows)
    for engine in engines:
        times = [row["seconds"] for row in rows if row["engine"] == engine]
        if len(times) > 1:
            print(f"{engine}: {sizes[-1] / sizes[0]:.1f} times the events take {times[-1] / times[0]:.1f} times as long")


def measure(options: argparse.Namespace, sizes: list[int]) -> None:
    """One run of one engine, in this process; prints JSON."""
    with Bench(options, sizes[0]) as bench:
        if options.engines == "scala":
            bench.compile_scala()
        cpu, start = bench.cpu_seconds(), time.monotonic()
        bench.run(options.engines, options.file_mb)
        seconds, cpu = time.monotonic() - start, bench.cpu_seconds() - cpu
        files, rows = bench.lake_files(), bench.lake().count()
        size = sum(file.stat().st_size for file in files)
        result = {
            "engine": options.engines,
            "lines": bench.lines,
            "seconds": round(seconds, 2),
            "cpu_seconds": round(cpu, 2),
            "lines_per_second": round(bench.lines / seconds),
            "peak_memory_mb": bench.peak_memory_mb(),
            "lake_rows": rows,
            "files": len(files),
            "bytes_per_row": round(size / rows, 1),
            "load_average": round(os.getloadavg()[0], 1),
        }
    print(json.dumps(result))


def layout(options: argparse.Namespace, sizes: list[int]) -> None:
    """Size by compression, and the bytes that queries for one ad read."""
    with Bench(options, sizes[0]) as bench:
        bench.run(etl_engines(options)[0], options.file_mb)
        rows = bench.lake().count()
        sizes_of = {}
        for compression in etl.COMPRESSIONS:
            for order, keys in (("sorted", ["ad_id", "occurred_at", "impression_id"]), ("as it came", ["impression_id"])):
                path = f"{bench.warehouse.data_path}/{compression}"
                bench.lake().repartition(1).sortWithinPartitions(*keys).drop(*etl.PARTITION_KEYS).write.mode(
                    "overwrite"
                ).options(compression=compression, **etl.ORC_OPTIONS).orc(path)
                files = (bench.warehouse.folder / "data" / compression).glob("*.orc")
                sizes_of[compression, order] = sum(file.stat().st_size for file in files) / rows
        print_table(
            [
                {"compression": compression, **{order: round(sizes_of[compression, order], 1) for order in ("sorted", "as it came")}}
                for compression in etl.COMPRESSIONS
            ]
        )
        total = sum(file.stat().st_size for file in bench.lake_files())
        by_ad = [(row.ad_id, row["count"]) for row in bench.lake().groupBy("ad_id").count().orderBy(F.desc("count")).collect()]
        results = []
        for rank in (1, 10, len(by_ad) // 2, len(by_ad)):
            ad, impressions = by_ad[rank - 1]
            query = bench.lake().where(F.col("ad_id") == ad)
            all_columns = bench.bytes_read(query)
            count_only = bench.bytes_read(query.agg(F.count(F.lit(1))))
            results.append(
                {
                    "rank of the ad": rank,
                    "share of the rows": f"{impressions / rows:.2%}",
                    "bytes read by SELECT *": f"{all_columns / total:.2%}",
                    "bytes read by count(*)": f"{count_only / total:.2%}",
                }
            )
        print(f"{rows} rows, {total} bytes, {len(bench.lake_files())} files")
        print_table(results)


def books(options: argparse.Namespace, sizes: list[int]) -> None:
    """The ledger and the lake of each engine against the definition in plain Python; exit status 1 when they differ."""
    differ = []
    with Bench(options, sizes[0]) as bench:
        expected = expectation.fates(expectation.IMPRESSIONS, bench.read_raw(), LOOKBACK_DAYS)
        arrived = [one.fate for one in expected if f"{one.arrived:%Y-%m-%d}" == DAY]
        counted = {"raw": len(arrived)} | {fate: arrived.count(fate) for fate in ("kept", "repeats", "rejected", "late")}
        rows = (one.row for one in expected if one.fate == "kept")
        kept = sorted(tuple(row.values()) for row in rows if f"{row['occurred_at']:%Y-%m-%d}" == DAY)
        print(json.dumps({"plain_python": counted}))
        for engine in etl_engines(options):
            bench.run(engine, options.file_mb)
            told = bench.ledger()
            lake = sorted(tuple(row) for row in bench.lake().select("impression_id", "ad_id", "occurred_at").collect())
            differ += [f"{engine}: {name}" for name, lines in counted.items() if told[name] != lines]
            differ += [f"{engine}: lake"] if lake != kept else []
            print(json.dumps({"engine": engine, "ledger": told, "lake_rows": len(lake), "differ": differ}))
    sys.exit(1 if differ else 0)


def etl_engines(options: argparse.Namespace) -> list[str]:
    return [engine for engine in options.engines.split(",") if engine != "plain"]


def load(options: argparse.Namespace, _: list[int]) -> None:
    """A day of so many ads into DynamoDB, as the emulator has it: from nothing, again, and after a correction."""
    # The executors get its functions with their code, as on the laptop's runner.
    cloudpickle.register_pickle_by_value(load_ad_traffic)
    with emulated_dynamodb() as dynamodb, Session(options) as bench:
        results = []
        for what, condition, clicks in (
            ("nothing is there", "true", "0"),
            ("nothing has changed", "true", "0"),
            ("1 % has changed, 1 % is gone", "id % 100 <> 1", "CAST(id % 100 = 2 AS bigint)"),
        ):
            ads = f"SELECT concat(lpad(hex(id), 8, '0'), '-0000-4000-8000-000000000000') AS ad_id, id % 1000 + 1, {clicks}"
            bench.spark.sql(
                f"INSERT OVERWRITE {bench.warehouse.database}.ad_traffic PARTITION ({bench.partition()}) "
                f"{ads} FROM range({options.items}) WHERE {condition}"
            )
            argv = ["load_ad_traffic.py", "--database", bench.warehouse.database, "--table_name", TRAFFIC_TABLE]
            argv += ["--day", DAY, "--data_path", bench.warehouse.data_path]
            start = time.monotonic()
            told = load_ad_traffic.run(bench.spark, load_ad_traffic.parse_arguments(argv))
            seconds = time.monotonic() - start
            written = told["put"] + told["deleted"]
            results.append({"of a day": what, **told, "seconds": round(seconds, 1), "items a second": round(written / seconds)})
        print_table(results)
        pages = dynamodb.get_paginator("scan").paginate(TableName=TRAFFIC_TABLE, Select="COUNT")
        stored = sum(page["Count"] for page in pages)
        expected = bench.spark.table(f"{bench.warehouse.database}.ad_traffic").count()
        print(f"{stored} items in DynamoDB, {expected} ads in the lake")
    sys.exit(0 if stored == expected else 1)


@contextlib.contextmanager
def emulated_dynamodb() -> Iterator[Any]:
    """The emulator, as far as DynamoDB, with an empty traffic table; a client of it.

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


class Session:
    """A Spark session as on a laptop, and an empty warehouse."""

    def __init__(self, options: argparse.Namespace):
        self.scratch = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder))

    def __enter__(self) -> Self:
        settings = conftest.spark_defaults() | {
            "spark.local.dir": f"{self.scratch}/local",
            "spark.sql.warehouse.dir": f"file://{self.scratch}/warehouse",
            "spark.hadoop.javax.jdo.option.ConnectionURL": "jdbc:derby:memory:metastore;create=true",
            "spark.driver.extraJavaOptions": f"{launch.LARGE_DATA_JVM} -Dderby.stream.error.file={self.scratch}/derby.log",
        }
        builder = SparkSession.builder.appName("bench")
        for name, value in settings.items():
            builder = builder.config(name, value)
        self.spark = builder.enableHiveSupport().getOrCreate()
        self.spark.sparkContext.setLogLevel("ERROR")
        self.warehouse = conftest.Warehouse(self.spark, self.scratch)
        (self.scratch / "data").mkdir(exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.spark.stop()
        shutil.rmtree(self.scratch)

    def partition(self) -> str:
        return ", ".join(f"{key} = '{value}'" for key, value in zip(etl.PARTITION_KEYS, DAY.split("-")))


class Bench(Session):
    """A session with the generated events in the raw zone."""

    def __init__(self, options: argparse.Namespace, impressions: int):
        super().__init__(options)
        self.scala_folder = options.folder / "scala"
        self.raw = raw_folder(options.folder, impressions)
        self.lines = json.loads((self.raw / "report.json").read_text())["impressions"]["lines"]

    def __enter__(self) -> Self:
        super().__enter__()
        (self.scratch / "data" / "raw").symlink_to(self.raw / "data" / "raw")
        return self

    def run(self, engine: str, file_mb: str) -> None:
        """Runs the day's ETL."""
        argv = ["--table", "impressions", "--day", DAY, "--database", self.warehouse.database]
        argv += ["--data_path", self.warehouse.data_path, "--lookback_days", str(LOOKBACK_DAYS), "--file_mb", file_mb]
        if engine == "python":
            arguments = etl.parse_arguments(["etl.py", *argv])
            for name, value in etl.SETTINGS.items():
                self.spark.conf.set(name, value)
            etl.run(self.spark, arguments)
        elif engine == "scala":
            scala.run(self.spark, self.compile_scala(), "GlueApp", argv)
        else:
            self.run_plain()

    def compile_scala(self) -> Path:
        """The job's classes. They are compiled once, as Glue does when the script is new, and kept."""
        return scala.compile(ROOT / "glue" / "scala" / "etl.scala", self.scala_folder)

    def run_plain(self) -> None:
        """What one writes first: schema by inference, repeats dropped by comparing whole rows, the rest appended."""
        events = self.spark.read.json(f"{self.warehouse.data_path}/raw/ad/impressions")
        (
            events.where("impression_id IS NOT NULL AND ad_id IS NOT NULL AND to_date(occurred_at) IS NOT NULL")
            .selectExpr("impression_id", "ad_id", "CAST(occurred_at AS timestamp) AS occurred_at")
            .dropDuplicates()
            .selectExpr(
                "*",
                "CAST(NULL AS date) AS arrived_on",
                "date_format(occurred_at, 'yyyy') AS year",
                "date_format(occurred_at, 'MM') AS month",
                "date_format(occurred_at, 'dd') AS day",
            )
            .write.mode("append")
            .partitionBy(*etl.PARTITION_KEYS)
            .option("compression", "snappy")
            .orc(f"{self.warehouse.data_path}/lake/ad/impressions")
        )
        self.spark.sql(f"MSCK REPAIR TABLE {self.warehouse.database}.impressions")

    def lake(self) -> DataFrame:
        return self.rows_of_the_day("impressions")

    def ledger(self) -> dict[str, int]:
        return self.rows_of_the_day("ledger").drop("table_name", *etl.PARTITION_KEYS).first().asDict()

    def rows_of_the_day(self, table: str) -> DataFrame:
        condition = self.partition().replace(",", " AND")
        return self.spark.table(f"{self.warehouse.database}.{table}").where(condition)

    def lake_files(self) -> list[Path]:
        year, month, day = DAY.split("-")
        return sorted((self.scratch / f"data/lake/ad/impressions/year={year}/month={month}/day={day}").rglob("*.orc"))

    def read_raw(self) -> Iterator[tuple[str, str, str]]:
        """Every line as (hour of arrival, file name, line)."""
        for file in sorted((self.raw / "data/raw/ad/impressions").rglob("*.gz")):
            year, month, day, hour = re.findall("=([0-9]+)", str(file.parent))[-4:]
            with gzip.open(file, "rt", encoding="utf-8", newline="\n") as lines:
                for line in lines:
                    yield f"{year}-{month}-{day} {hour}", file.name, line.removesuffix("\n")

    def bytes_read(self, frame: DataFrame) -> int:
        """What the file system gave while the query ran, as Hadoop counts it."""
        statistics = self.spark._jvm.org.apache.hadoop.fs.FileSystem.getAllStatistics
        before = sum(each.getBytesRead() for each in statistics())
        frame.write.format("noop").mode("overwrite").save()
        return sum(each.getBytesRead() for each in statistics()) - before

    def process(self) -> Path:
        return Path("/proc", str(self.spark._jvm.java.lang.ProcessHandle.current().pid()))

    def cpu_seconds(self) -> float:
        fields = (self.process() / "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_memory_mb(self) -> int:
        """The most that the JVM, which is all of Spark here, had in memory at once."""
        return int(re.search(r"VmHWM:\s+(\d+) kB", (self.process() / "status").read_text())[1]) // 1024


def raw_folder(folder: Path, impressions: int) -> Path:
    """The generated events, made when they are not there yet."""
    made = folder / f"raw-{impressions}"
    if not made.exists():
        unfinished = made.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        command = ["cargo", "run", "--quiet", "--release", "--package", "loadgen", "--", "files", "-c", ROOT / "glue/bench/loadgen.yaml", "--day", DAY, "--out", unfinished]
        command += ["--impressions", str(impressions), "--seed", str(SEED), "--json"]
        report = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
        (unfinished / "report.json").write_bytes(report)
        unfinished.rename(made)
    return made


def print_table(rows: list[dict[str, Any]]) -> None:
    """The rows as a Markdown table."""
    for cells in (list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)):
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
