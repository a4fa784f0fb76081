import gzip
import json
import random
import shutil
from datetime import date, datetime

import duckdb
import expectation
import nasty
import pytest

import duckdb_check

DAY = date(2026, 11, 20)
ADS = [f"ad000000-0000-4000-8000-00000000000{number}" for number in range(4)]


def put_raw(data, table: str, lines) -> None:
    """Stores `(hour, file name, line, …)` records as Firehose does."""
    for (hour, name), content in nasty.objects(lines).items():
        year, month, day, hour = hour.replace(" ", "-").split("-")
        folder = data / f"raw/ad/{table}/year={year}/month={month}/day={day}/hour={hour}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(gzip.compress(content))


def kept(data, table: str, first: date, last: date) -> list[tuple]:
    """The rows that DuckDB keeps, with text for ids."""
    with duckdb.connect() as connection:
        duckdb_check.keep(connection, table, data, first, last, nasty.LOOKBACK_DAYS)
        return sorted(tuple(map(str, row)) for row in connection.execute(f"FROM {table}").fetchall())


def labelled(lines, first: date, last: date) -> list[tuple]:
    """The same of the lines whose labels say that they are kept; plain Python reads what is in them."""
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


MEMBERS = ["7", "null", '"x"', "{}", "[1, 2]", '{"ad_id": 1, "ad_id": 2}', '"\\u0000"', "1e400", f'"{nasty.OTHER_AD}"', '"}, nan,]"']


def mutated_lines(seed: str, count: int) -> list[tuple]:
    """Events with members before, between and after their own, of the same names and others, some of them torn or spoilt."""
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
            piece = chance.choice([b"\r", b" ", b"\t", b"", b'"', b",", b"\\", b"\xff", b"inf", b"\x01", b"\0", b"\v", b"{"])
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


@pytest.mark.parametrize(
    "line", ['{"a": 1,}', '{"a": NaN}', '{"a": [1,]}', '{"a": -Infinity}', '{"a": nan}', '{"a": [-inf]}', '{"a": INFINITY}']
)
def test_what_only_duckdb_takes_for_json_is_no_event(tmp_path, line):
    event = nasty.impression(1, nasty.NOON)
    put_raw(tmp_path, "impressions", [("2026-11-20 12", "a.gz", event[:-1] + "," + line[1:])])
    assert duckdb_check.recompute(tmp_path, DAY, DAY, 3) == {}


def test_commas_and_words_in_strings_are_no_fault(tmp_path):
    event = nasty.impression(1, nasty.NOON, note='NaN,} \\" ,]')
    put_raw(tmp_path, "impressions", [("2026-11-20 12", "a.gz", event)])
    assert duckdb_check.recompute(tmp_path, DAY, DAY, 3) == {("2026-11-20", nasty.AD): (1, 0)}


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
        # A second click changes nothing, a repeat of a click of nobody's impression neither.
        ("2026-11-20 11", "a.gz", click(15, 0, "2026-11-20 11:00:00.000")),
        ("2026-11-20 11", "a.gz", click(15, 99, "2026-11-20 11:00:00.000")),
    ]
    put_raw(tmp_path, "clicks", clicks)
    assert duckdb_check.recompute(tmp_path, DAY, DAY, 3) == {("2026-11-20", nasty.AD): (6, 3)}


def test_planted_differences_are_found_on_both_sides_and_end_with_status_1(warehouse, capsys):
    put_raw(
        warehouse.folder / "data",
        "impressions",
        [("2026-11-20 12", "a.gz", nasty.impression(number, nasty.NOON, ADS[number])) for number in range(3)],
    )
    keys = {"year": "2026", "month": "11", "day": "20"}
    right = [{"ad_id": ad, "impressions": 1, "clicks": 0} | keys for ad in ADS[:2]]
    warehouse.insert("ad_traffic", [*right, {"ad_id": ADS[2], "impressions": 1, "clicks": 0} | keys])
    arguments = [
        "--data_path",
        warehouse.data_path,
        "--from",
        "2026-11-20",
        "--to",
        "2026-11-21",
        "--lookback_days",
        "3",
    ]
    assert duckdb_check.main(["duckdb_check.py", *arguments]) == 0
    assert json.loads(capsys.readouterr().out) == {"ads": 3, "days": 2, "different": 0, "differences": []}

    shutil.rmtree(warehouse.folder / "data/lake/ad/ad_traffic")
    warehouse.insert(
        "ad_traffic", [right[0], right[1] | {"clicks": 1}, {"ad_id": ADS[3], "impressions": 1, "clicks": 0} | keys]
    )
    assert duckdb_check.main(["duckdb_check.py", *arguments]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "ads": 4,
        "days": 2,
        "different": 3,
        "differences": [
            {"day": "2026-11-20", "ad_id": ADS[1], "expected": [1, 0], "found": [1, 1]},
            {"day": "2026-11-20", "ad_id": ADS[2], "expected": [1, 0], "found": None},
            {"day": "2026-11-20", "ad_id": ADS[3], "expected": None, "found": [1, 0]},
        ],
    }
