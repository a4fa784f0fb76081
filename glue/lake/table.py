"""A table of events as the catalog describes it: its columns, and in its parameters what they mean.

    event.id        the column of the event's own id
    event.time      the column of the event's time
    event.required  columns without which a line is rejected, the own id first; `a.b` is a member of an object
    event.uuid      text columns that hold UUIDs
    event.sort      the order of the rows within a file
    event.erase     columns by which a person or a thing is erased

Each table with the parameter `event.id` is one of events. Its location, `…/lake/<group>/<type>/`, names its group: its
raw lines are below `…/raw/<group>/<type>/`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    LongType,
    StringType,
    StructType,
    TimestampType,
)  # fmt: skip

from lake.partition import table_location

PARTITION_KEYS = ("year", "month", "day", "arrived")
# Every other column is a field of the event.
OWN_COLUMNS = ("arrived_at", *PARTITION_KEYS)

# What the reader of JSON is asked for; the others are read as they are. Text that must have a form is checked after.
READ_AS_TEXT = ("string", "timestamp", "date")

# Types of columns, and of what is in them.
SIMPLE = (StringType, LongType, DoubleType, DecimalType, BooleanType)
ALLOWED = "string, timestamp, date, bigint, double, decimal(p, s), boolean, or array or struct of these, but for timestamp and date"
# Kinds of columns that are affected by odd notations of numbers and infinity.
ODD_KINDS = ("text", "double", "nested")


@dataclass(frozen=True)
class Column:
    """A field of an event. `kind` is uuid, text, timestamp, date, double, nested (array or struct) or typed (any other)."""

    name: str
    type: str
    kind: str

    @property
    def json(self) -> str:
        """The type that the JSON reader returns."""
        return "string" if self.type in READ_AS_TEXT else self.type


@dataclass(frozen=True)
class EventTable:
    name: str
    columns: tuple[Column, ...]
    stored: tuple[str, ...]
    id: str
    time: str
    required: tuple[str, ...]
    uuid: tuple[str, ...]
    sort: tuple[str, ...]
    erase: tuple[str, ...]
    group: str

    @classmethod
    def from_catalog(cls, spark: SparkSession, database: str, name: str) -> EventTable:
        """Raises `ValueError` when the table is not a table of events."""
        return cls.described(spark, database, name, read_parameters(spark, database, name))

    @classmethod
    def described(cls, spark: SparkSession, database: str, name: str, parameters: dict[str, str]) -> EventTable:
        """As `from_catalog`, with the table's parameters already read."""
        missing = [key for key in ("event.id", "event.time", "event.required", "event.sort") if not parameters.get(key)]
        if missing:
            raise ValueError(f"{database}.{name} is no table of events: it has no parameter {', '.join(missing)}")
        uuids = names(parameters.get("event.uuid", ""))
        schema = spark.table(f"{database}.{name}").schema
        fields = [field for field in schema if field.name not in OWN_COLUMNS]
        for field in fields:
            if not is_allowed(field.dataType):
                kind = field.dataType.simpleString()
                raise ValueError(f"{database}.{name}: the column {field.name} is {kind}; it must be {ALLOWED}")
        types = {field.name: field.dataType.simpleString() for field in fields}
        location = table_location(spark, database, name)
        group = re.fullmatch(rf".*/lake/([^/]+)/{re.escape(name)}", location)
        if not group:
            raise ValueError(f"{database}.{name} is at {location}: a table of events must be at …/lake/<group>/{name}/")
        return cls(
            name,
            tuple(Column(column, kind, kind_of(column, kind, uuids)) for column, kind in types.items()),
            tuple(column for column in schema.names if column not in PARTITION_KEYS),
            parameters["event.id"],
            parameters["event.time"],
            names(parameters["event.required"]),
            uuids,
            names(parameters["event.sort"]),
            names(parameters.get("event.erase", "")),
            group[1],
        )

    @property
    def raw(self) -> str:
        """The folder of its raw lines, below the data path."""
        return f"raw/{self.group}/{self.name}"

    @property
    def optional(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns if column.name not in self.required)

    @property
    def arrival(self) -> str:
        """The order of arrival: hour, object, time, then the other fields as the table has them."""
        others = (column.name for column in self.columns if column.name not in (self.id, self.time))
        return ", ".join(["arrived_at", "file_name", *(f"`{name}`" for name in (self.time, *others))])

    def render(self, template: str, **values: Any) -> str:
        """The SQL of a template, with `[[list|between|each]]` and `{{value}}` replaced. docs/lake.md describes both."""
        lists: dict[str, list[dict[str, str]]] = {
            "columns": [vars(column) | {"json": column.json} for column in self.columns]
        }
        for kind in ("uuid", "text", "timestamp", "date", "double", "nested", "typed"):
            lists[kind] = [{"name": column.name, "type": column.type} for column in self.columns if column.kind == kind]
        odd = any(column.kind in ODD_KINDS or column.type.startswith("decimal") for column in self.columns)
        infinite = any(column.kind == "nested" and "double" in column.type for column in self.columns)
        for name, is_used in {"odd": odd, "plain": not odd, "infinite": infinite}.items():
            lists[name] = [{}] if is_used else []
        lists["required"] = [reference(path) for path in self.required]
        lists["optional"] = [reference(name) for name in self.optional]
        lists["stored"] = [{"name": name} for name in self.stored]
        scalars = {"id": self.id, "time": self.time, "arrival": self.arrival} | values

        def fill(found: re.Match) -> str:
            return found[2].join(substitute(found[3], one) for one in lists[found[1]])

        text = re.sub(r"\[\[(\w+)\|(.*?)\|(.*?)\]\]", fill, template, flags=re.DOTALL)
        return re.sub(r"\{\{(\w+)\}\}", lambda found: str(scalars[found[1]]), text)


def event_tables(spark: SparkSession, database: str) -> list[EventTable]:
    """The tables of events of the catalog, by name. Raises `ValueError` for an invalid one."""
    shown = spark.sql(f"SHOW TABLES IN `{database}`").where("NOT isTemporary").collect()
    tables = sorted(row["tableName"] for row in shown)
    read = ((name, read_parameters(spark, database, name)) for name in tables)
    return [
        EventTable.described(spark, database, name, parameters) for name, parameters in read if "event.id" in parameters
    ]


def read_parameters(spark: SparkSession, database: str, table: str) -> dict[str, str]:
    shown = spark.sql(f"SHOW TBLPROPERTIES `{database}`.`{table}`").collect()
    return {row["key"]: row["value"] for row in shown}


def substitute(each: str, one: dict[str, str]) -> str:
    return re.sub(r"(?<!\{)\{(\w+)\}(?!\})", lambda found: one[found[1]], each)


def names(listed: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in listed.split(",") if name.strip())


def kind_of(column: str, type_name: str, uuids: tuple[str, ...]) -> str:
    if column in uuids:
        return "uuid"
    if type_name.startswith(("array", "struct")):
        return "nested"
    return {"string": "text"}.get(type_name, type_name if type_name in ("timestamp", "date", "double") else "typed")


def is_allowed(kind: DataType, is_inside: bool = False) -> bool:
    """Whether the job can fill a column of the type."""
    if isinstance(kind, ArrayType):
        return is_allowed(kind.elementType, is_inside=True)
    if isinstance(kind, StructType):
        return all(is_allowed(field.dataType, is_inside=True) for field in kind)
    return isinstance(kind, SIMPLE) or (isinstance(kind, (TimestampType, DateType)) and not is_inside)


def reference(path: str) -> dict[str, str]:
    """SQL of a field's value, and of whether the line has any value there. `w` has the fields read as text."""
    first, *rest = path.split(".")
    value = ".".join(f"`{name}`" for name in (first, *rest))
    written = f"f.{value} IS NOT NULL OR w.`{first}` IS NOT NULL"
    if rest:
        # Read as text, an object equals text that looks like one, so it is read as an object too.
        form = "string"
        for name in reversed((first, *rest)):
            form = f"struct<`{name}`: {form}>"
        written = (
            f"f.{value} IS NOT NULL OR get_json_object(w.`{first}`, '$.{'.'.join(rest)}') IS NOT NULL "
            f"AND from_json(line, '{form}', {{{{options}}}}).{value} IS NOT NULL"
        )
    return {"path": path, "value": value, "written": written}
