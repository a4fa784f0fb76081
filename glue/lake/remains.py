"""Files that no partition points to: leftovers of dead jobs, and replaced files that are not deleted yet."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession

from lake import files
from lake.objects import Store
from lake.partition import table_location

RUN = re.compile(r".+?/run-[^/]+(?=/)")
# Unfinished output of Spark and Hive, which readers ignore.
UNFINISHED = re.compile(r".*?/[._][^/]*(?=/)")
# Whether a row of a frame contains what is erased.
Holds = Callable[[DataFrame], Column]
# Packages whose exceptions mean that a file is truncated or damaged.
MALFORMED = ("org.apache.orc.", "io.airlift.compress.", "java.util.zip.")


@dataclass(frozen=True)
class Remains:
    """A folder that nobody reads, and the paths in it to delete, all below the data path."""

    folder: str
    paths: tuple[str, ...]
    is_unfinished: bool = False


def find_remains(
    spark: SparkSession,
    store: Store,
    data_path: str,
    database: str,
    tables: Iterable[str],
    manifests: str,
    holds: Holds,
) -> list[tuple[Remains, int]]:
    """Leftovers of the tables and of the load's manifests that contain what is erased, with the number of rows; 0 where
    they can't be read."""
    live = live_folders(spark, data_path, database, tables)
    dead = dead_folders(store, table_folders(spark, data_path, database, tables), live) + unfinished_folders(
        store, manifests
    )
    counted = [(one, count_rows(spark, data_path, one, holds)) for one in sorted(dead, key=lambda one: one.folder)]
    return [(one, rows or 0) for one, rows in counted if rows != 0]


def dead_folders(store: Store, roots: Iterable[str], live: set[str]) -> list[Remains]:
    """Folders of the tables that no partition points to."""
    runs: dict[str, set[str]] = defaultdict(set)
    unfinished: set[str] = set()
    others: dict[str, set[str]] = defaultdict(set)
    for key in (key for root in roots for key in file_keys(store, f"{root}/")):
        folder, run, hidden = key.rpartition("/")[0], RUN.match(key), UNFINISHED.match(key)
        if hidden:
            folder = hidden[0]
            unfinished |= {folder, run[0] if run else folder}
        if run:
            runs[run[0]].add(folder)
        elif folder not in live:
            # Of a plain INSERT, whose files may have live runs beside them.
            others[folder].add(folder if hidden else key)
    dead = [Remains(folder, tuple(sorted(paths)), folder in unfinished) for folder, paths in others.items()]
    for name, folders in runs.items():
        dead += [Remains(one, (one,), one in unfinished) for one in (folders - live if folders & live else {name})]
    return dead


def unfinished_folders(store: Store, prefix: str) -> list[Remains]:
    """Folders below the prefix that a job has not finished."""
    found = (UNFINISHED.match(key) for key in file_keys(store, f"{prefix}/"))
    return [Remains(folder, (folder,), True) for folder in {match[0] for match in found if match}]


def file_keys(store: Store, prefix: str) -> Iterator[str]:
    """The keys of files, without marks such as `_SUCCESS`."""
    for item in store.objects(prefix):
        name = item.key.rpartition("/")[2]
        if item.is_live and name and not name.startswith((".", "_")):
            yield item.key


def delete_remains(spark: SparkSession, data_path: str, remains: Remains) -> None:
    for path in remains.paths:
        files.delete(spark, f"{data_path}/{path}")


def live_folders(spark: SparkSession, data_path: str, database: str, tables: Iterable[str]) -> set[str]:
    """The folders of all files that the catalog's partitions have."""
    found = set()
    for table in tables:
        spark.catalog.refreshTable(f"{database}.{table}")
        for path in spark.table(f"{database}.{table}").inputFiles():
            found.add(below(data_path, unquote(path)).rpartition("/")[0])
    return found


def table_folders(spark: SparkSession, data_path: str, database: str, tables: Iterable[str]) -> set[str]:
    """The folders of the tables that are below the data path."""
    locations = {table_location(spark, database, table) for table in tables}
    return {folder for folder in (below(data_path, location) for location in locations) if folder}


def below(data_path: str, path: str) -> str:
    """A path without the data path, whichever scheme either has; empty for one that is elsewhere."""
    root, full = (f"{re.sub('^[a-z0-9]+:', '', one).strip('/')}/" for one in (data_path, path))
    return full.removeprefix(root).strip("/") if full.startswith(root) else ""


def count_rows(spark: SparkSession, data_path: str, remains: Remains, holds: Holds) -> int | None:
    """The number of rows that contain what is erased; None when files are unfinished or damaged."""
    if remains.is_unfinished:
        return None
    try:
        rows = spark.read.option("recursiveFileLookup", "true").orc([f"{data_path}/{path}" for path in remains.paths])
        return rows.where(holds(rows)).count()
    except AnalysisException as error:
        # All of the files are empty.
        if error.getErrorClass() != "UNABLE_TO_INFER_SCHEMA":
            raise
        return 0
    except Py4JJavaError as error:
        if remains.folder in remains.paths and is_malformed(error):
            return None
        raise RuntimeError(
            f"failed to read {remains.folder}, where files are that no partition points to. Repeat it, or delete those files"
        ) from error


def is_malformed(error: Py4JJavaError) -> bool:
    """Whether Spark failed because of a file's content."""
    cause = error.java_exception
    while cause is not None and not cause.getClass().getName().startswith(MALFORMED):
        cause = cause.getCause()
    return cause is not None
