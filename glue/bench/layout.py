"""Bytes per row of the lake's files, and the bytes that a query for one ad reads.

    python glue/bench/layout.py [--impressions 1250000] [--engine python] [--file_mb 64] [--before 307c247] [--json]

The files of one event day, by the ETL and by that of the commit --before, which is asked for files of the same size.
Then the same rows by compression, in the lake's order and as they came. `--before ""` leaves the commit out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import harness
import traffic

COMPRESSIONS = ("zstd", "zlib", "snappy")
ORDERS = {"sorted": ("ad_id", "occurred_at", "impression_id"), "as it came": ("impression_id",)}
LAKE = "data/lake/ad/impressions"
FILES_NOW = f"{LAKE}/arrived={traffic.FIRST_DAY}/run-*/event_day={traffic.FIRST_DAY}/*.orc"
FILES_BEFORE = f"{LAKE}/year={traffic.FIRST_DAY:%Y}/month={traffic.FIRST_DAY:%m}/day={traffic.FIRST_DAY:%d}/run-*/*.orc"


def main() -> None:
    options = harness.options(__doc__, impressions=1_250_000, engine="python", file_mb=64, before="307c247")
    raw = traffic.impressions(options.folder, options.impressions)
    found = {"now": measure(raw, options.engine, options.file_mb, traffic.ROOT, files=FILES_NOW, compressions=True)}
    if options.before:
        file_mb = max(1, round(found["now"]["bytes"] / found["now"]["files"] / 2**20))
        tree = traffic.old_jobs(options.folder, options.before)
        found["before"] = measure(raw, options.engine, file_mb, tree, files=FILES_BEFORE, compressions=False)
    if options.json:
        print(json.dumps(found))
        return
    harness.table(
        [
            {"": name} | {key: one[key] for key in ("rows", "files", "bytes", "bytes_per_row")}
            for name, one in found.items()
        ]
    )
    print("\nOf the bytes, a query for one ad reads")
    harness.table(
        [
            {"rank of the ad": now["rank"], "share of the rows": f"{now['rows']:.2%}"}
            | {
                f"{what}, {name}": f"{one['ads'][place][what]:.2%}"
                for name, one in found.items()
                for what in ("SELECT *", "count(*)")
            }
            for place, now in enumerate(found["now"]["ads"])
        ]
    )
    print("\nBytes a row in one file")
    harness.table([{"compression": name, **sizes} for name, sizes in found["now"]["compressions"].items()])


def measure(raw: Path, engine: str, file_mb: int, tree: Path, **look: Any) -> dict[str, Any]:
    with harness.scratch(raw) as work:
        steps = [harness.step(engine, "impressions", traffic.FIRST_DAY), {"engine": "layout", **look}]
        return harness.run(work, steps, file_mb=file_mb, tree=tree)[1]


def look(spark: Any, work: Path, one: dict[str, Any]) -> dict[str, Any]:
    """The files that a pattern finds: their size, and what is read of them. In the process with Spark."""
    from pyspark.sql import functions as F

    files = sorted(work.glob(one["files"]))
    size = sum(file.stat().st_size for file in files)
    # The last column is not one of the table's.
    lake = spark.read.orc([f"file://{file}" for file in files]).drop("_aside")
    by_ad = [
        (row["ad_id"], row["count"])
        for row in lake.groupBy("ad_id").count().orderBy(F.desc("count"), "ad_id").collect()
    ]
    rows = sum(count for _, count in by_ad)
    ads = []
    for rank in (1, 10, max(1, len(by_ad) // 2), len(by_ad)):
        ad, count = by_ad[min(rank, len(by_ad)) - 1]
        query = lake.where(F.col("ad_id") == ad)
        read = {"SELECT *": bytes_read(spark, query), "count(*)": bytes_read(spark, query.agg(F.count(F.lit(1))))}
        ads.append({"rank": rank, "rows": count / rows} | {what: count / size for what, count in read.items()})
    sizes = by_compression(spark, work, lake, rows) if one["compressions"] else {}
    return {
        "rows": rows,
        "files": len(files),
        "bytes": size,
        "bytes_per_row": round(size / rows, 1),
        "ads": ads,
        "compressions": sizes,
    }


def by_compression(spark: Any, work: Path, lake: Any, rows: int) -> dict[str, dict[str, float]]:
    from lake.session import ORC_OPTIONS

    found: dict[str, dict[str, float]] = {}
    for compression in COMPRESSIONS:
        for order, keys in ORDERS.items():
            folder = work / compression / order.replace(" ", "-")
            one_file = lake.repartition(1).sortWithinPartitions(*keys)
            one_file.write.options(compression=compression, **ORC_OPTIONS).orc(f"file://{folder}")
            size = sum(file.stat().st_size for file in folder.glob("*.orc"))
            found.setdefault(compression, {})[order] = round(size / rows, 1)
    return found


def bytes_read(spark: Any, frame: Any) -> int:
    """The bytes read while the query ran, as Hadoop counts them."""
    statistics = spark._jvm.org.apache.hadoop.fs.FileSystem.getAllStatistics
    before = sum(each.getBytesRead() for each in statistics())
    frame.write.format("noop").mode("overwrite").save()
    return sum(each.getBytesRead() for each in statistics()) - before


if __name__ == "__main__":
    main()
