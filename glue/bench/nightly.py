"""A night's ETL of one arrival day, compared with a plain job and with the earlier ETL by event days.

    python glue/bench/nightly.py [--impressions 600000] [--days 8] [--nights 4] [--engine python] [--rounds 3] [--before 307c247] [--json]

So many days of impressions and their clicks. Before the measured nights the lake has the days before them, and raw of a
day arrives with its night, as it does in operation. The nights run in one Spark process, one after the other, for each
of:

    before    the ETL of the commit --before: the last four event days, each from the raw lines of all days around it
    now 3     the ETL of the arrival day, LookbackDays 3
    now 14    the same with LookbackDays 14
    plain     a job without guarantees that rewrites the last four event days from what arrived on these days

Prints seconds and CPU of the first night, with a cold JVM, and of all nights, and the ratios of CPU.
"""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import harness
import traffic

TABLES = ("impressions", "clicks")
# The event days of a night before: LookbackDays and the day itself.
REWRITTEN = harness.LOOKBACK_DAYS + 1
RATIOS = (("now 3", "before"), ("now 14", "now 3"), ("now 3", "plain"))


def main() -> None:
    options = harness.options(
        __doc__, impressions=600_000, days=8, nights=4, engine="python", rounds=3, before="307c247"
    )
    raw = traffic.impressions(options.folder, options.impressions, options.days)
    tree = traffic.old_jobs(options.folder, options.before)
    kinds: dict[str, dict[str, Any]] = {
        "before": {"days_of_night": REWRITTEN, "lookback_days": harness.LOOKBACK_DAYS, "tree": tree},
        "now 3": {"days_of_night": 1, "lookback_days": harness.LOOKBACK_DAYS, "tree": traffic.ROOT},
        "now 14": {"days_of_night": 1, "lookback_days": 14, "tree": traffic.ROOT},
        "plain": {},
    }
    runs: dict[str, list[dict[str, dict[str, float]]]] = {kind: [] for kind in kinds}
    first = options.days - options.nights
    with harness.scratch(raw, arrived=False) as kept:
        for kind, settings in kinds.items():
            (kept / kind / "data").mkdir(parents=True)
            if settings and first:
                fill(kept / kind, raw, first, options.engine, settings)
        for number in range(options.rounds):
            for kind, settings in kinds.items():
                nights = measure(kept / kind, raw, range(first, options.days), options.engine, settings)
                runs[kind].append({"first night": nights[0], "all nights": add(nights)})
                harness.say(f"round {number + 1}: {kind}", json.dumps(nights))
    report(runs, options.json)


def fill(work: Path, raw: Path, days: int, engine: str, settings: dict[str, Any]) -> None:
    """The days before the nights, each once."""
    steps = [
        harness.step(engine, table, traffic.day_of(number), **arrival(raw, number))
        for number in range(days)
        for table in TABLES
    ]
    harness.run(work, steps, settings["lookback_days"], tree=settings["tree"])


def measure(kept: Path, raw: Path, nights: range, engine: str, settings: dict[str, Any]) -> list[dict[str, float]]:
    """The figures of each night, on a copy."""
    with harness.scratch(raw, arrived=False) as work:
        shutil.copytree(kept / "data", work / "data", symlinks=True, dirs_exist_ok=True)
        steps = [one for number in nights for one in steps_of(number, raw, engine, settings)]
        if settings:
            figures = harness.run(work, steps, settings["lookback_days"], tree=settings["tree"])
        else:
            figures = harness.run(work, steps)
    size = len(steps) // len(nights)
    return [add(figures[start : start + size]) for start in range(0, len(steps), size)]


def steps_of(number: int, raw: Path, engine: str, settings: dict[str, Any]) -> list[dict[str, Any]]:
    today = traffic.day_of(number)
    if not settings:
        rewritten = [str(day) for day in last_days(number, REWRITTEN)]
        # The plain job has no lake before its first night, so it needs raw of the days that it reads.
        shared = {
            "raw": str(raw),
            "arrive": [traffic.day_path(table, day) for day in last_days(number, REWRITTEN) for table in TABLES],
        }
        return [harness.step("rewrite", table, today, days=rewritten, **shared) for table in TABLES]
    days = last_days(number, settings["days_of_night"])
    return [harness.step(engine, table, day, **arrival(raw, number)) for day in days for table in TABLES]


def last_days(number: int, count: int) -> list[date]:
    return [traffic.day_of(one) for one in range(max(0, number + 1 - count), number + 1)]


def arrival(raw: Path, number: int) -> dict[str, Any]:
    """The raw lines that a step needs."""
    return {"raw": str(raw), "arrive": [traffic.day_path(table, traffic.day_of(number)) for table in TABLES]}


def add(figures: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(sum(one[name] for one in figures), 2) for name in ("seconds", "cpu_seconds")}


def report(runs: dict[str, list[dict[str, dict[str, float]]]], as_json: bool) -> None:
    scopes = ("first night", "all nights")
    ratios = {
        f"{one} / {other}": {
            scope: harness.ratio(
                [each[scope] for each in runs[one]], [each[scope] for each in runs[other]], "cpu_seconds"
            )
            for scope in scopes
        }
        for one, other in RATIOS
    }
    medians = {
        kind: {scope: harness.medians([one[scope] for one in rounds]) for scope in scopes}
        for kind, rounds in runs.items()
    }
    if as_json:
        print(json.dumps({"rounds": runs, "medians": medians, "ratios": ratios}))
        return
    columns = [(scope, name) for scope in scopes for name in ("seconds", "cpu_seconds")]
    harness.table(
        [
            {"": kind} | {f"{scope}, {name}": found[scope][name] for scope, name in columns}
            for kind, found in medians.items()
        ]
    )
    print()
    harness.table(
        [{"CPU": pair} | {scope: harness.show(found[scope]) for scope in scopes} for pair, found in ratios.items()]
    )


if __name__ == "__main__":
    main()
