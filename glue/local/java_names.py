"""Names of Java that PySpark uses all the time."""

from __future__ import annotations

from pyspark.sql import SparkSession

NAMES = (
    "PythonUtils",
    "SparkSession",
    "SparkSession$",
    "functions",
    "org.apache.spark.util.Utils",
    "py4j.reflection.TypeUtil",
)


def remember(spark: SparkSession) -> None:
    """Keeps what the names stand for, as long as the session's JVM runs.

    By itself Py4J asks Java at each use, which looks for the name, and for each package before it, in some 300 archives.
    """
    for name in NAMES:
        place = spark._jvm
        for part in name.split("."):
            found = getattr(place, part)
            setattr(place, part, found)
            place = found
