import gzip
import json
import random
import shutil
from datetime import date, datetime, timedelta

import duckdb
import pytest
from pyspark.sql import functions as F

import duckdb_check
import expectation
import nasty
import nasty_orders
from etl_runs import run_etl
from support.spark import raw_objects

DAY = date(2026, 11, 20)
TABLES = {
    one["name"]: duckdb_check.Table(
        one["name"],
        f"{one.get('group', 'ad')}/{one['name']}",
        one["columns"],
        one["id"],
        one["time"],
        tuple(one["required"]),
        tuple(one["uuid"]),
    )
    for one in (expectation.IMPRESSIONS, expectation.CLICKS, nasty_orders.TABLE)
}
ADS = [f"ad000000-0000-4000-8000-00000000000{number}" for number in range(4)]


def put_raw(data, table: str, lines) -> None:
    """Stores `(hour, file name, line, …)` records as Firehose does."""
    for (hour, name), content in raw_objects(lines).items():
        year, month, day, hour = hour.replace(" ", "-").split("-")
        folder = data / f"raw/{TABLES[table].folder}/year={year}/month={month}/day={day}/hour={hour}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(gzip.compress(content))


def kept(data, table: str, first: date, last: date) -> list[tuple]:
    """The rows that DuckDB keeps, with text for ids."""
    with duckdb.connect() as connection:
        duckdb_check.keep(connection, TABLES[table], data, first, last, nasty.LOOKBACK_DAYS)
        return sorted(tuple(map(str, row)) for row in connection.execute(f"FROM {table}").fetchall())


def traffic(data, attribution_days: int = 1) -> dict:
    """What DuckDB makes of the impressions of the day."""
    with duckdb.connect() as connection:
        for table in ("impressions", "clicks"):
            duckdb_check.keep(connection, TABLES[table], data, DAY, DAY + timedelta(days=attribution_days), 3)
        return duckdb_check.recompute(connection, DAY, DAY, attribution_days)


def labelled(lines, first: date, last: date) -> list[tuple]:
    """The same for the lines that are labelled as kept, read by plain Python."""
    rows = []
    for hour, _, line, fate in lines:
        if fate == "kept":
            _, row, _ = expectation.judge(expectation.IMPRESSIONS, line, datetime.strptime(hour, "%Y-%m-%d %H"))
            rows += [(*map(str, row.values()), f"{hour}:00:00")] if first <= row["occurred_at"].date() <= last else []
    return sorted(rows)


def click(number: int, impression: int, occurred_at: str) -> str:
    ids = {"click_id": nasty.own_id(number), "impression_id": nasty.own_id(impression), "ad_id": ADS[1]}
    return json.dumps(ids | {"occurred_at": occurred_at})


@pytest.mark.parametrize("first", [date(2026, 11, 17), date(2026, 11, 20), date(2026, 11, 21), date(2026, 11, 23)])
@pytest.mark.parametrize("lines", [nasty.LINES, nasty.ODD_NAMES], ids=["lines", "names"])
def test_of_the_nasty_input_duckdb_keeps_what_the_labels_say(tmp_path, lines, first):
    put_raw(tmp_path, "impressions", lines)
    assert kept(tmp_path, "impressions", first, date(2026, 11, 23)) == labelled(lines, first, date(2026, 11, 23))


@pytest.mark.parametrize(
    ("table", "lines"),
    [(expectation.IMPRESSIONS, nasty.LINES), (nasty_orders.TABLE, nasty_orders.LINES)],
    ids=["impressions", "orders"],
)
def test_of_each_arrival_day_duckdb_rejects_what_plain_python_rejects(tmp_path, table, lines):
    lines = [line[:3] for line in lines]
    put_raw(tmp_path, table["name"], lines)
    first, last = date(2026, 11, 18), date(2026, 11, 22)
    with duckdb.connect() as connection:
        duckdb_check.keep(connection, TABLES[table["name"]], tmp_path, first, last, nasty.LOOKBACK_DAYS)
        counted = duckdb_check.count_fates(connection, first, last)
    books = expectation.books(table, lines, nasty.LOOKBACK_DAYS)
    figures = {day: {name: books[day][name] for name in ("raw", "rejected", "late")} for day in books}
    assert counted == {day: found for day, found in figures.items() if str(first) <= day <= str(last)}
    assert sum(found["rejected"] for found in counted.values()) > 10


MEMBERS = [
    "7",
    "null",
    '"x"',
    "{}",
    "[1, 2]",
    '{"ad_id": 1, "ad_id": 2}',
    '"\\u0000"',
    "1e400",
    f'"{nasty.OTHER_AD}"',
    '"}, nan,]"',
]


def mutated_lines(seed: str, count: int) -> list[tuple]:
    """Events with members before, between and after their own, with the same names and others, some of them truncated
    or damaged."""
    chance = random.Random(seed)
    lines = []
    for number in range(count):
        own = {"impression_id": nasty.own_id(number), "ad_id": nasty.AD, "occurred_at": nasty.NOON}
        members = [f'"{name}": "{value}"' for name, value in own.items()]
        for _ in range(chance.choice([0, 1, 2, 5])):
            name = chance.choice([*own, *own, "n", "", "$", "a.b", "*", "ad\\u005fid"])
            members.insert(chance.randrange(len(members) + 1), f'"{name}": {chance.choice(MEMBERS)}')
        line = ("{" + chance.choice([", ", ",", ",\t"]).join(members) + "}").encode()
        for _ in range(chance.choice([0, 0, 1, 2])):
            place = chance.randrange(len(line) + 1)
            piece = chance.choice(
                [b"\r", b" ", b"\t", b"", b'"', b",", b"\\", b"\xff", b"inf", b"\x01", b"\0", b"\v", b"{"]
            )
            line = line[:place] + piece + line[place:]
        lines.append(("2026-11-20 12", f"{number % 3}.gz", line))
    return lines


def test_of_many_mutated_lines_duckdb_keeps_what_plain_python_keeps(tmp_path):
    lines = mutated_lines("lines", 6000)
    put_raw(tmp_path, "impressions", lines)
    expected = expectation.lake(expectation.IMPRESSIONS, lines, nasty.LOOKBACK_DAYS)
    assert kept(tmp_path, "impressions", DAY, DAY) == sorted(tuple(map(str, row[:4])) for row in expected)
    assert 1000 < len(expected) < 5000


def test_control_characters_are_what_json_makes_of_them(tmp_path):
    event = nasty.impression(1, nasty.NOON)
    lines = ["\r" + event, event.replace(" ", "\r").replace(nasty.NOON.replace(" ", "\r"), nasty.NOON) + "\r\r"]
    lines = [line.replace(nasty.own_id(1), nasty.own_id(number)) for number, line in enumerate(lines)]
    cut = nasty.impression(2, nasty.NOON, note="a?b").replace("?", "\r")
    put_raw(tmp_path, "impressions", [("2026-11-20 12", "a.gz", line) for line in (*lines, cut)])
    put_raw(tmp_path, "impressions", [("2026-11-20 12", "delimiter.gz", nasty.impression(4, nasty.NOON) + "\x01")])
    folder = tmp_path / "raw/ad/impressions/year=2026/month=11/day=20/hour=12"
    (folder / "plain").write_bytes(nasty.impression(3, nasty.NOON).replace("{", "{\r").encode())
    assert [row[0] for row in kept(tmp_path, "impressions", DAY, DAY)] == [nasty.own_id(number) for number in (0, 1, 3)]


def test_a_line_of_any_length_is_read(tmp_path):
    """Spark reads lines of up to 2 GB, and a file that is imported may have one that Firehose never would."""
    long = nasty.with_member(1, f'"note": "{"x" * 17_500_000}"')
    put_raw(
        tmp_path,
        "impressions",
        [("2026-11-20 12", "a.gz", long), ("2026-11-20 12", "a.gz", nasty.impression(2, nasty.NOON))],
    )
    assert [row[0] for row in kept(tmp_path, "impressions", DAY, DAY)] == [nasty.own_id(1), nasty.own_id(2)]


@pytest.mark.parametrize(
    "line",
    ['{"a": 1,}', '{"a": NaN}', '{"a": [1,]}', '{"a": -Infinity}', '{"a": nan}', '{"a": [-inf]}', '{"a": INFINITY}'],
)
def test_what_only_duckdb_accepts_as_json_is_not_an_event(tmp_path, line):
    event = nasty.impression(1, nasty.NOON)
    put_raw(tmp_path, "impressions", [("2026-11-20 12", "a.gz", event[:-1] + "," + line[1:])])
    assert traffic(tmp_path) == {}


def test_commas_and_words_in_strings_are_allowed(tmp_path):
    event = nasty.impression(1, nasty.NOON, note='NaN,} \\" ,]')
    put_raw(tmp_path, "impressions", [("2026-11-20 12", "a.gz", event)])
    assert traffic(tmp_path) == {("2026-11-20", nasty.AD): (1, 0)}


def test_an_impression_is_clicked_from_its_own_time_to_the_end_of_the_next_day(tmp_path):
    shown = "2026-11-20 10:00:00.000"
    put_raw(
        tmp_path, "impressions", [("2026-11-20 10", "a.gz", nasty.impression(number, shown)) for number in range(6)]
    )
    clicks = [
        ("2026-11-20 10", "a.gz", click(10, 0, shown)),
        ("2026-11-20 10", "a.gz", click(11, 1, "2026-11-20 09:59:59.999")),
        ("2026-11-21 23", "a.gz", click(12, 2, "2026-11-21 23:59:59.999")),
        ("2026-11-22 00", "a.gz", click(13, 3, "2026-11-22 00:00:00.000")),
        ("2026-11-24 10", "a.gz", click(14, 4, "2026-11-21 10:00:00.000")),
        # A second click changes nothing, nor does a repeated click without an impression.
        ("2026-11-20 11", "a.gz", click(15, 0, "2026-11-20 11:00:00.000")),
        ("2026-11-20 11", "a.gz", click(15, 99, "2026-11-20 11:00:00.000")),
    ]
    put_raw(tmp_path, "clicks", clicks)
    assert traffic(tmp_path) == {("2026-11-20", nasty.AD): (6, 3)}
    # Of this day alone, the first one; with two more days, the one at midnight too.
    assert traffic(tmp_path, 0) == {("2026-11-20", nasty.AD): (6, 1)}
    assert traffic(tmp_path, 2) == {("2026-11-20", nasty.AD): (6, 4)}


# --- a type with columns of every type ---


def kept_orders(data) -> list[tuple]:
    """(id, time, hour of arrival) of the orders that DuckDB keeps."""
    with duckdb.connect() as connection:
        duckdb_check.keep(
            connection, TABLES["orders"], data, date(2026, 11, 1), date(2026, 11, 30), nasty.LOOKBACK_DAYS
        )
        return sorted(connection.execute("SELECT order_id::VARCHAR, ordered_at, arrived_at FROM orders").fetchall())


def expected_orders(lines) -> list[tuple]:
    decided = expectation.fates(nasty_orders.TABLE, lines, nasty.LOOKBACK_DAYS)
    return sorted((one.row["order_id"], one.row["ordered_at"], one.arrived) for one in decided if one.fate == "kept")


def test_of_nasty_orders_duckdb_keeps_what_the_labels_say(tmp_path):
    lines = [line[:4] for line in nasty_orders.LINES]
    put_raw(tmp_path, "orders", lines)
    labelled = sorted(json.loads(line)["order_id"] for _, _, line, fate in lines if fate == "kept")
    kept = kept_orders(tmp_path)
    assert [own_id for own_id, *_ in kept] == labelled
    assert kept == expected_orders(lines)


REQUIRED = ["0.005", "-9999999999.995", "9999999999.994", '"1,234.5"', '"+.5"', '"x"', "1e9999", "1e10000", "true", "null", "[1]", '"1e5"',
            "100000000000e-11", "1.4999999999999999999999999999", "-0", '"5."', '""', "123456789012345678901234567890e-20"]  # fmt: skip
CUSTOMERS = ['{"id": 7}', '{"id": 7, "id": "x"}', '{"id": 7, "id": null}', '{"id": 7.0}', '{"id": 9223372036854775808}', '{"id": 1e2}',
             '{"name": "x"}', "7", '"{}"', '[{"id": 7}]', "null", '{"id": -9223372036854775808, "more": {"id": "x"}}', '{"\\u0069d": 7}']  # fmt: skip


def test_of_required_values_of_every_kind_duckdb_keeps_what_plain_python_keeps(tmp_path):
    chance = random.Random("required")
    lines = []
    for number in range(3000):
        members = [f'"order_id": "{nasty.own_id(number)}"', f'"ordered_at": "{nasty.NOON}"', '"note": "1 \\" -2.5e3 :"']
        members += [f'"total": {chance.choice(REQUIRED)}' for _ in range(chance.choice([1, 1, 2]))]
        members += [f'"customer": {chance.choice(CUSTOMERS)}' for _ in range(chance.choice([1, 1, 2]))]
        chance.shuffle(members)
        lines.append(("2026-11-20 12", "a.gz", "{" + chance.choice([",", " , "]).join(members) + "}"))
    put_raw(tmp_path, "orders", lines)
    expected = expected_orders(lines)
    assert kept_orders(tmp_path) == expected
    assert 600 < len(expected) < 2400


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (["bigint"], ["[]", "[1, null]"], ["{}", '["1"]', "[1.5]", "null"]),
        ([{"a": "double"}], ["[{}]", '[{"a": "x"}, null]'], ["[[]]", "[7]"]),
        ({"a": {"b": "string"}}, ["{}", '{"a": 7}'], ["[]", "7"]),
        ("double", ["7", "1e-400", "-1.5E3"], ["1e400", "1e10000", '"1"', "7" * 400, "true"]),
        ("boolean", ["true", "false"], ["1", '"true"', "null"]),
        ("date", ['"2026-02-28"'], ['"2026-02-29"', '"2026-2-1"', '"0000-01-01"', "20260228"]),
        ("string", ['""', "7", "{}", "[null]"], ["null"]),
        ("decimal(3,0)", ["999.4", '"1,2"'], ["999.5", '"1.2.3"']),
    ],
)
def test_a_required_column_may_be_of_any_type(tmp_path, kind, good, bad):
    table = duckdb_check.Table(
        "orders", "shop/orders", {"i": "string", "t": "timestamp", "v": kind}, "i", "t", ("i", "t", "v"), ("i",)
    )
    described = {"columns": table.kinds, "id": "i", "time": "t", "required": ["i", "t", "v"], "uuid": ["i"]}
    lines = [
        ("2026-11-20 12", "a.gz", f'{{"i": "{nasty.own_id(number)}", "t": "{nasty.NOON}", "v": {value}}}')
        for number, value in enumerate([*good, *bad])
    ]
    put_raw(tmp_path, "orders", lines)
    with duckdb.connect() as connection:
        duckdb_check.keep(connection, table, tmp_path, DAY, DAY, 3)
        ids = sorted(own_id for (own_id,) in connection.execute("SELECT i::VARCHAR FROM orders").fetchall())
    assert ids == [nasty.own_id(number) for number in range(len(good))]
    assert sorted(one.row["i"] for one in expectation.fates(described, lines, 3) if one.fate == "kept") == ids


def check(
    warehouse, capsys, first: str = "2026-11-20", last: str = "2026-11-20", attribution_days: int = 1
) -> tuple[int, dict]:
    arguments = {"database": warehouse.database, "data_path": warehouse.data_path, "from": first, "to": last}
    arguments |= {"lookback_days": "3", "attribution_days": str(attribution_days)}
    capsys.readouterr()
    status = duckdb_check.main(
        ["duckdb_check.py", *(part for name, value in arguments.items() for part in (f"--{name}", value))]
    )
    return status, json.loads(capsys.readouterr().out)


def test_rows_of_every_type_that_are_missing_doubled_or_too_many_are_found(orders, capsys):
    lines = [line[:3] for line in nasty_orders.LINES]
    put_raw(orders.folder / "data", "orders", lines)
    days = sorted({hour[:10] for hour, *_ in lines})
    run_etl(orders, *days, table="orders")
    status, found = check(orders, capsys, days[0], days[-1])
    assert (status, found["differences"], found["events"]["clicks"]) == (0, [], 0)
    assert found["events"]["orders"] == len(expected_orders(lines)) > 50
    (path,) = orders.folder.glob("data/lake/shop/orders/arrived=2026-11-20/run-*/event_day=2026-11-20")
    rows = orders.spark.read.orc(f"file://{path}")
    one, two, three = (F.col("order_id") == nasty.own_id(number) for number in (1, 2, 3))
    too_many = rows.where(three).withColumn("order_id", F.lit(nasty.own_id(999)))
    rows.where(~one).unionByName(rows.where(two)).unionByName(too_many).write.orc(f"file://{path}-new")
    shutil.rmtree(path)
    path.with_name(f"{path.name}-new").rename(path)
    status, found = check(orders, capsys, days[0], days[-1])
    place = {"table": "orders", "day": "2026-11-20", "arrived_at": "2026-11-20 12:00"}
    assert (status, found["different"]) == (1, 3)
    assert found["differences"] == [
        place | {"id": nasty.own_id(1), "expected": 1, "found": 0},
        place | {"id": nasty.own_id(2), "expected": 1, "found": 2},
        place | {"id": nasty.own_id(999), "expected": 0, "found": 1},
    ]


def test_a_ledger_that_is_not_what_raw_says_is_found(orders, capsys):
    put_raw(
        orders.folder / "data",
        "orders",
        [("2026-11-20 12", "a.gz", nasty_orders.order(1)), ("2026-11-20 12", "a.gz", "{")],
    )
    run_etl(orders, "2026-11-20", table="orders")
    assert check(orders, capsys, last="2026-11-21")[1]["differences"] == []
    put_raw(orders.folder / "data", "orders", [("2026-11-20 12", "b.gz", "no JSON"), ("2026-11-21 12", "a.gz", "{")])
    status, found = check(orders, capsys, last="2026-11-21")
    books = {"raw": 2, "rejected": 1, "late": 0}
    assert status == 1 and found["differences"] == [
        {"table": "orders", "arrived": "2026-11-20", "expected": books | {"raw": 3, "rejected": 2}, "found": books},
        {"table": "orders", "arrived": "2026-11-21", "expected": books | {"raw": 1}, "found": None},
    ]


def test_planted_differences_are_found_on_both_sides_and_end_with_status_1(warehouse, capsys):
    put_raw(
        warehouse.folder / "data",
        "impressions",
        [("2026-11-20 12", "a.gz", nasty.impression(number, nasty.NOON, ADS[number])) for number in range(3)],
    )
    run_etl(warehouse, "2026-11-20")
    keys = {"year": "2026", "month": "11", "day": "20"}
    right = [{"ad_id": ad, "impressions": 1, "clicks": 0} | keys for ad in ADS[:2]]
    warehouse.insert("ad_traffic", [*right, {"ad_id": ADS[2], "impressions": 1, "clicks": 0} | keys])
    events = {"days": 2, "events": {"clicks": 0, "impressions": 3}}
    assert check(warehouse, capsys, last="2026-11-21") == (0, events | {"ads": 3, "different": 0, "differences": []})

    shutil.rmtree(warehouse.folder / "data/lake/ad/ad_traffic")
    warehouse.insert(
        "ad_traffic", [right[0], right[1] | {"clicks": 1}, {"ad_id": ADS[3], "impressions": 1, "clicks": 0} | keys]
    )
    assert check(warehouse, capsys, last="2026-11-21") == (
        1,
        events
        | {
            "ads": 4,
            "different": 3,
            "differences": [
                {"day": "2026-11-20", "ad_id": ADS[1], "expected": [1, 0], "found": [1, 1]},
                {"day": "2026-11-20", "ad_id": ADS[2], "expected": [1, 0], "found": None},
                {"day": "2026-11-20", "ad_id": ADS[3], "expected": None, "found": [1, 0]},
            ],
        },
    )
