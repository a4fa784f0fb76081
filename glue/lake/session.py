"""The Spark session of a job, and how its ORC files are written."""

from __future__ import annotations

from pyspark.sql import SparkSession

COMPRESSIONS = ("zstd", "zlib", "snappy")

# Results depend on these, so a job sets them itself. The caller sets everything else (`spark-submit --conf`).
SETTINGS = {"spark.sql.session.timeZone": "UTC", "spark.sql.ansi.enabled": "false"}

# A reader that looks for one ad reads whole row groups in whole blocks. ORC's defaults of 10,000 rows and 256 KiB are
# much more than it needs. The dictionary of ads is a hash table: a tree would compare about ten ids for each row.
ORC_OPTIONS = {
    "orc.row.index.stride": "2500",
    "orc.compress.size": str(64 * 2**10),
    "orc.dictionary.implementation": "hash",
}


def start(name: str) -> SparkSession:
    """The session, with the catalog and the settings that every job needs."""
    spark = SparkSession.builder.appName(name).enableHiveSupport().getOrCreate()
    for setting, value in SETTINGS.items():
        spark.conf.set(setting, value)
    return spark
