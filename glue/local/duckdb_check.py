"""Recomputes the fates of raw lines and `ad_traffic` in DuckDB, and compares both with the lake, day by day.

    spark-submit glue/local/duckdb_check.py --database DB --data_path file:///FOLDER/data --from YYYY-MM-DD --to YYYY-MM-DD
        --lookback_days 3 --attribution_days 1

Implements the definitions of `docs/lake.md` in its own SQL, for each table of events in the catalog. Python reads no
lines, only differences and the rows of the traffic. Prints {"days": …, "events": …, "ads": …, "different": …,
"differences": […]}: `events` counts the kept ones by table. At most 100 differences are listed:

    {"table", "arrived", "expected", "found"}                  figures of the ledger for a day of arrival: raw, rejected, late
    {"table", "day", "id", "arrived_at", "expected", "found"}  how many times an event of an event day is to be kept, and is
    {"day", "ad_id", "expected", "found"}                      pairs of impressions and clicks

A side that has none is null. The days of the range are days of arrival for the ledger, and event days for the others.

The exit status is 1 when any differ.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
from awsglue.utils import getResolvedOptions
from pyspark.sql import SparkSession
from pyspark.sql.types import ArrayType, DataType, StructType

import books
import catalog
from duckdb_values import NOT_JSON, STRING, TEXTS, Kind, marked, required, sql_type

SHOWN_DIFFERENCES = 100
# Figures of the ledger. Kept lines are compared by their rows; the rest are repeats.
FIGURES = ("raw", "rejected", "late")
# Enough for lines of any usual length.
MAX_LINE_BYTES = 16 * 1024 * 1024

SAME_IN_JSON = bytes.maketrans(b"\r\x01", b"\t\x02")

Traffic = dict[tuple[str, str], tuple[int, int]]


@dataclass(frozen=True)
class Table:
    """A table of events, and the folder of its raw lines and its rows: `<group>/<type>`."""

    name: str
    folder: str
    kinds: dict[str, Kind]
    id: str
    time: str
    required: tuple[str, ...]
    uuid: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """The required fields that are columns, the time last."""
        simple = [path for path in self.required if isinstance(self.kinds.get(path), str)]
        return [name for name in simple if name != self.time] + [self.time]

    def has_numbers(self) -> bool:
        """Whether a line's fate depends on how a number is written."""
        return any(self.kinds[path.split(".")[0]] not in TEXTS for path in self.required)

    def value(self, path: str) -> str:
        """SQL of a required field's value; null if it is missing or not good."""
        return required(path, self.kinds[path.split(".")[0]], path in self.uuid)


def event_tables(spark: SparkSession, database: str) -> list[Table]:
    """The catalog's tables of events."""
    tables = []
    for row in spark.sql(f"SHOW TABLES IN `{database}`").where("NOT isTemporary").collect():
        name = row["tableName"]
        shown = spark.sql(f"SHOW TBLPROPERTIES `{database}`.`{name}`").collect()
        parameters = {row["key"]: row["value"] for row in shown}
        if "event.id" in parameters:
            described = spark.sql(f"DESCRIBE TABLE EXTENDED `{database}`.`{name}`").collect()
            (location,) = [row["data_type"] for row in described if row["col_name"] == "Location"]
            lists = {
                key: tuple(filter(None, parameters.get(f"event.{key}", "").split(","))) for key in ("required", "uuid")
            }
            kinds = {field.name: kind_of(field.dataType) for field in spark.table(f"{database}.{name}").schema}
            folder = "/".join(location.rstrip("/").split("/")[-2:])
            tables.append(Table(name, folder, kinds, parameters["event.id"], parameters["event.time"], **lists))
    return tables


def kind_of(kind: DataType) -> Kind:
    if isinstance(kind, ArrayType):
        return [kind_of(kind.elementType)]
    if isinstance(kind, StructType):
        return {field.name: kind_of(field.dataType) for field in kind}
    return kind.simpleString()


def main(argv: list[str]) -> int:
    options = getResolvedOptions(argv, ["database", "data_path", "from", "to", "lookback_days", "attribution_days"])
    first, last = date.fromisoformat(options["from"]), date.fromisoformat(options["to"])
    data_path, lookback_days = options["data_path"].rstrip("/"), int(options["lookback_days"])
    attribution_days = int(options["attribution_days"])
    data = Path(data_path.removeprefix("file://"))
    spark = SparkSession.builder.appName("duckdb check").enableHiveSupport().getOrCreate()
    tables = event_tables(spark, options["database"])
    events: dict[str, int] = {}
    different: list[dict[str, Any]] = []
    ads: set[str] = set()
    with duckdb.connect() as connection:
        for table in tables:
            # A click of a later day may count for an impression of the last.
            keep(connection, table, data, first, last + timedelta(days=attribution_days), lookback_days)
            different += compare_ledger(
                table, count_fates(connection, first, last), read_ledger(spark, data_path, table, first, last)
            )
            with TemporaryDirectory() as folder:
                stored = write_lake(spark, data_path, table, first, last, folder)
                events[table.name], found = compare_events(connection, table, stored, first, last)
            different += found
        if {"impressions", "clicks"} <= {table.name for table in tables}:
            expected, traffic = (
                recompute(connection, first, last, attribution_days),
                read_lake(spark, data_path, first, last),
            )
            different += differences(expected, traffic)
            ads = {ad for _, ad in expected.keys() | traffic.keys()}
    shown = {"days": (last - first).days + 1, "events": events, "ads": len(ads), "different": len(different)}
    print(json.dumps(shown | {"differences": different[:SHOWN_DIFFERENCES]}))
    return 1 if different else 0


def count_fates(connection: duckdb.DuckDBPyConnection, first: date, last: date) -> dict[str, dict[str, int]]:
    """By arrival day, the number of lines of the table that `keep` read last, and of those rejected and late."""
    rows = connection.execute(
        """
        WITH days AS (SELECT arrived_at::DATE AS arrived, sum(lines)::BIGINT AS raw FROM objects GROUP BY ALL),
        fates AS (
          SELECT arrived_at::DATE AS arrived, count(*) FILTER (_fate IS DISTINCT FROM 'rejected') AS events,
            count(*) FILTER (_fate = 'late') AS late
          FROM judged GROUP BY ALL
        )
        SELECT strftime(arrived, '%Y-%m-%d'), raw, raw - coalesce(events, 0), coalesce(late, 0)
        FROM days LEFT JOIN fates USING (arrived)
        WHERE arrived BETWEEN $first AND $last AND raw > 0
        """,
        {"first": first, "last": last},
    ).fetchall()
    return {day: dict(zip(FIGURES, figures, strict=True)) for day, *figures in rows}


def read_ledger(
    spark: SparkSession, data_path: str, table: Table, first: date, last: date
) -> dict[str, dict[str, int]]:
    """The same from the ledger's files."""
    days = {str(day) for day in days_between(first, last)}
    location = f"{data_path}/ledger/table_name={table.name}"
    paths = [path for values, path in catalog.find_partitions(location, books.DAY) if "-".join(values) in days]
    if not paths:
        return {}
    rows = (
        spark.read.schema(", ".join(f"{name} bigint" for name in FIGURES))
        .orc(paths)
        .select(*FIGURES, "_metadata.file_path")
        .collect()
    )
    keys = (re.findall(r"/(?:year|month|day)=([0-9]+)", row["file_path"])[-3:] for row in rows)
    return {"-".join(key): {name: row[name] for name in FIGURES} for key, row in zip(keys, rows, strict=True)}


def compare_ledger(
    table: Table, expected: dict[str, dict[str, int]], found: dict[str, dict[str, int]]
) -> Iterator[dict[str, Any]]:
    for day in sorted(expected.keys() | found.keys()):
        none = dict.fromkeys(FIGURES, 0) if day in found else None
        sides = expected.get(day, none), found.get(day)
        if sides[0] != sides[1]:
            yield {"table": table.name, "arrived": day, "expected": sides[0], "found": sides[1]}


def write_lake(spark: SparkSession, data_path: str, table: Table, first: date, last: date, folder: str) -> list[str]:
    """Writes what the lake's files of the event days have as Parquet: id, and times in microseconds. Returns the
    files."""
    location = f"{data_path}/lake/{table.folder}"
    days = {str(day) for day in days_between(first, last)}
    paths = [
        path
        for values, path in catalog.find_partitions(location, [*books.DAY, "arrived"])
        if "-".join(values[:3]) in days
    ]
    if not paths:
        return []
    rows = spark.read.schema(f"`{table.id}` string, `{table.time}` timestamp, arrived_at timestamp").orc(paths)
    columns = [
        f"`{table.id}` AS id",
        f"unix_micros(`{table.time}`) AS occurred_at",
        "unix_micros(arrived_at) AS arrived_at",
    ]
    rows.selectExpr(*columns).write.parquet(f"file://{folder}/rows")
    return [str(path) for path in Path(folder, "rows").glob("*.parquet")]


def compare_events(
    connection: duckdb.DuckDBPyConnection, table: Table, stored: list[str], first: date, last: date
) -> tuple[int, list[dict[str, Any]]]:
    """How many events of the days must be kept, and those that are not kept as often as they must be."""
    files = (
        "read_parquet($stored)"
        if stored
        else "(SELECT '' AS id, 0::BIGINT AS occurred_at, 0::BIGINT AS arrived_at WHERE false)"
    )
    bounds = {"first": first, "last": last}
    kept = f'FROM "{table.name}" WHERE "{table.time}"::DATE BETWEEN $first AND $last'
    rows = connection.execute(
        f"""
        WITH expected AS (
          SELECT "{table.id}"::VARCHAR AS id, epoch_us("{table.time}") AS occurred_at, epoch_us(arrived_at) AS arrived_at, count(*) AS rows
          {kept} GROUP BY ALL
        ),
        found AS (SELECT id, occurred_at, arrived_at, count(*) AS rows FROM {files} GROUP BY ALL)
        SELECT strftime(make_timestamp(occurred_at), '%Y-%m-%d'), id, strftime(make_timestamp(arrived_at), '%Y-%m-%d %H:00'),
          coalesce(expected.rows, 0), coalesce(found.rows, 0)
        FROM expected FULL JOIN found USING (id, occurred_at, arrived_at)
        WHERE expected.rows IS DISTINCT FROM found.rows
        ORDER BY ALL
        """,
        bounds | ({"stored": stored} if stored else {}),
    ).fetchall()
    names = ("day", "id", "arrived_at", "expected", "found")
    ((count,),) = connection.execute(f"SELECT count(*) {kept}", bounds).fetchall()
    return count, [{"table": table.name} | dict(zip(names, row, strict=True)) for row in rows]


def differences(expected: Traffic, found: Traffic) -> Iterator[dict[str, Any]]:
    for day, ad in sorted(expected.keys() | found.keys()):
        sides = expected.get((day, ad)), found.get((day, ad))
        if sides[0] != sides[1]:
            yield {"day": day, "ad_id": ad, "expected": sides[0], "found": sides[1]}


def read_lake(spark: SparkSession, data_path: str, first: date, last: date) -> Traffic:
    """(impressions, clicks) by (day, ad), from the ORC files themselves."""
    traffic: Traffic = {}
    for day in days_between(first, last):
        rows = books.read(
            spark,
            f"{data_path}/lake/ad/ad_traffic",
            books.DAY,
            "ad_id string, impressions bigint, clicks bigint",
            str(day),
        ).collect()
        for row in rows:
            if (str(day), row.ad_id) in traffic:
                raise ValueError(f"ad_traffic of {day} has the ad {row.ad_id} more than once")
            traffic[str(day), row.ad_id] = row.impressions, row.clicks
    return traffic


def recompute(connection: duckdb.DuckDBPyConnection, first: date, last: date, attribution_days: int) -> Traffic:
    """(impressions, clicks) by (day, ad), from the kept events."""
    given = {"first": first, "last": last, "attribution_days": attribution_days}
    rows = connection.execute(TRAFFIC_SQL, given).fetchall()
    return {(day, ad): (impressions, clicks) for day, ad, impressions, clicks in rows}


def keep(
    connection: duckdb.DuckDBPyConnection, table: Table, data: Path, first: date, last: date, lookback_days: int
) -> None:
    """Makes the table of the kept events of the days: its required columns, ids as UUIDs, and arrived_at.

    An event's window begins in the last hour of the day before. Whether an event in that window was itself kept may
    depend on days before it, if its id came then too. Such ids are rare: older lines are read only for them.
    """
    before = timedelta(days=1)
    while True:
        lines = raw_objects(data, table, first - before, last + timedelta(days=lookback_days))
        with TemporaryDirectory() as folder:
            connection.execute(
                "CREATE OR REPLACE TABLE objects (file VARCHAR, lines BIGINT, _object VARCHAR, arrived_at TIMESTAMP)"
            )
            read = [readable(Path(folder) / str(number), path) for number, (path, _) in enumerate(lines)]
            rows = [
                (file, count, path.name, arrived_at)
                for (file, count, _), (path, arrived_at) in zip(read, lines, strict=True)
            ]
            if rows:
                connection.executemany("INSERT INTO objects VALUES ($1, $2, $3, $4)", rows)
            files = [file for file, *_ in read]
            # DuckDB would skip a longer one.
            longest = max([MAX_LINE_BYTES, *(bytes for *_, bytes in read)])
            connection.execute(
                judged_sql(table, files, longest), {"files": files, "lookback": lookback_days} if files else {}
            )
            connection.execute(events_sql(table))
        bounds = {"first": first, "start": first - before}
        ((is_open,),) = connection.execute(OPEN_SQL, bounds).fetchall()
        if not is_open or str(first - before) <= oldest_day(data, table):
            break
        before += timedelta(days=lookback_days + 1)
    connection.execute(kept_sql(table), {"first": first, "last": last})


def raw_objects(data: Path, table: Table, first: date, last: date) -> list[tuple[Path, datetime]]:
    """The raw objects that arrived from the first day to the last, with their hours."""
    found = []
    for hour in (datetime.combine(day, time(hour)) for day in days_between(first, last) for hour in range(24)):
        folder = data / "raw" / table.folder / f"{hour:year=%Y/month=%m/day=%d/hour=%H}"
        if folder.is_dir():
            found += [(path, hour) for path in sorted(folder.iterdir()) if is_raw(path)]
    return found


def is_raw(path: Path) -> bool:
    return path.is_file() and not path.name.startswith((".", "_")) and not path.name.endswith("._COPYING_")


def oldest_day(data: Path, table: Table) -> str:
    """The first day that has a folder of raw lines."""
    folders = (data / "raw" / table.folder).glob("year=*/month=*/day=*")
    return min(("-".join(part.split("=")[1] for part in folder.parts[-3:]) for folder in folders), default="9999-12-31")


def readable(file: Path, path: Path) -> tuple[str, int, int]:
    """A file with the object's lines, whose name DuckDB takes for neither a pattern nor a kind of file of its own; how
    many lines these are; and no less than the bytes of the longest. DuckDB passes over those that are not UTF-8.

    Whatever its option for newlines says, DuckDB ends a line at a carriage return, and it takes away the delimiter at a
    line's end. So where there are any, characters take their place that mean the same in JSON: a tab, and a control
    character.
    """
    is_gzip, lines, is_odd, last = path.name.endswith(".gz"), 0, False, b"\n"
    longest = begun = 0
    for block in blocks(path, is_gzip):
        begun += len(block)
        if b"\n" in block:
            longest, begun = max(longest, begun), len(block)
        lines, last = lines + block.count(b"\n"), block[-1:]
        is_odd |= b"\r" in block or b"\x01" in block
    if is_odd:
        file = file.with_suffix(".txt")
        with file.open("wb") as copy:
            copy.writelines(block.translate(SAME_IN_JSON) for block in blocks(path, is_gzip))
    else:
        file = file.with_suffix(".gz" if is_gzip else ".txt")
        file.symlink_to(path.absolute())
    return str(file), lines + (last != b"\n"), max(longest, begun)


def blocks(path: Path, is_gzip: bool) -> Iterator[bytes]:
    with gzip.open(path) if is_gzip else path.open("rb") as content:
        while block := content.read(2**20):
            yield block


def days_between(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=offset) for offset in range((last - first).days + 1))


def judged_sql(table: Table, files: list[str], max_line_bytes: int) -> str:
    """Creates the table `judged`: each line with its required columns, and its fate if that is `rejected` or `late`."""
    types = {name: "UUID" if name in table.uuid else sql_type(str(table.kinds[name])) for name in table.columns}
    if not files:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
        return f"CREATE OR REPLACE TABLE judged (_object VARCHAR, arrived_at TIMESTAMP, {columns}, _fate VARCHAR)"
    fields = ", ".join(f'{table.value(path)} AS "{path}"' for path in table.required)
    good = " AND ".join(f'"{path}" IS NOT NULL' for path in table.required)
    columns = ", ".join(f'"{name}"::{kind} AS "{name}"' for name, kind in types.items())
    return f"""
        CREATE OR REPLACE TABLE judged AS
        WITH lines AS (
          SELECT ltrim(line, '\ufeff') AS line, _object, arrived_at
          FROM read_csv($files, columns = {{'line': 'VARCHAR'}}, delim = '\x01', quote = '', escape = '', new_line = '\\n',
            header = false, auto_detect = false, strict_mode = false, ignore_errors = true,
            hive_partitioning = false, max_line_size = {max_line_bytes}, filename = 'file')
          JOIN objects USING (file)
        ),
        json_lines AS (
          SELECT CASE WHEN json_valid(line) THEN
              CASE WHEN json_type(line) = 'OBJECT'
                AND NOT regexp_matches(regexp_replace(line, '{STRING}', '""', 'g'), '{NOT_JSON}')
                THEN {marked("line") if table.has_numbers() else "line"} END
            END AS line, _object, arrived_at
          FROM lines
        ),
        named AS (SELECT *, json_keys(line) AS names FROM json_lines),
        fields AS (SELECT _object, arrived_at, {fields} FROM named)
        SELECT _object, arrived_at, {columns},
          CASE
            WHEN NOT ({good}) OR "{table.time}" >= arrived_at + INTERVAL 2 HOUR THEN 'rejected'
            WHEN arrived_at::DATE - "{table.time}"::DATE > $lookback THEN 'late'
          END AS _fate
        FROM fields
    """


def events_sql(table: Table) -> str:
    """Creates the table `events`: those in time, their own id as `_id`, their position among events with the same id,
    and their window."""
    order = ", ".join(f'"{name}"' for name in (table.time, *table.columns) if name != table.id)
    return f"""
        CREATE OR REPLACE TABLE events AS
        SELECT * EXCLUDE (_object, _fate), "{table.id}" AS _id,
          row_number() OVER (PARTITION BY "{table.id}" ORDER BY arrived_at, _object, {order}) AS _place,
          date_trunc('day', "{table.time}") - INTERVAL 1 HOUR AS _window_start
        FROM judged
        WHERE _fate IS NULL
    """


# Whether events of the days from $first on follow one with their id whose own window begins before what was read.
OPEN_SQL = """
    SELECT count(*) FROM events JOIN events AS earlier USING (_id)
    WHERE earlier._place < events._place AND events._window_start >= $first::TIMESTAMP - INTERVAL 1 HOUR
      AND earlier.arrived_at >= events._window_start AND earlier._window_start < $start
"""


def kept_sql(table: Table) -> str:
    """The first event with an id is kept, then the first whose window begins after the kept one before had arrived:
    those are in the order of arrival, so none that was kept earlier can be in the window either."""
    columns = ", ".join(f'events."{name}"' for name in table.columns)
    return f"""
        CREATE TABLE "{table.name}" AS
        WITH RECURSIVE kept AS (
          SELECT _id, _place, arrived_at FROM events WHERE _place = 1
          UNION ALL
          SELECT _id, min(events._place), min_by(events.arrived_at, events._place)
          FROM kept JOIN events USING (_id)
          WHERE events._place > kept._place AND events._window_start > kept.arrived_at
          GROUP BY _id
        )
        SELECT {columns}, events.arrived_at
        FROM events JOIN kept USING (_id, _place)
        WHERE events."{table.time}"::DATE BETWEEN $first AND $last
    """


TRAFFIC_SQL = """
    WITH shown AS (SELECT * FROM impressions WHERE occurred_at::DATE BETWEEN $first AND $last)
    SELECT strftime(occurred_at, '%Y-%m-%d') AS day, ad_id::VARCHAR, count(*), count(*) FILTER (EXISTS (
        SELECT * FROM clicks
        WHERE clicks.impression_id = shown.impression_id
          AND clicks.occurred_at >= shown.occurred_at
          AND clicks.occurred_at::DATE <= shown.occurred_at::DATE + $attribution_days
      ))
    FROM shown
    GROUP BY ALL
"""


if __name__ == "__main__":
    sys.exit(main(sys.argv))
