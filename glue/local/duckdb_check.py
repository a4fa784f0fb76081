"""Recomputes from the raw lines in DuckDB which events are kept, and `ad_traffic`, and compares both with the lake, day by day.

    spark-submit glue/local/duckdb_check.py --database DB --data_path file:///FOLDER/data --from YYYY-MM-DD --to YYYY-MM-DD
        --lookback_days 3

Follows the definitions of `docs/lake.md` in SQL of its own, for each table of events that the catalog has: Python reads no
line, and takes only what differs and the traffic's rows. Prints {"days": …, "events": …, "ads": …, "different": …,
"differences": […]}: `events` has the kept ones by table. At most 100 differences are listed:

    {"table", "day", "id", "arrived_at", "expected", "found"}  how many times an event is to be kept, and is
    {"day", "ad_id", "expected", "found"}                      pairs of impressions and clicks, null for an ad that is missing

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

SHOWN_DIFFERENCES = 100
MAX_LINE_BYTES = 16 * 1024 * 1024

UUID = "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
DAY = r"\d{4}-\d\d-\d\d"
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{3})?"

# DuckDB's reader takes a comma too many, and `nan` and `inf` in any case. They show once the strings are empty.
STRING = r'"(\\.|[^"\\])*"'
NOT_JSON = r"(?i),\s*[\]}]|nan|inf"

SAME_IN_JSON = bytes.maketrans(b"\r\x01", b"\t\x02")

# DuckDB forgets how a number was written. So each is made text that begins with this.
MARK = "\ufdd0\ufdd1\ufdd2"
NUMBER = r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
# A number with an exponent of more digits is text, and no number.
DECIMAL = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?"

# Types whose values are looked at as text.
TEXTS = ("string", "timestamp", "date")

Traffic = dict[tuple[str, str], tuple[int, int]]
# A type of the catalog: its name, a list with the type of an array's elements, or an object's members.
Kind = str | list | dict


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
        """The required fields that are columns, but for the time, which comes last."""
        simple = [path for path in self.required if isinstance(self.kinds.get(path), str)]
        return [name for name in simple if name != self.time] + [self.time]

    def has_numbers(self) -> bool:
        """Whether a line's fate depends on how a number is written."""
        return any(self.kinds[path.split(".")[0]] not in TEXTS for path in self.required)


def event_tables(spark: SparkSession, database: str) -> list[Table]:
    """The tables of events that the catalog has."""
    tables = []
    for row in spark.sql(f"SHOW TABLES IN `{database}`").where("NOT isTemporary").collect():
        name = row["tableName"]
        shown = spark.sql(f"SHOW TBLPROPERTIES `{database}`.`{name}`").collect()
        parameters = {row["key"]: row["value"] for row in shown}
        if "event.id" in parameters:
            described = spark.sql(f"DESCRIBE TABLE EXTENDED `{database}`.`{name}`").collect()
            (location,) = [row["data_type"] for row in described if row["col_name"] == "Location"]
            lists = {key: tuple(filter(None, parameters.get(f"event.{key}", "").split(","))) for key in ("required", "uuid")}
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
    options = getResolvedOptions(argv, ["database", "data_path", "from", "to", "lookback_days"])
    first, last = date.fromisoformat(options["from"]), date.fromisoformat(options["to"])
    data_path, lookback_days = options["data_path"].rstrip("/"), int(options["lookback_days"])
    data = Path(data_path.removeprefix("file://"))
    spark = SparkSession.builder.appName("duckdb check").enableHiveSupport().getOrCreate()
    tables = event_tables(spark, options["database"])
    events: dict[str, int] = {}
    different: list[dict[str, Any]] = []
    ads: set[str] = set()
    with duckdb.connect() as connection:
        for table in tables:
            # A click counts until the day after its impression.
            keep(connection, table, data, first, last + timedelta(days=1), lookback_days)
            with TemporaryDirectory() as folder:
                stored = write_lake(spark, data_path, table, first, last, folder)
                events[table.name], found = compare_events(connection, table, stored, first, last)
            different += found
        if {"impressions", "clicks"} <= {table.name for table in tables}:
            expected, traffic = recompute(connection, first, last), read_lake(spark, data_path, first, last)
            different += differences(expected, traffic)
            ads = {ad for _, ad in expected.keys() | traffic.keys()}
    shown = {"days": (last - first).days + 1, "events": events, "ads": len(ads), "different": len(different)}
    print(json.dumps(shown | {"differences": different[:SHOWN_DIFFERENCES]}))
    return 1 if different else 0


def write_lake(spark: SparkSession, data_path: str, table: Table, first: date, last: date, folder: str) -> list[str]:
    """Writes what the lake's files of the event days have as Parquet: id, and times in microseconds. Gives the files."""
    location = f"{data_path}/lake/{table.folder}"
    days = {str(day) for day in days_between(first, last)}
    paths = [path for values, path in catalog.find_partitions(location, [*books.DAY, "arrived"]) if "-".join(values[:3]) in days]
    if not paths:
        return []
    rows = spark.read.schema(f"`{table.id}` string, `{table.time}` timestamp, arrived_at timestamp").orc(paths)
    columns = [f"`{table.id}` AS id", f"unix_micros(`{table.time}`) AS occurred_at", "unix_micros(arrived_at) AS arrived_at"]
    rows.selectExpr(*columns).write.parquet(f"file://{folder}/rows")
    return [str(path) for path in Path(folder, "rows").glob("*.parquet")]


def compare_events(
    connection: duckdb.DuckDBPyConnection, table: Table, stored: list[str], first: date, last: date
) -> tuple[int, list[dict[str, Any]]]:
    """How many events of the days are to be kept, and which are not kept as often as they should be."""
    files = "read_parquet($stored)" if stored else "(SELECT '' AS id, 0::BIGINT AS occurred_at, 0::BIGINT AS arrived_at WHERE false)"
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
    (count,) = connection.execute(f"SELECT count(*) {kept}", bounds).fetchone()
    return count, [{"table": table.name} | dict(zip(names, row)) for row in rows]


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
            spark, f"{data_path}/lake/ad/ad_traffic", books.DAY, "ad_id string, impressions bigint, clicks bigint", str(day)
        ).collect()
        for row in rows:
            if (str(day), row.ad_id) in traffic:
                raise ValueError(f"ad_traffic of {day} has the ad {row.ad_id} more than once")
            traffic[str(day), row.ad_id] = row.impressions, row.clicks
    return traffic


def recompute(connection: duckdb.DuckDBPyConnection, first: date, last: date) -> Traffic:
    """(impressions, clicks) by (day, ad), from the kept events."""
    rows = connection.execute(TRAFFIC_SQL, {"first": first, "last": last}).fetchall()
    return {(day, ad): (impressions, clicks) for day, ad, impressions, clicks in rows}


def keep(connection: duckdb.DuckDBPyConnection, table: Table, data: Path, first: date, last: date, lookback_days: int) -> None:
    """Makes the table of the kept events of the days: its required columns, ids as UUIDs, and arrived_at.

    An event's window begins in the last hour of the day before. Whether an event in that window was itself kept may depend on
    days before it, if its id came then too. Such ids are rare: only for them older lines are read.
    """
    before = timedelta(days=1)
    while True:
        lines = raw_objects(data, table, first - before, last + timedelta(days=lookback_days))
        with TemporaryDirectory() as folder:
            connection.execute("CREATE OR REPLACE TABLE objects (file VARCHAR, _object VARCHAR, arrived_at TIMESTAMP)")
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


def days_between(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=offset) for offset in range((last - first).days + 1))


def events_sql(table: Table, files: list[str]) -> str:
    """Makes the table `events`: those in time, their own id as `_id`, their place among those with the id, and their window."""
    types = {name: "UUID" if name in table.uuid else sql_type(table.kinds[name]) for name in table.columns}
    if not files:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
        return f"CREATE OR REPLACE TABLE events ({columns}, _id {types[table.id]}, {', '.join(EVENT_COLUMNS)})"
    fields = ", ".join(f'{required(table, path)} AS "{path}"' for path in table.required)
    good = " AND ".join(f'"{path}" IS NOT NULL' for path in table.required)
    columns = ", ".join(f'"{name}"::{kind} AS "{name}"' for name, kind in types.items())
    order = ", ".join(f'"{name}"' for name in (table.time, *table.columns) if name != table.id)
    return f"""
        CREATE OR REPLACE TABLE events AS
        WITH lines AS (
          SELECT ltrim(line, '\ufeff') AS line, _object, arrived_at
          FROM read_csv($files, columns = {{'line': 'VARCHAR'}}, delim = '\x01', quote = '', escape = '', new_line = '\\n',
            header = false, auto_detect = false, strict_mode = false, ignore_errors = true,
            hive_partitioning = false, max_line_size = {MAX_LINE_BYTES}, filename = 'file')
          JOIN objects USING (file)
        ),
        json_lines AS (
          SELECT {marked("line") if table.has_numbers() else "line"} AS line, _object, arrived_at FROM lines
          WHERE json_valid(line) AND json_type(line) = 'OBJECT'
            AND NOT regexp_matches(regexp_replace(line, '{STRING}', '""', 'g'), '{NOT_JSON}')
        ),
        named AS (SELECT *, json_keys(line) AS names FROM json_lines),
        fields AS (SELECT _object, arrived_at, {fields} FROM named),
        typed AS (SELECT _object, arrived_at, {columns} FROM fields WHERE {good})
        SELECT * EXCLUDE (_object), "{table.id}" AS _id,
          row_number() OVER (PARTITION BY "{table.id}" ORDER BY arrived_at, _object, {order}) AS _place,
          date_trunc('day', "{table.time}") - INTERVAL 1 HOUR AS _window_start
        FROM typed
        WHERE "{table.time}" < arrived_at + INTERVAL 2 HOUR AND arrived_at::DATE - "{table.time}"::DATE <= $lookback
    """


def required(table: Table, path: str) -> str:
    """SQL of a required field's value; null if it is missing or not good."""
    name, *inner = path.split(".")
    kind = table.kinds[name]
    if not inner and kind in TEXTS:
        return good(last_member(name), "uuid" if name in table.uuid else kind)
    value = member("line", name, kind)
    for name in inner:
        kind = kind[name]
        value = member(value, name, kind)
    return good(value, kind)


def last_member(name: str) -> str:
    """The last member of the name of the line's object."""
    back = f"list_position(list_reverse(names), '{name}')"
    return f"""CASE WHEN len(names) = len(list_distinct(names)) THEN json_extract(line, '$.{name}')
      ELSE json_extract(line, '$.*')[len(names) + 1 - {back}] END"""


def member(value: str, name: str, kind: Kind, depth: int = 0) -> str:
    """Of the members of the name, the last one that is null or fits."""
    one = f"m{depth}"
    fitting = f"json_type({one}[2]) = 'NULL' OR {fits(f'{one}[2]', kind, depth + 1)}"
    members = f"list_zip(json_keys({value}), json_extract({value}, '$.*'))"
    return f"list_filter({members}, lambda {one}: {one}[1] = '{name}' AND ({fitting}))[-1][2]"


def fits(value: str, kind: Kind, depth: int = 0) -> str:
    """Whether a JSON value is of the JSON type that the column takes."""
    if isinstance(kind, list):
        one = f"e{depth}"
        element = f"json_type({one}) = 'NULL' OR {fits(one, kind[0], depth + 1)}"
        elements = f"list_transform(json_extract({value}, '$[*]'), lambda {one}: {element})"
        return f"(json_type({value}) = 'ARRAY' AND coalesce(list_bool_and({elements}), true))"
    if isinstance(kind, dict):
        return f"json_type({value}) = 'OBJECT'"
    if kind in TEXTS:
        return "true"
    if kind == "boolean":
        return f"json_type({value}) = 'BOOLEAN'"
    written = number(value)
    if kind == "bigint":
        return f"coalesce(regexp_full_match({written}, '-?[0-9]+') AND try_cast({written} AS BIGINT) IS NOT NULL, false)"
    if kind == "double":
        return f"coalesce(regexp_full_match({written}, '{DECIMAL}'), false)"
    return f"({decimal(value, kind)}) IS NOT NULL"


def good(value: str, kind: Kind) -> str:
    """SQL of the column's value; null if the JSON value is null or not good."""
    text = f"json_extract_string({value}, '$')"
    if isinstance(kind, (list, dict)):
        return f"CASE WHEN {fits(value, kind)} THEN {value} END"
    if kind == "uuid":
        return f"CASE WHEN regexp_full_match({text}, '{UUID}') THEN {text} END"
    if kind == "timestamp":
        moment = " , ".join(f"try_strptime({text}, '%Y-%m-%d %H:%M:%S{part}')" for part in (".%g", ""))
        return f"CASE WHEN regexp_full_match({text}, '{TIME}') THEN coalesce({moment}) END"
    if kind == "date":
        return f"CASE WHEN regexp_full_match({text}, '{DAY}') THEN try_strptime({text}, '%Y-%m-%d') END"
    if kind == "string":
        return text
    if kind == "boolean":
        return f"CASE WHEN {fits(value, kind)} THEN {text}::BOOLEAN END"
    if kind == "bigint":
        return f"CASE WHEN {fits(value, kind)} THEN {number(value)}::BIGINT END"
    if kind == "double":
        nearest = f"try_cast({number(value)} AS DOUBLE)"
        return f"CASE WHEN {fits(value, kind)} AND isfinite({nearest}) THEN {nearest} END"
    return decimal(value, kind)


def number(value: str) -> str:
    """A number as the line writes it; null if the JSON value is none."""
    text = f"json_extract_string({value}, '$')"
    return f"CASE WHEN json_type({value}) = 'VARCHAR' AND starts_with({text}, '{MARK}') THEN substr({text}, {len(MARK) + 1}) END"


def decimal(value: str, kind: str) -> str:
    """The value of a decimal column: a number, or text that has commas."""
    precision, scale = re.fullmatch(r"decimal\((\d+),(\d+)\)", kind).groups()
    text = f"coalesce({number(value)}, CASE WHEN json_type({value}) = 'VARCHAR' THEN replace(json_extract_string({value}, '$'), ',', '') END)"
    # More digits than the column has, since some are cut off.
    rounded = f"try_cast({text} AS DECIMAL(38, {scale}))"
    return f"CASE WHEN regexp_full_match({text}, '{DECIMAL}') THEN try_cast({rounded} AS DECIMAL({precision}, {scale})) END"


def marked(line: str) -> str:
    """The line of JSON, its numbers as text that begins with the mark."""
    # A control character that no line of JSON has ends what each of both is replaced by; one of the two is empty.
    split = f"regexp_replace({line}, '({STRING.replace('(', '(?:')})|({NUMBER})', '\\1\x02\\2\x02', 'g')"
    return f"""regexp_replace(replace({split}, '\x02\x02', ''), '\x02([^\x02]*)\x02', '"{MARK}\\1"', 'g')"""


def sql_type(kind: str) -> str:
    return {"string": "VARCHAR"}.get(kind, kind.upper())


EVENT_COLUMNS = ("arrived_at TIMESTAMP", "_place BIGINT", "_window_start TIMESTAMP")

# Whether events of the days from $first on follow one with their id whose own window begins before what was read.
OPEN_SQL = """
    SELECT count(*) FROM events JOIN events AS earlier USING (_id)
    WHERE earlier._place < events._place AND events._window_start >= $first::TIMESTAMP - INTERVAL 1 HOUR
      AND earlier.arrived_at >= events._window_start AND earlier._window_start < $start
"""


def kept_sql(table: Table) -> str:
    """The first event with an id is kept, then the first whose window begins after the kept one before had arrived: those are
    in the order of arrival, so none that was kept earlier can be in the window either."""
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
          AND clicks.occurred_at::DATE <= shown.occurred_at::DATE + 1
      ))
    FROM shown
    GROUP BY ALL
"""


if __name__ == "__main__":
    sys.exit(main(sys.argv))
