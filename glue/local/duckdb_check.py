"""Recomputes `ad_traffic` from the raw lines in DuckDB and compares it with the lake, ad by ad, day by day.

    spark-submit glue/local/duckdb_check.py --data_path file:///FOLDER/data --from YYYY-MM-DD --to YYYY-MM-DD
        --lookback_days 3

Follows the definitions of `docs/lake.md` in SQL of its own: Python reads no line, and takes only the two sides' rows. Prints
{"ads": …, "days": …, "different": …, "differences": [{"day", "ad_id", "expected", "found"}, …]}: at most 100 of them, with
pairs of impressions and clicks, null for an ad that is missing on one side. The exit status is 1 when any differ.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
from awsglue.utils import getResolvedOptions
from pyspark.sql import SparkSession

import books

ID_FIELDS = {"impressions": ("impression_id", "ad_id"), "clicks": ("click_id", "impression_id", "ad_id")}
SHOWN_DIFFERENCES = 100
MAX_LINE_BYTES = 16 * 1024 * 1024

UUID = "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{3})?"

# DuckDB's reader takes a comma too many, and `nan` and `inf` in any case. They show once the strings are out of the way.
STRING = r'"(\\.|[^"\\])*"'
NOT_JSON = r"(?i),\s*[\]}]|nan|inf"

SAME_IN_JSON = bytes.maketrans(b"\r\x01", b"\t\x02")

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
        rows = books.read(
            spark, f"{data_path}/lake/ad/ad_traffic", books.DAY, "ad_id string, impressions bigint, clicks bigint", str(day)
        ).collect()
        for row in rows:
            if (str(day), row.ad_id) in traffic:
                raise ValueError(f"ad_traffic of {day} has the ad {row.ad_id} more than once")
            traffic[str(day), row.ad_id] = row.impressions, row.clicks
    return traffic


def recompute(data: Path, first: date, last: date, lookback_days: int) -> Traffic:
    """(impressions, clicks) by (day, ad), from the raw lines below the data folder."""
    with duckdb.connect() as connection:
        for table in ID_FIELDS:
            # A click counts until the day after its impression.
            keep(connection, table, data, first, last + timedelta(days=1), lookback_days)
        rows = connection.execute(TRAFFIC_SQL, {"first": first, "last": last}).fetchall()
    return {(day, ad): (impressions, clicks) for day, ad, impressions, clicks in rows}


def keep(connection: duckdb.DuckDBPyConnection, table: str, data: Path, first: date, last: date, lookback_days: int) -> None:
    """Makes the table of the kept events of the days: its ids as UUIDs, occurred_at and arrived_at.

    An event's window begins in the last hour of the day before. Whether an event in that window was itself kept may depend on
    days before it, if its id came then too. Such ids are rare: only for them older lines are read.
    """
    before = timedelta(days=1)
    while True:
        lines = raw_objects(data, table, first - before, last + timedelta(days=lookback_days))
        with TemporaryDirectory() as folder:
            connection.execute("CREATE OR REPLACE TABLE objects (file VARCHAR, object VARCHAR, arrived_at TIMESTAMP)")
            files = [readable(Path(folder) / str(number), path) for number, (path, _) in enumerate(lines)]
            rows = [(file, path.name, arrived_at) for file, (path, arrived_at) in zip(files, lines)]
            if rows:
                connection.executemany("INSERT INTO objects VALUES ($1, $2, $3)", rows)
            connection.execute(events_sql(table, files), {"files": files, "lookback": lookback_days} if files else {})
        bounds = {"first": first, "start": first - before}
        if not connection.execute(OPEN_SQL, bounds).fetchone()[0] or str(first - before) <= oldest_day(data, table):
            break
        before += timedelta(days=lookback_days + 1)
    connection.execute(kept_sql(table), {"first": first, "last": last})


def raw_objects(data: Path, table: str, first: date, last: date) -> list[tuple[Path, datetime]]:
    """The raw objects that arrived from the first day to the last, with their hours."""
    found = []
    for hour in (datetime.combine(day, time(hour)) for day in days(first, last) for hour in range(24)):
        folder = data / "raw" / "ad" / table / f"{hour:year=%Y/month=%m/day=%d/hour=%H}"
        if folder.is_dir():
            found += [(path, hour) for path in sorted(folder.iterdir()) if is_raw(path)]
    return found


def is_raw(path: Path) -> bool:
    return path.is_file() and not path.name.startswith((".", "_")) and not path.name.endswith("._COPYING_")


def oldest_day(data: Path, table: str) -> str:
    """The first day that has a folder of raw lines."""
    folders = (data / "raw" / "ad" / table).glob("year=*/month=*/day=*")
    return min(("-".join(part.split("=")[1] for part in folder.parts[-3:]) for folder in folders), default="9999-12-31")


def readable(file: Path, path: Path) -> str:
    """A file with the object's lines, whose name DuckDB takes for neither a pattern nor a kind of file of its own.

    Whatever its option for newlines says, DuckDB ends a line at a carriage return, and it takes away the delimiter at a line's end. So
    where there are any, characters take their place that mean the same in JSON: a tab, and a control character.
    """
    is_gzip = path.name.endswith(".gz")
    if any(b"\r" in block or b"\x01" in block for block in blocks(path, is_gzip)):
        file = file.with_suffix(".txt")
        with file.open("wb") as copy:
            copy.writelines(block.translate(SAME_IN_JSON) for block in blocks(path, is_gzip))
    else:
        file = file.with_suffix(".gz" if is_gzip else ".txt")
        file.symlink_to(path.absolute())
    return str(file)


def blocks(path: Path, is_gzip: bool) -> Iterator[bytes]:
    with gzip.open(path) if is_gzip else path.open("rb") as content:
        while block := content.read(2**20):
            yield block


def days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=offset) for offset in range((last - first).days + 1))


def events_sql(table: str, files: list[str]) -> str:
    """Makes the table `events`: those in time, their own id as `id`, their place among those with the id, and their window."""
    ids = ID_FIELDS[table]
    if not files:
        columns = ", ".join(f"{name} UUID" for name in ids)
        return f"CREATE OR REPLACE TABLE events ({columns}, id UUID, {', '.join(EVENT_COLUMNS)})"
    texts = ", ".join(f"{last_member(name)} AS {name}" for name in (*ids, "occurred_at"))
    valid = " AND ".join(f"coalesce(regexp_full_match({name}, '{UUID}'), false)" for name in ids)
    typed = ", ".join(f"{name}::UUID AS {name}" for name in ids)
    return f"""
        CREATE OR REPLACE TABLE events AS
        WITH lines AS (
          SELECT ltrim(line, '\ufeff') AS line, object, arrived_at
          FROM read_csv($files, columns = {{'line': 'VARCHAR'}}, delim = '\x01', quote = '', escape = '', new_line = '\\n',
            header = false, auto_detect = false, strict_mode = false, ignore_errors = true,
            hive_partitioning = false, max_line_size = {MAX_LINE_BYTES}, filename = 'file')
          JOIN objects USING (file)
        ),
        json_lines AS (
          SELECT *, json_keys(line) AS names FROM lines
          WHERE json_valid(line) AND json_type(line) = 'OBJECT'
            AND NOT regexp_matches(regexp_replace(line, '{STRING}', '', 'g'), '{NOT_JSON}')
        ),
        fields AS (SELECT object, arrived_at, {texts} FROM json_lines),
        typed AS (
          SELECT object, arrived_at, {typed}, coalesce(
              try_strptime(occurred_at, '%Y-%m-%d %H:%M:%S.%g'), try_strptime(occurred_at, '%Y-%m-%d %H:%M:%S')
            ) AS occurred_at
          FROM fields
          WHERE {valid} AND coalesce(regexp_full_match(occurred_at, '{TIME}'), false)
        )
        SELECT {", ".join(ids)}, {ids[0]} AS id, occurred_at, arrived_at,
          row_number() OVER (PARTITION BY {ids[0]} ORDER BY arrived_at, object, occurred_at, {", ".join(ids[1:])}) AS place,
          date_trunc('day', occurred_at) - INTERVAL 1 HOUR AS window_start
        FROM typed
        WHERE occurred_at < arrived_at + INTERVAL 2 HOUR AND arrived_at::DATE - occurred_at::DATE <= $lookback
    """


def last_member(name: str) -> str:
    """The text of the object's last member of the name."""
    back = f"list_position(list_reverse(names), '{name}')"
    return f"""CASE WHEN len(names) = len(list_distinct(names)) THEN json_extract_string(line, '$.{name}')
      ELSE json_extract_string(json_extract(line, '$.*')[len(names) + 1 - {back}], '$') END"""


EVENT_COLUMNS = ("occurred_at TIMESTAMP", "arrived_at TIMESTAMP", "place BIGINT", "window_start TIMESTAMP")

# Whether events of the days from $first on follow one with their id whose own window begins before what was read.
OPEN_SQL = """
    SELECT count(*) FROM events JOIN events AS earlier USING (id)
    WHERE earlier.place < events.place AND events.occurred_at >= $first
      AND earlier.arrived_at >= events.window_start AND earlier.window_start < $start
"""


def kept_sql(table: str) -> str:
    """The first event with an id is kept, then the first whose window begins after the kept one before had arrived: those are
    in the order of arrival, so none that was kept earlier can be in the window either."""
    return f"""
        CREATE TABLE {table} AS
        WITH RECURSIVE kept AS (
          SELECT id, place, arrived_at FROM events WHERE place = 1
          UNION ALL
          SELECT id, min(events.place), min_by(events.arrived_at, events.place)
          FROM kept JOIN events USING (id)
          WHERE events.place > kept.place AND events.window_start > kept.arrived_at
          GROUP BY id
        )
        SELECT {", ".join(ID_FIELDS[table])}, occurred_at, events.arrived_at
        FROM events JOIN kept USING (id, place)
        WHERE occurred_at::DATE BETWEEN $first AND $last
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
