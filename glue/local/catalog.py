"""Makes the tables of a deployed Glue catalog in the local Spark catalog.

    aws glue get-tables --database-name DB > tables.json
    spark-submit glue/local/catalog.py --tables tables.json --locations '{"s3://BUCKET/": "file:///FOLDER/"}' [--print true]

`--locations` maps prefixes of table locations to folders. Tables are made anew, and their partitions found from the
folders, so the catalog can be thrown away at any time; the files are never touched. `--print true` prints the
statements and runs none.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from awsglue.utils import getResolvedOptions
from pyspark.sql import SparkSession

JSON_SERDES = {"org.openx.data.jsonserde.JsonSerDe", "org.apache.hive.hcatalog.data.JsonSerDe"}
ORC_SERDE = "org.apache.hadoop.hive.ql.io.orc.OrcSerde"


def main(argv: list[str]) -> None:
    names = ["tables", "locations"] + [name for name in ("print",) if f"--{name}" in argv]
    options = getResolvedOptions(argv, names)
    with open(options["tables"], encoding="utf-8") as file:
        tables = json.load(file)["TableList"]
    made = list(statements(tables, json.loads(options["locations"])))
    if options.get("print") == "true":
        print(";\n".join(made) + ";")
        return
    spark = SparkSession.builder.appName("catalog").enableHiveSupport().getOrCreate()
    for statement in made:
        spark.sql(statement)


def statements(tables: list[dict[str, Any]], locations: dict[str, str]) -> Iterator[str]:
    """The statements that make the tables and their partitions.

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
            "PARTITION (" + ", ".join(f"`{key}` = '{value}'" for key, value in zip(keys, values)) + f") LOCATION {quote(folder)}"
            for values, folder in sorted(find_partitions(location, keys))
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
    return (
        f"CREATE EXTERNAL TABLE {name} ({column_list(columns)}) PARTITIONED BY ({column_list(keys)}) "
        f"STORED AS ORC LOCATION {quote(location)}"
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


def find_partitions(location: str, keys: list[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The values and the folder of each partition below the location, `file://` and a path as it is: nothing is encoded.

    Where runs lie side by side in a partition's folder, the latest complete one is the partition.
    """
    root = location.removeprefix("file://")
    for folder, _, _ in os.walk(root):
        names = os.path.relpath(folder, root).split(os.sep)
        if len(names) != len(keys):
            continue
        found = [re.fullmatch(re.escape(key) + "=([0-9A-Za-z_-]+)", name) for key, name in zip(keys, names)]
        if not all(found):
            continue
        runs = sorted(
            name for name in os.listdir(folder)
            if name.startswith("run-") and os.path.exists(os.path.join(folder, name, "_SUCCESS"))
        )
        path = "/".join([location.rstrip("/"), *names, *runs[-1:]])
        yield tuple(match[1] for match in found if match), path


if __name__ == "__main__":
    main(sys.argv)
