"""Runs a HiveQL script for one day, checks the result, and only then publishes it to readers.

    spark-submit glue/hive.py --script s3://…/query.hql --database DB --day YYYY-MM-DD [--checks s3://…/checks.hql]
        [--attribution_days N] [--staging s3://…] [--compression zstd|zlib|snappy]

The scripts read these Hive variables: database, day (YYYY-MM-DD), year, month and day_of_month (the day's partition
keys, zero-padded) and, if given, attribution_days and staging. Hive and `spark-sql` run the same files with `--hivevar
name=value`. A check is a SELECT that must return no row; its first column is the check's name.

`INSERT OVERWRITE TABLE t PARTITION (…) SELECT …` writes complete files beside the live ones, runs the checks, then
points the catalog at the new files in one call. `docs/pipeline.md` explains what that guarantees.
On AWS the job needs `--extra-py-files` with lake.zip.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from awsglue.utils import getResolvedOptions
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lake import files, measure, session
from lake.arguments import attribution_days
from lake.partition import Partition

# Offending rows that an error shows.
SHOWN_ROWS = 20

INSERT = re.compile(
    r"INSERT\s+OVERWRITE\s+TABLE\s+(?P<table>\w+)\s+PARTITION\s*\((?P<keys>[^)]*)\)\s*(?P<query>.+)",
    re.IGNORECASE | re.DOTALL,
)
# Files that no reader of the catalog sees, such as the staging files of Redshift.
DIRECTORY = re.compile(r"INSERT\s+OVERWRITE\s+DIRECTORY\b", re.IGNORECASE)
STATIC_KEY = re.compile(r"\s*`?(\w+)`?\s*=\s*'([^']*)'\s*")
VARIABLE = re.compile(r"\$\{hivevar:(\w+)\}")


class CheckFailed(Exception):
    """A check returned rows: the data is wrong."""


@dataclass(frozen=True)
class Staged:
    """A partition's new files, complete, in a folder that nobody reads yet."""

    partition: Partition
    path: str


@measure.job
def main(argv: list[str]) -> int:
    """Runs the job; returns the number of rows in the partitions that it replaced.

    Raises `CheckFailed` when a check returns a row; readers then keep the partitions they had.
    """
    optional = [name for name in ("checks", "attribution_days", "staging", "compression") if f"--{name}" in argv]
    options = getResolvedOptions(argv, ["script", "database", "day", *optional])
    spark = session.start(f"hive {options['script']} {options['day']}")
    variables = day_variables(options["day"]) | {"database": options["database"]}
    if "attribution_days" in options:
        variables["attribution_days"] = str(attribution_days(options["attribution_days"]))
    if "staging" in options:
        variables["staging"] = options["staging"]
    checks = files.read_text(spark, options["checks"]) if "checks" in options else ""
    script = files.read_text(spark, options["script"])
    return run(spark, script, checks, variables, options.get("compression") or "zstd")


def day_variables(day: str) -> dict[str, str]:
    """The variables that follow from the day. Raises `ValueError` when it is not YYYY-MM-DD."""
    parsed = datetime.strptime(day, "%Y-%m-%d")
    return {
        "day": f"{parsed:%Y-%m-%d}",
        "year": f"{parsed:%Y}",
        "month": f"{parsed:%m}",
        "day_of_month": f"{parsed:%d}",
    }


def run(spark: SparkSession, script: str, checks: str, variables: dict[str, str], compression: str) -> int:
    """Runs the script's statements, checks the new partitions, and publishes them; returns their number of rows."""
    staged: list[Staged] = []
    count = 0
    try:
        for statement in split_statements(fill_in(script, variables)):
            if statement.upper().startswith("INSERT") and not DIRECTORY.match(statement):
                staged.append(stage(spark, variables["database"], statement, compression))
                count += show_staged(spark, staged[-1]).count()
            else:
                spark.sql(statement)
        run_checks(spark, checks, variables)
        while staged:
            staged[0].partition.publish(staged[0].path)
            spark.catalog.dropTempView(staged.pop(0).partition.table)
    finally:
        for unpublished in staged:
            spark.catalog.dropTempView(unpublished.partition.table)
            files.delete(spark, unpublished.path)
    return count


def stage(spark: SparkSession, database: str, insert: str, compression: str) -> Staged:
    """Writes the rows of an insert. Raises `ValueError` unless it replaces exactly one partition of a known table."""
    table, keys, query = parse_insert(insert)
    partition = Partition(spark, database, table, keys)
    schema = spark.table(f"{database}.{table}").drop(*keys).schema
    rows = spark.sql(query)
    expected = [field.dataType.simpleString() for field in schema]
    found = [type_name for _, type_name in rows.dtypes]
    if found != expected:
        raise ValueError(f"the query for {table} gives ({', '.join(found)}), but the table has ({', '.join(expected)})")
    return Staged(partition, partition.write(rows.toDF(*schema.names), compression))


def parse_insert(insert: str) -> tuple[str, dict[str, str], str]:
    """Table, partition keys and query of an insert. Raises `ValueError` for any other form of it."""
    parts = INSERT.fullmatch(insert)
    keys = [STATIC_KEY.fullmatch(key) for key in parts["keys"].split(",")] if parts else []
    if not parts or not all(keys):
        raise ValueError(
            "an insert must have the form INSERT OVERWRITE TABLE t PARTITION (key = 'value', …) SELECT …, "
            f"so that a rerun replaces what it wrote; this one is: {insert}"
        )
    return parts["table"], {key[1]: key[2] for key in keys if key}, parts["query"]


def show_staged(spark: SparkSession, staged: Staged) -> DataFrame:
    """Lets later statements and checks of this session see the table as if the partition were published.

    Gives the rows of the partition alone.
    """
    partition = staged.partition
    live = spark.table(f"{partition.database}.{partition.table}")
    is_replaced = F.lit(True)
    for key, value in partition.keys.items():
        is_replaced &= F.col(key) == F.lit(value)
    rows = spark.read.schema(live.drop(*partition.keys).schema).orc(staged.path)
    new = rows.select("*", *(F.lit(value).alias(key) for key, value in partition.keys.items()))
    live.where(~is_replaced).unionByName(new).createOrReplaceTempView(partition.table)
    return rows


def run_checks(spark: SparkSession, script: str, variables: dict[str, str]) -> None:
    """Runs every check, then raises `CheckFailed` with the rows of all that failed."""
    failures = []
    for statement in split_statements(fill_in(script, variables)):
        rows = spark.sql(statement).take(SHOWN_ROWS)
        if rows:
            shown = "\n".join(f"  {row.asDict()}" for row in rows)
            failures.append(f"check failed: {rows[0][0]} (first {len(rows)} rows)\n{shown}")
    if failures:
        raise CheckFailed("\n".join(failures))


def fill_in(script: str, variables: dict[str, str]) -> str:
    """The script with its `${hivevar:name}` replaced. Raises `ValueError` for a name that has no value."""
    missing = sorted(set(VARIABLE.findall(script)) - set(variables))
    if missing:
        raise ValueError(f"the script needs {', '.join(missing)}; given are {', '.join(sorted(variables))}")
    return VARIABLE.sub(lambda variable: variables[variable[1]], script)


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


if __name__ == "__main__":
    main(sys.argv)
