"""Asks the local catalog in SQL and prints the result.

    spark-submit glue/local/query.py --database DB --format table|csv|json --sql 'SELECT …'
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from awsglue.utils import getResolvedOptions
from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import SparkSession


def main(argv: list[str]) -> int:
    options = getResolvedOptions(argv, ["database", "format", "sql"])
    spark = SparkSession.builder.appName("query").enableHiveSupport().getOrCreate()
    spark.catalog.setCurrentDatabase(options["database"])
    try:
        result = spark.sql(options["sql"])
    except (AnalysisException, ParseException) as error:
        print(error.getMessage() if hasattr(error, "getMessage") else error, file=sys.stderr)
        return 1
    write(result.columns, (list(row) for row in result.toLocalIterator()), options["format"], sys.stdout)
    return 0


def write(columns: list[str], rows: Iterable[list[Any]], format: str, out: TextIO) -> None:
    """Writes rows as CSV with a header, as a JSON object a line, or as a table in columns."""
    if format == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    elif format == "json":
        for row in rows:
            out.write(json.dumps(dict(zip(columns, row)), default=str, ensure_ascii=False) + "\n")
    else:
        texts = [["" if value is None else str(value) for value in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(columns, *texts)]
        for texts_of_row in [columns, ["-" * width for width in widths], *texts]:
            out.write("  ".join(text.ljust(width) for text, width in zip(texts_of_row, widths)).rstrip() + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
