"""Runs a HiveQL script for one day, then its checks.

    spark-submit glue/hive.py --script s3://…/query.hql --database DB --day YYYY-MM-DD [--checks s3://…/checks.hql]
        [--lookback_days N]

The scripts read these Hive variables: database, day (YYYY-MM-DD), year, month and day_of_month (the day's partition
keys, zero-padded) and, if given, lookback_days. Hive and `spark-sql` run the same files with `--hivevar name=value`.
A check is a SELECT whose first column names it and which must return no row.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime

from awsglue.utils import getResolvedOptions
from pyspark.sql import SparkSession

# The results depend on these, so the job sets them itself. Everything else is the caller's (`spark-submit --conf`).
SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",
}

# How many offending rows an error shows.
SHOWN_ROWS = 20


class CheckFailed(Exception):
    """A check returned rows: the data it looked at are wrong."""


def main(argv: list[str]) -> None:
    """Runs the job. Raises `CheckFailed` when a check returns a row."""
    names = ["script", "database", "day"] + [name for name in ("checks", "lookback_days") if f"--{name}" in argv]
    options = getResolvedOptions(argv, names)
    spark = SparkSession.builder.appName(f"hive {options['script']} {options['day']}").enableHiveSupport().getOrCreate()
    for name, value in SETTINGS.items():
        spark.conf.set(name, value)
    variables = day_variables(options["day"]) | {"database": options["database"]}
    if "lookback_days" in options:
        variables["lookback_days"] = str(int(options["lookback_days"]))
    run_script(spark, read_text(spark, options["script"]), variables)
    if "checks" in options:
        run_checks(spark, read_text(spark, options["checks"]), variables)


def day_variables(day: str) -> dict[str, str]:
    """The variables that follow from the day. Raises `ValueError` when it is no YYYY-MM-DD."""
    parsed = datetime.strptime(day, "%Y-%m-%d")
    return {"day": f"{parsed:%Y-%m-%d}", "year": f"{parsed:%Y}", "month": f"{parsed:%m}", "day_of_month": f"{parsed:%d}"}


def run_script(spark: SparkSession, script: str, variables: dict[str, str]) -> None:
    """Runs the statements one after the other."""
    set_variables(spark, variables)
    for statement in split_statements(script):
        spark.sql(statement)


def run_checks(spark: SparkSession, script: str, variables: dict[str, str]) -> None:
    """Runs every check, then raises `CheckFailed` with the rows of all that failed."""
    set_variables(spark, variables)
    failures = []
    for statement in split_statements(script):
        rows = spark.sql(statement).take(SHOWN_ROWS)
        if rows:
            shown = "\n".join(f"  {row.asDict()}" for row in rows)
            failures.append(f"check failed: {rows[0][0]} (first {len(rows)} rows)\n{shown}")
    if failures:
        raise CheckFailed("\n".join(failures))


def set_variables(spark: SparkSession, variables: dict[str, str]) -> None:
    """Makes `${hivevar:name}` resolve, which Spark looks up in its configuration."""
    for name, value in variables.items():
        spark.conf.set(name, value)


def split_statements(script: str) -> Iterator[str]:
    """The statements between semicolons, without `--` comments; quoted semicolons and dashes are text."""
    statement: list[str] = []
    quote = ""
    position = 0
    while position < len(script):
        character = script[position]
        if quote:
            if character == "\\":
                statement.append(script[position : position + 2])
                position += 2
                continue
            if character == quote:
                quote = ""
        elif character in "'\"`":
            quote = character
        elif script.startswith("--", position):
            end = script.find("\n", position)
            position = len(script) if end < 0 else end
            continue
        elif character == ";":
            yield from nonblank("".join(statement))
            statement = []
            position += 1
            continue
        statement.append(character)
        position += 1
    yield from nonblank("".join(statement))


def nonblank(statement: str) -> list[str]:
    text = statement.strip()
    return [text] if text else []


def read_text(spark: SparkSession, path: str) -> str:
    """The text of one file, from wherever Hadoop can read (S3 or local alike)."""
    return spark.sparkContext.wholeTextFiles(path).values().first()


if __name__ == "__main__":
    main(sys.argv)
