"""Recomputes `ad_traffic` from the raw lines in DuckDB and compares it with the lake, ad by ad, day by day.

    spark-submit glue/local/duckdb_check.py --data_path file:///FOLDER/data --from YYYY-MM-DD --to YYYY-MM-DD
        --lookback_days 3

Follows the definitions of `docs/lake.md` in SQL of its own; nothing but the two sides' rows passes through Python. Prints
{"ads": …, "days": …, "different": …, "differences": [{"day", "ad_id", "expected", "found"}, …]}: at most 100 of them, with
pairs of impressions and clicks, null for an ad that is missing on one side. The exit status is 1 when any differ.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
from awsglue.utils import getResolvedOptions
from pyspark.sql import SparkSession

import books

ID_FIELDS = {"impressions": ("impression_id", "ad_id"), "clicks": ("click_id", "impression_id", "ad_id")}
SHOWN_DIFFERENCES = 100
MAX_LINE_BYTES = 16 * 1024 * 1024

UUID = "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
ARRIVAL = r".*/year=(\d+)/month=(\d+)/day=(\d+)/hour=(\d+)/[^/]+$"
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{3})?"

# DuckDB's reader takes a comma too many and numbers that JSON has not. They show once the strings are out of the way.
STRING = r'"(\\.|[^"\\])*"'
NOT_JSON = r",\s*[\]}]|NaN|Infinity"

Traffic = dict[tuple[str, str], tuple[int, int]]


def main(argv: list[str]) -> int:
    options = getResolvedOptions(argv, ["data_path", "from", "to", "lookback_days"])
    first, last = date.fromisoformat(options["from"]), date.fromisoformat(options["to"])
    data_path = options["data_path"].rstrip("/")
    spark = SparkSession.builder.appName("duckdb check").getOrCreate()
    expected = recompute(Path(data_path.removeprefix("file://")), first, last, int(options["lookback_days"]))
    found = read_lake(spark, data_path, first, last)
    different = list(differences(expected, found))
    ads = {ad for _, ad in expected.keys() | found.keys()}
    print(
        json.dumps(
            {
                "ads": len(ads),
                "days": (last - first).days + 1,
                "different": len(different),
                "differences": different[:SHOWN_DIFFERENCES],
            }
        )
    )
    return 1 if different else 0


def differences(expected: Traffic, found: Traffic) -> Iterator[dict[str, Any]]:
    for day, ad in sorted(expected.keys() | found.keys()):
        sides = expected.get((day, ad)), found.get((day, ad))
        if sides[0] != sides[1]:
            yield {"day": day, "ad_id": ad, "expected": sides[0], "found": sides[1]}


def read_lake(spark: SparkSession, data_path: str, first: date, last: date) -> Traffic:
    """(impressions, clicks) by (day, ad), from the ORC files themselves."""
    traffic: Traffic = {}
    for day in days(first, last):
        folder = f"{data_path}/lake/ad/ad_traffic/year={day:%Y}/month={day:%m}/day={day:%d}"
        for row in books.read(spark, folder, "ad_id string, impressions bigint, clicks bigint").collect():
            if (str(day), row.ad_id) in traffic:
                raise ValueError(f"{folder} has the ad {row.ad_id} more than once")
            traffic[str(day), row.ad_id] = row.impressions, row.clicks
    return traffic


def recompute(data: Path, first: date, last: date, lookback_days: int) -> Traffic:
    """(impressions, clicks) by (day, ad), from the raw lines below the data folder."""
    with duckdb.connect() as connection:
        for table in ID_FIELDS:
            # A click counts until the day after its impression. Copies of an event may arrive in the hour before its day.
            files = raw_files(data, table, first - timedelta(days=1), last + timedelta(days=1 + lookback_days))
            connection.execute(events_sql(table, files), {"files": files, "lookback": lookback_days} if files else {})
        rows = connection.execute(TRAFFIC_SQL, {"first": first, "last": last}).fetchall()
    return {(day, ad): (impressions, clicks) for day, ad, impressions, clicks in rows}


def raw_files(data: Path, table: str, first: date, last: date) -> list[str]:
    """The raw objects that arrived from the first day to the last."""
    folders = (f"year={day:%Y}/month={day:%m}/day={day:%d}/hour=[0-2][0-9]/*" for day in days(first, last))
    found = (path for folder in folders for path in (data / "raw" / "ad" / table).glob(folder))
    return sorted(str(path) for path in found if not path.name.startswith((".", "_")))


def days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=offset) for offset in range((last - first).days + 1))


def events_sql(table: str, files: list[str]) -> str:
    """Makes the table of kept events: its ids as UUIDs, and occurred_at."""
    own_id, *other_ids = ID_FIELDS[table]
    ids = ID_FIELDS[table]
    if not files:
        columns = ", ".join(f"{name} UUID" for name in ids)
        return f"CREATE TABLE {table} ({columns}, occurred_at TIMESTAMP)"
    texts = ", ".join(f"json_extract_string(line, '$.{name}') AS {name}" for name in (*ids, "occurred_at"))
    valid = " AND ".join(f"coalesce(regexp_full_match({name}, '{UUID}'), false)" for name in ids)
    typed = ", ".join(f"{name}::UUID AS {name}" for name in ids)
    return f"""
        CREATE TABLE {table} AS
        WITH lines AS (
          SELECT
            line,
            parse_filename(filename) AS object,
            strptime(regexp_replace(filename, '{ARRIVAL}', '\\1-\\2-\\3 \\4'), '%Y-%m-%d %H') AS arrived_at
          FROM read_csv($files, columns = {{'line': 'VARCHAR'}}, delim = '\x01', quote = '', escape = '', new_line = '\\n',
            header = false, auto_detect = false, strict_mode = false, ignore_errors = true,
            max_line_size = {MAX_LINE_BYTES}, filename = true)
        ),
        objects AS (
          SELECT * FROM lines
          WHERE json_valid(line) AND json_type(line) = 'OBJECT'
            AND NOT regexp_matches(regexp_replace(line, '{STRING}', '', 'g'), '{NOT_JSON}')
        ),
        fields AS (SELECT object, arrived_at, {texts} FROM objects),
        events AS (
          SELECT object, arrived_at, {typed}, coalesce(
              try_strptime(occurred_at, '%Y-%m-%d %H:%M:%S.%g'), try_strptime(occurred_at, '%Y-%m-%d %H:%M:%S')
            ) AS occurred_at
          FROM fields
          WHERE {valid} AND coalesce(regexp_full_match(occurred_at, '{TIME}'), false)
        ),
        in_time AS (
          SELECT * FROM events
          WHERE occurred_at < arrived_at + INTERVAL 2 HOUR
            AND arrived_at::DATE - occurred_at::DATE <= $lookback
        )
        SELECT {", ".join(ids)}, occurred_at
        FROM in_time
        QUALIFY coalesce(
          max(arrived_at) OVER (
            PARTITION BY {own_id} ORDER BY arrived_at, object, occurred_at, {", ".join(other_ids)}
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
          ) < date_trunc('day', occurred_at) - INTERVAL 1 HOUR, true)
    """


TRAFFIC_SQL = """
    WITH shown AS (SELECT * FROM impressions WHERE occurred_at::DATE BETWEEN $first AND $last)
    SELECT strftime(occurred_at, '%Y-%m-%d') AS day, ad_id::VARCHAR, count(*), count(*) FILTER (EXISTS (
        SELECT * FROM clicks
        WHERE clicks.impression_id = shown.impression_id
          AND clicks.occurred_at >= shown.occurred_at
          AND clicks.occurred_at::DATE <= shown.occurred_at::DATE + 1
      ))
    FROM shown
    GROUP BY ALL
"""


if __name__ == "__main__":
    sys.exit(main(sys.argv))
