"""Runs jobs in a separate Spark process, sized like a laptop (two cores, 2 GB of heap), and measures them.

`run` starts the process, which runs this file as a program: it reads a request, runs its steps one after the other, and
prints figures for each. Seconds and CPU seconds are those of the step, without the start of Spark. CPU is that of the
JVM, which is all of Spark here, including its compilers. Peaks are those of the process so far.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".dataless" / "bench"
DATABASE = "bench"
# Where the jobs of a tree and what its tests share are.
MODULES = ("glue", "glue/local", "glue/tests", "tests", "tools/delivery")
LOOKBACK_DAYS = 3
ENGINES = ("plain", "python", "scala")
DECIMALS = {"seconds": 1, "cpu_seconds": 1}


def run(
    work: Path, steps: list[dict[str, Any]], lookback_days: int = LOOKBACK_DAYS, file_mb: int = 64, tree: Path = ROOT
) -> list[dict[str, Any]]:
    """The figures of each step. `work` has the raw lines, and gets the lake, in `data`; `tree` has the jobs."""
    request = {"work": str(work), "steps": steps, "lookback_days": lookback_days, "file_mb": file_mb, "tree": str(tree)}
    surroundings = os.environ | {"TZ": "UTC", "SPARK_LOCAL_IP": "127.0.0.1"}
    with (work / "spark.log").open("w+") as log:
        done = subprocess.run(
            [sys.executable, __file__],
            input=json.dumps(request),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=surroundings,
        )
        if done.returncode:
            log.seek(0)
            raise SystemExit(f"{steps} failed:\n{log.read()}")
    return json.loads(done.stdout.splitlines()[-1])


def step(engine: str, table: str, day: date, **more: Any) -> dict[str, Any]:
    return {"engine": engine, "table": table, "day": str(day), **more}


@contextmanager
def scratch(raw: Path, arrived: bool = True) -> Iterator[Path]:
    """An empty warehouse; the raw lines are in it already, or arrive with the steps."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="warehouse-", dir=FOLDER) as folder:
        (Path(folder) / "data").mkdir()
        if arrived:
            (Path(folder) / "data/raw").symlink_to(raw / "raw")
        yield Path(folder)


def arrive(work: Path, raw: Path, path: str) -> None:
    """Puts what `raw` has at the path into the warehouse, where it isn't yet."""
    link = work / "data" / path
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.symlink_to(raw / path)


# --- what is printed ---


def options(description: str | None, **defaults: Any) -> argparse.Namespace:
    """The command line: an option for each default, `--json` to print JSON, and `--folder` for what is kept."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"default: {value}")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="keeps the raw lines for the next run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def say(*words: Any) -> None:
    """Progress, beside the results."""
    print(*words, file=sys.stderr, flush=True)


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(one[name] for one in rounds), DECIMALS.get(name, 2)) for name in rounds[0]}


def ratio(rounds: list[dict[str, float]], to: list[dict[str, float]], name: str) -> dict[str, float]:
    """Ratios per round, since a machine may be slower in one minute than in the next."""
    ratios = [one[name] / other[name] for one, other in zip(rounds, to, strict=True)]
    return {
        "median": round(statistics.median(ratios), 2),
        "least": round(min(ratios), 2),
        "most": round(max(ratios), 2),
    }


def show(ratios: dict[str, float]) -> str:
    return f"{ratios['median']:.2f} ({ratios['least']:.2f} to {ratios['most']:.2f})"


def table(rows: list[dict[str, Any]]) -> None:
    """The rows as a Markdown table."""
    for cells in (list(rows[0]), ["---"] + ["---:"] * (len(rows[0]) - 1), *(list(row.values()) for row in rows)):
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)


# --- the process that is measured ---


def main() -> None:
    request = json.load(sys.stdin)
    tree, work = Path(request["tree"]), Path(request["work"])
    sys.path[:0] = [str(tree / folder) for folder in MODULES]
    spark = start(work)
    try:
        make_tables(spark, work, tree)
        jobs = engines(spark, request, tree, work)
        figures = []
        for one in request["steps"]:
            for path in one.get("arrive", []):
                arrive(work, Path(one["raw"]), path)
            cpu, started = cpu_seconds(spark), time.monotonic()
            found = jobs[one["engine"]](one) or {}
            measured = {"seconds": time.monotonic() - started, "cpu_seconds": cpu_seconds(spark) - cpu}
            figures.append({name: round(value, 2) for name, value in measured.items()} | peaks(spark) | found)
    finally:
        spark.stop()
    print(json.dumps(figures))


def start(work: Path) -> Any:
    from pyspark.sql import SparkSession

    text = (ROOT / "glue/local/spark-defaults.conf").read_text(encoding="utf-8")
    settings = dict(line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#"))
    settings |= {
        "spark.master": "local[2]",
        "spark.driver.memory": "2g",
        "spark.local.dir": f"{work}/local",
        "spark.sql.warehouse.dir": f"file://{work}/warehouse",
        "spark.hadoop.javax.jdo.option.ConnectionURL": "jdbc:derby:memory:metastore;create=true",
        # As glue/local/launch.py starts it for more than a little data.
        "spark.driver.extraJavaOptions": f'-XX:+UseParallelGC "-Dderby.stream.error.file={work}/derby.log"',
    }
    builder = SparkSession.builder.appName("bench")
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.enableHiveSupport().getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def make_tables(spark: Any, work: Path, tree: Path = ROOT) -> None:
    """The tables of the jobs' template, with the partitions that the folder has, and that of the orders."""
    import catalog
    from traffic import ORDERS

    # Earlier commits have these in the fixtures of the jobs' tests.
    shared = importlib.import_module("support.spark" if (tree / "tests/support").exists() else "conftest")
    known = [*shared.deployed_tables(DATABASE), ORDERS | {"DatabaseName": DATABASE}]
    tables = [one for one in known if not one["Name"].startswith("raw_")]
    for statement in catalog.statements(tables, {shared.BUCKET: f"file://{work}/"}):
        spark.sql(statement)


def engines(spark: Any, request: dict[str, Any], tree: Path, work: Path) -> dict[str, Callable[[dict[str, Any]], Any]]:
    """The kinds of steps by name. Their results are added to the figures."""
    import layout
    import plain
    import truth

    data = f"file://{work}/data"

    def arguments(one: dict[str, Any]) -> list[str]:
        argv = ["--table", one["table"], "--day", one["day"], "--database", DATABASE, "--data_path", data]
        argv += ["--lookback_days", str(request["lookback_days"]), "--file_mb", str(request["file_mb"])]
        # Older jobs contain their SQL.
        return argv + (["--sql", f"file://{tree}/glue/sql"] if (tree / "glue/sql").exists() else [])

    def in_python(one: dict[str, Any]) -> None:
        import etl

        etl.main(["etl.py", *arguments(one)])

    def in_scala(one: dict[str, Any]) -> None:
        import scala

        # Glue compiles a script once.
        scala.run(spark, scala.compile(tree / "glue/scala/etl.scala", FOLDER / "scala"), "GlueApp", arguments(one))

    if any(one["engine"] == "scala" for one in request["steps"]):
        import scala

        scala.compile(tree / "glue/scala/etl.scala", FOLDER / "scala")
    return {
        "python": in_python,
        "scala": in_scala,
        "plain": lambda one: plain.append_day(spark, data, one["table"], one["day"]),
        "rewrite": lambda one: plain.rewrite_days(spark, data, one["table"], one["days"]),
        "layout": lambda one: layout.look(spark, work, one),
        "books": lambda one: truth.compare(spark, work, one),
    }


def cpu_seconds(spark: Any) -> float:
    fields = (process(spark) / "stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peaks(spark: Any) -> dict[str, float]:
    """The peak memory of the process, and of its heap including garbage: the sum of each pool's peak."""
    (resident,) = map(int, re.findall(r"VmHWM:\s+(\d+) kB", (process(spark) / "status").read_text()))
    pools = spark._jvm.java.lang.management.ManagementFactory.getMemoryPoolMXBeans()
    heap = sum(pool.getPeakUsage().getUsed() for pool in pools if pool.getType().name() == "HEAP")
    return {"peak_resident_mb": resident // 1024, "peak_heap_mb": heap // 2**20}


def process(spark: Any) -> Path:
    return Path("/proc", str(spark._jvm.java.lang.ProcessHandle.current().pid()))


if __name__ == "__main__":
    main()
