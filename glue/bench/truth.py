"""The ledger and the lake of a generated day compared with the definition in plain Python, which shares no code with
the jobs.

    python glue/bench/truth.py [--impressions 200000] [--engines python,scala] [--json]

Exit status 1 when they differ.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness
import traffic


def main() -> None:
    options = harness.options(__doc__, impressions=200_000, engines="python,scala")
    raw = traffic.impressions(options.folder, options.impressions)
    found = {}
    for engine in options.engines.split(","):
        with harness.scratch(raw) as work:
            steps = [harness.step(engine, "impressions", traffic.FIRST_DAY), {"engine": "books"}]
            found[engine] = {
                name: value
                for name, value in harness.run(work, steps)[1].items()
                if name in ("ledger", "rows", "differ")
            }
    if options.json:
        print(json.dumps(found))
    else:
        harness.table(
            [
                {"engine": engine, **one["ledger"], "differ": ", ".join(one["differ"]) or "nothing"}
                for engine, one in found.items()
            ]
        )
    sys.exit(1 if any(one["differ"] for one in found.values()) else 0)


def compare(spark: Any, work: Path, _: dict[str, Any]) -> dict[str, Any]:
    """In the process with Spark."""
    import expectation

    day = f"{traffic.FIRST_DAY}"
    arrived = list(expectation.fates(expectation.IMPRESSIONS, read_raw(work), harness.LOOKBACK_DAYS))
    fates = [one.fate for one in arrived]
    expected = {"raw": len(arrived)} | {fate: fates.count(fate) for fate in ("kept", "repeats", "rejected", "late")}
    rows = sorted(tuple(one.row.values()) for one in arrived if one.row and one.fate == "kept")
    lake = spark.table(f"{harness.DATABASE}.impressions").where(f"arrived = '{day}'")
    stored = sorted(tuple(row) for row in lake.select("impression_id", "ad_id", "occurred_at").collect())
    ledger = (
        spark.table(f"{harness.DATABASE}.ledger").where(f"concat_ws('-', year, month, day) = '{day}'").first().asDict()
    )
    figures = {name: ledger[name] for name in [*expected, "stored"]}
    differ = [name for name, lines in expected.items() if figures[name] != lines]
    return {"ledger": figures, "rows": len(stored), "differ": differ + (["lake"] if stored != rows else [])}


def read_raw(work: Path) -> Iterator[tuple[str, str, str]]:
    """Every line of the day as (hour of arrival, object name, line)."""
    for file in sorted((work / "data" / traffic.day_path("impressions", traffic.FIRST_DAY)).glob("*/*.gz")):
        hour = re.findall("hour=([0-9]+)", str(file))[-1]
        with gzip.open(file, "rt", encoding="utf-8", newline="\n") as lines:
            for line in lines:
                yield f"{traffic.FIRST_DAY} {hour}", file.name, line.removesuffix("\n")


if __name__ == "__main__":
    main()
