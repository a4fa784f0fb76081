"""Makes the tables of a deployed Glue catalog in the local Spark catalog.

    aws glue get-tables --database-name DB > tables.json
    spark-submit glue/local/catalog.py --tables tables.json --locations '{"s3://BUCKET/": "file:///FOLDER/"}' [--print true]

`--locations` maps prefixes of table locations to folders. Tables are recreated, and their partitions found from the
folders. So the catalog can be deleted at any time, and files are never changed. `--print true` prints the statements
and runs none.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from awsglue.utils import getResolvedOptions
from pyspark.sql import SparkSession

JSON_SERDES = {"org.openx.data.jsonserde.JsonSerDe", "org.apache.hive.hcatalog.data.JsonSerDe"}
ORC_SERDE = "org.apache.hadoop.hive.ql.io.orc.OrcSerde"


def main(argv: list[str]) -> None:
    names = ["tables", "locations"] + [name for name in ("print",) if f"--{name}" in argv]
    options = getResolvedOptions(argv, names)
    tables = json.loads(Path(options["tables"]).read_text(encoding="utf-8"))["TableList"]
    made = list(statements(tables, json.loads(options["locations"])))
    if options.get("print") == "true":
        print(";\n".join(made) + ";")
        return
    spark = SparkSession.builder.appName("catalog").enableHiveSupport().getOrCreate()
    for statement in made:
        spark.sql(statement)


def statements(tables: list[dict[str, Any]], locations: dict[str, str]) -> Iterator[str]:
    """The statements that create the tables and their partitions.

    `tables` is the TableList of https://docs.aws.amazon.com/glue/latest/webapi/API_GetTables.html. Raises `ValueError`
    for a table whose format has no counterpart here, or whose location no prefix maps.
    """
    for database in sorted({table["DatabaseName"] for table in tables}):
        yield f"CREATE DATABASE IF NOT EXISTS `{database}`"
    for table in tables:
        name = f"`{table['DatabaseName']}`.`{table['Name']}`"
        location = map_location(table["StorageDescriptor"]["Location"], locations)
        yield f"DROP TABLE IF EXISTS {name}"
        yield create_table(name, table, location)
        keys = [key["Name"] for key in table.get("PartitionKeys", [])]
        partitions = [
            "PARTITION ("
            + ", ".join(f"`{key}` = '{value}'" for key, value in zip(keys, values, strict=True))
            + f") LOCATION {quote(folder)}"
            for values, folder in sorted(find_partitions(location, keys, table.get("Parameters")))
        ]
        if partitions:
            yield f"ALTER TABLE {name} ADD {' '.join(partitions)}"


def create_table(name: str, table: dict[str, Any], location: str) -> str:
    columns = table["StorageDescriptor"]["Columns"]
    keys = table.get("PartitionKeys", [])
    if is_json(table):
        return (
            f"CREATE TABLE {name} ({column_list(columns + keys)}) USING json "
            f"PARTITIONED BY ({', '.join('`' + key['Name'] + '`' for key in keys)}) LOCATION {quote(location)}"
        )
    events = {key: value for key, value in (table.get("Parameters") or {}).items() if key.startswith("event.")}
    properties = ", ".join(f"'{key}' = '{value}'" for key, value in sorted(events.items()))
    return (
        f"CREATE EXTERNAL TABLE {name} ({column_list(columns)}) PARTITIONED BY ({column_list(keys)}) "
        f"STORED AS ORC LOCATION {quote(location)}" + (f" TBLPROPERTIES ({properties})" if properties else "")
    )


def quote(text: str) -> str:
    """A literal of Spark SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def column_list(columns: list[dict[str, str]]) -> str:
    return ", ".join(f"`{column['Name']}` {column['Type']}" for column in columns)


def is_json(table: dict[str, Any]) -> bool:
    serde = table["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"]
    if serde in JSON_SERDES:
        return True
    if serde == ORC_SERDE:
        return False
    raise ValueError(f"table {table['Name']} has the format {serde}: only JSON and ORC tables can be made locally")


def map_location(location: str, locations: dict[str, str]) -> str:
    for prefix, folder in locations.items():
        if location.startswith(prefix):
            return folder + location[len(prefix) :]
    raise ValueError(f"no folder is given for {location}: --locations has {', '.join(locations)}")


def find_partitions(
    location: str, keys: list[str], parameters: dict[str, str] | None = None
) -> Iterator[tuple[tuple[str, ...], str]]:
    """The values and the folder of each partition below the location, which is `file://` and a path that is not
    encoded.

    `parameters` are those of the table: with Athena's projection of a date, one key covers several folders. Where runs lie side by side in a partition's folder, the latest complete one is the partition.
    """
    root = Path(location.removeprefix("file://"))
    found: Iterator[tuple[tuple[str, ...], Path]]
    projected = (parameters or {}).get(f"projection.{keys[-1]}.format") if keys else None
    if projected:
        depth = projected.count("/") + 1
        found = ((("/".join(folder.parts[-depth:]),), folder) for folder in root.glob("/".join(["*=*"] * depth)))
    else:
        found = find_arrived(root) if keys[-1:] == ["arrived"] else find_by_keys(root, keys)
    for values, folder in found:
        yield values, f"{location.rstrip('/')}/{folder.relative_to(root)}"


def find_by_keys(root: Path, keys: list[str]) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Partitions whose folders are named by their keys."""
    folders: list[tuple[tuple[str, ...], Path]] = [((), root)]
    for key in keys:
        folders = [
            ((*values, value), inner) for values, folder in folders for value, inner in inner_folders(folder, key)
        ]
    for values, folder in folders:
        complete = [run for run in runs(folder) if (run / "_SUCCESS").exists()]
        yield values, (complete or [folder])[-1]


def find_arrived(root: Path) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Partitions of the lake, in folders by day of arrival, run and event day.

    The newest complete run has all event days of its arrival day; later runs may have replaced some of them.
    """
    for arrived, folder in inner_folders(root, "arrived"):
        live: dict[str, Path] = {}
        for run in runs(folder):
            if (run / "_SUCCESS").exists():
                live = dict(inner_folders(run, "event_day"))
            elif (run / "_PARTIAL").exists():
                live |= dict(inner_folders(run, "event_day"))
        for day, path in live.items():
            # S3 has no empty folders.
            if any(path.glob("*.orc")):
                yield (*day.split("-"), arrived), path


def inner_folders(folder: Path, key: str) -> list[tuple[str, Path]]:
    """The values and folders `key=value` in a folder."""
    matches = [(re.fullmatch(re.escape(key) + "=([0-9A-Za-z_-]+)", path.name), path) for path in sorted_folders(folder)]
    return [(match[1], path) for match, path in matches if match]


def runs(folder: Path) -> list[Path]:
    """The folders of runs, oldest first."""
    return [path for path in sorted_folders(folder) if path.name.startswith("run-")]


def sorted_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


if __name__ == "__main__":
    main(sys.argv)
