"""Runs SQL on the local catalog and prints the result.

    spark-submit glue/local/query.py --database DB --format table|csv|json [--most N] --sql 'SELECT …'

With `--most N` it prints one JSON object instead: `text` with at most N rows, how many there are `more`, and `warnings`
of comparisons that can match no row.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from awsglue.utils import getResolvedOptions
from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import DataFrame, Row, SparkSession

# Formats of the partition columns.
PARTITIONS = {"year": (4, "2026"), "month": (2, "03"), "day": (2, "07")}


def main(argv: list[str]) -> int | str:
    options = getResolvedOptions(argv, ["database", "format", "sql"])
    most = int(getResolvedOptions(argv, ["most"])["most"]) if "--most" in argv else None
    spark = SparkSession.builder.appName("query").enableHiveSupport().getOrCreate()
    spark.catalog.setCurrentDatabase(options["database"])
    try:
        result = spark.sql(options["sql"])
    except (AnalysisException, ParseException) as error:
        # The exit status of a script may be its last words.
        return str(error.getMessage() if hasattr(error, "getMessage") else error).strip()
    try:
        if most is None:
            write(result.columns, (list(row) for row in result.toLocalIterator()), options["format"], sys.stdout)
        else:
            print(json.dumps(first(result, most, options["format"]), ensure_ascii=False))
    except ValueError as error:
        return str(error)
    return 0


def first(result: DataFrame, most: int, format: str) -> dict[str, Any]:
    """The first rows, and information about the others."""
    rows = [list(row) for row in result.take(most + 1)] if most else [list(row) for row in result.toLocalIterator()]
    more = max(result.count() - most, 1) if most and len(rows) > most else 0
    text = io.StringIO()
    write(result.columns, rows[:most] if more else rows, format, text)
    return {"text": text.getvalue(), "more": more, "warnings": warnings(result)}


def warnings(result: DataFrame) -> list[str]:
    """Comparisons of a partition column with values that it never has, such as `day = '2026-03-07'`."""
    plan = result._jdf.queryExecution().analyzed()
    leaves = plan.collectLeaves()
    columns = {}
    for leaf in (leaves.apply(place) for place in range(leaves.size())):
        output = leaf.output()
        for column in (output.apply(place) for place in range(output.size())):
            if column.name() in PARTITIONS and column.dataType().typeName() == "string":
                columns[f"{column.name()}#{column.exprId().id()}"] = column.name()
    return mismatches(plan.toString(), columns)


def mismatches(plan: str, columns: dict[str, str]) -> list[str]:
    """The same for Spark's text of a plan, with partition columns by their names in the plan."""
    found = []
    for written, name in columns.items():
        digits, example = PARTITIONS[name]
        column, operator = re.escape(written), "(=|<=>|<|<=|>|>=)"
        compared = re.findall(rf"\({column} {operator} ([^()#]*)\)", plan)
        compared += [(operator, value) for value, operator in re.findall(rf"\(([^()#]*) {operator} {column}\)", plan)]
        lists = re.findall(rf"{column} IN \(([^()]*)\)", plan)
        compared += [("=", value) for values in lists for value in values.split(",")]
        for operator, value in compared:
            if not re.fullmatch(rf"\d{{{digits}}}", value):
                found.append(
                    f"{name} {operator} '{value}': {name} has {digits} digits, as in {name} = '{example}'. A date is "
                    "year = '2026' AND month = '03' AND day = '07'"
                )
    return list(dict.fromkeys(found))


def write(columns: list[str], rows: Iterable[list[Any]], format: str, out: TextIO) -> None:
    """Writes rows as CSV with a header, as one JSON object per line, or as a table. Raises `ValueError` for JSON with
    two columns of the same name."""
    if format == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([as_text(value) for value in row] for row in rows)
    elif format == "json":
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if twice:
            raise ValueError(
                f"more than one column is named {', '.join(twice)}: name them with AS, or ask for --format csv"
            )
        for row in rows:
            out.write(as_json(dict(zip(columns, row, strict=True))) + "\n")
    else:
        texts = [[shown(as_text(value)) for value in row] for row in rows]
        columns = [shown(name) for name in columns]
        widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
        for texts_of_row in [columns, ["-" * width for width in widths], *texts]:
            out.write(
                "  ".join(text.ljust(width) for text, width in zip(texts_of_row, widths, strict=True)).rstrip() + "\n"
            )


def as_json(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """The value for JSON; types that JSON lacks become text, as in Spark's `to_json`."""
    if isinstance(value, Row):
        return {name: plain(member) for name, member in zip(value.__fields__, value, strict=True)}
    if isinstance(value, dict):
        return {as_text(name): plain(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(element) for element in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def as_text(value: Any) -> str:
    if value is None:
        return ""
    return as_json(value) if isinstance(value, (Row, dict, list)) else str(plain(value))


def shown(text: str) -> str:
    """The text on one line, without characters that move a terminal's cursor."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
