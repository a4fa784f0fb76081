"""Measures the nightly batch on the running warehouse: a day of each size through the deployed state machine.

    cargo dataless up
    python3 glue/bench/nightly.py [--impressions 1000000,4000000] [--first-day 2026-03-01]

Each size gets a day of its own, five days apart, so that no day sees another's events. Prints the seconds of each job, and what
the runs would cost on Glue at the price below if they took as long there.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DAYS_APART = 5

# https://aws.amazon.com/glue/pricing/ (us-east-1): USD a DPU and hour, billed by the second, a minute at least a run.
# A G.1X worker is one DPU; the template's default is two.
DPU_HOUR_USD = 0.44
LEAST_SECONDS = 60
WORKERS = 2

STEP = re.compile(r"^\s+(\w+Job)\s+(\d{4}-\d\d-\d\d)\s+(\d+) s$", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impressions", default="1000000,4000000")
    parser.add_argument("--first-day", type=date.fromisoformat, default=date(2026, 3, 1))
    options = parser.parse_args()
    dataless("status")
    results = []
    for number, size in enumerate(int(size) for size in options.impressions.split(",")):
        day = options.first_day + timedelta(days=number * DAYS_APART)
        with tempfile.TemporaryDirectory(prefix="nightly-") as folder:
            command = ["files", "-c", ROOT / "glue/bench/loadgen.yaml", "--day", str(day)]
            run("cargo", "run", "--quiet", "--release", "--package", "loadgen", "--", *command, "--out", folder, "--impressions", str(size), "--seed", str(number + 1))
            dataless("import", folder)
        start = time.monotonic()
        printed = dataless("batch", "--day", str(day))
        seconds = time.monotonic() - start
        jobs = {job: int(taken) for job, _, taken in STEP.findall(printed)}
        results.append((size, seconds, jobs))
        print(printed, flush=True)
        print(dataless("verify", "--day", str(day)), flush=True)
    print_results(results)


def print_results(results: list[tuple[int, float, dict[str, int]]]) -> None:
    """A Markdown table: a column a size."""
    names = list(results[0][2])
    print("| job, seconds | " + " | ".join(f"{size:,} impressions" for size, _, _ in results) + " |")
    print("|---|" + "---:|" * len(results))
    for name in names:
        print(f"| {name} | " + " | ".join(str(jobs[name]) for _, _, jobs in results) + " |")
    print("| all of the batch | " + " | ".join(f"{seconds:.0f}" for _, seconds, _ in results) + " |")
    print("| on Glue, USD | " + " | ".join(f"{cost(jobs):.3f}" for _, _, jobs in results) + " |")


def cost(jobs: dict[str, int]) -> float:
    """What the jobs cost on Glue if they take as long there."""
    return sum(max(seconds, LEAST_SECONDS) for seconds in jobs.values()) * WORKERS * DPU_HOUR_USD / 3600


def dataless(*arguments: str) -> str:
    return run("cargo", "dataless", *arguments)


def run(*command: str | Path) -> str:
    """What the command prints, on either stream."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main()
