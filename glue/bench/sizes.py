"""How an arrival day scales: several numbers of impressions, each in a separate Spark process with 2 GB of heap.

    python glue/bench/sizes.py [--impressions 1000000,5000000,20000000] [--engines python,scala] [--rounds 1] [--json]

Prints seconds, CPU and peak memory, CPU seconds per million lines, and the growth from one size to the next: 1.00 is
linear. A run that needs more heap fails.
"""

from __future__ import annotations

import argparse
import json

import harness
import traffic


def main() -> None:
    options = harness.options(__doc__, impressions="1000000,5000000,20000000", engines="python,scala", rounds=1)
    sizes = [int(size) for size in options.impressions.split(",")]
    rows = []
    for engine in options.engines.split(","):
        found = {size: measure(engine, size, options) for size in sizes}
        for smaller, size in zip([None, *sizes], sizes, strict=False):
            row = {
                "engine": engine,
                "impressions": size,
                **found[size],
                "cpu_seconds_per_million": round(found[size]["cpu_seconds"] / size * 1e6, 1),
            }
            for name in ("seconds", "cpu_seconds"):
                growth = found[size][name] / found[smaller][name] / (size / smaller) if smaller else 1
                row[f"{name}, growth"] = round(growth, 2)
            rows.append(row)
    if options.json:
        print(json.dumps(rows))
    else:
        harness.table(rows)


def measure(engine: str, size: int, options: argparse.Namespace) -> dict[str, float]:
    raw = traffic.impressions(options.folder, size)
    rounds = []
    for _ in range(options.rounds):
        with harness.scratch(raw) as work:
            rounds += harness.run(work, [harness.step(engine, "impressions", traffic.FIRST_DAY)])
        harness.say(engine, size, json.dumps(rounds[-1]))
    return harness.medians(rounds)


if __name__ == "__main__":
    main()
