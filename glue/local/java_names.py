"""Java names that PySpark uses all the time."""

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
    """Caches the classes for as long as the session's JVM runs.

    Otherwise Py4J asks Java at each use, which searches about 300 archives for the name and each of its packages.
    """
    for name in NAMES:
        place = spark._jvm
        for part in name.split("."):
            found = getattr(place, part)
            setattr(place, part, found)
            place = found
