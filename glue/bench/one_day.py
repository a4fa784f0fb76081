"""One arrival day through the ETL in Python and in Scala, and through the plain job.

    python glue/bench/one_day.py [--tables impressions,orders] [--impressions 5000000] [--orders 1500000] [--rounds 3] [--json]

Each run is a separate Spark process. In each round all engines run, one after the other, and each is compared with the
round's plain run. Prints medians of the rounds, and ratios with their minimum and maximum.
"""

from __future__ import annotations

import argparse
import json

import harness
import traffic


def main() -> None:
    options = harness.options(
        __doc__,
        tables="impressions,orders",
        engines=",".join(harness.ENGINES),
        impressions=5_000_000,
        orders=1_500_000,
        rounds=3,
    )
    results = {table: measure(table, options) for table in options.tables.split(",")}
    if options.json:
        print(json.dumps(results))
        return
    for name, result in results.items():
        print(f"\n{name}, {result['events']:,} and their repeats")
        harness.table(
            [
                {
                    "engine": engine,
                    **figures["median"],
                    **{f"{key} / plain": harness.show(value) for key, value in figures["to_plain"].items()},
                }
                for engine, figures in result["engines"].items()
            ]
        )


def measure(table: str, options: argparse.Namespace) -> dict:
    count = getattr(options, table)
    raw = getattr(traffic, table)(options.folder, count)
    engines = options.engines.split(",")
    runs: dict[str, list[dict[str, float]]] = {engine: [] for engine in engines}
    for number in range(options.rounds):
        for engine in engines:
            with harness.scratch(raw) as work:
                [figures] = harness.run(work, [harness.step(engine, table, traffic.FIRST_DAY)])
            harness.say(f"round {number + 1}: {table} {engine}", json.dumps(figures))
            runs[engine].append(figures)
    compared = ("seconds", "cpu_seconds") if "plain" in engines else ()
    return {
        "events": count,
        "engines": {
            engine: {
                "rounds": rounds,
                "median": harness.medians(rounds),
                "to_plain": {name: harness.ratio(rounds, runs["plain"], name) for name in compared},
            }
            for engine, rounds in runs.items()
        },
    }


if __name__ == "__main__":
    main()
