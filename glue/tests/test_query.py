"""What `cargo dataless query` asks: the rows it shows, its warnings and its errors."""

import io
import json

import pytest

import query
from runner import drop_views

DAYS = {"year#1": "year", "month#2": "month", "day#3": "day"}


@pytest.mark.parametrize(
    "condition, warned",
    [
        ("(day#3 = 2026-11-27)", ["day = '2026-11-27'"]),
        ("((year#1 = 2026) AND (day#3 = 7))", ["day = '7'"]),
        ("NOT (month#2 <=> March)", ["month <=> 'March'"]),
        ("((day#3 >= 2026-11-01) AND (day#3 <= 2026-11-30))", ["day >= '2026-11-01'", "day <= '2026-11-30'"]),
        ("(2026-11-27 = day#3)", ["day = '2026-11-27'"]),
        ("day#3 IN (27,2026-11-28,8)", ["day = '2026-11-28'", "day = '8'"]),
        ("((year#1 = 26) OR (year#1 = 26))", ["year = '26'"]),
        # Comparisons that can match: the right digits, numbers, other columns, and computed days.
        ("(((year#1 = 2026) AND (month#2 = 11)) AND (day#3 >= 27))", []),
        ("(cast(day#3 as int) = 7)", []),
        ("(day#3 = day#13)", []),
        ("(day#33 = 2026-11-27)", []),
    ],
)
def test_a_comparison_that_no_row_can_meet_is_warned_of(condition, warned):
    found = query.mismatches(
        f"Project [x#9]\n+- Filter {condition}\n   +- Relation [x#9,year#1,month#2,day#3] orc\n", DAYS
    )
    assert [text.split(":")[0] for text in found] == warned
    assert all("digits, as in " in text for text in found)


@pytest.fixture
def events(spark, tmp_path):
    # The runner does this before each script. Jobs of other tests have made views of this name.
    drop_views(spark)
    rows = [(number, "2026", "11", f"{number % 3 + 1:02}") for number in range(120)]
    frame = spark.createDataFrame(rows, "n int, year string, month string, day string")
    frame.write.partitionBy("year", "month", "day").orc(str(tmp_path / "events"))
    spark.sql("CREATE DATABASE IF NOT EXISTS asked")
    spark.sql("DROP TABLE IF EXISTS asked.events")
    spark.sql(
        "CREATE EXTERNAL TABLE asked.events (n int) PARTITIONED BY (year string, month string, day string) "
        f"STORED AS ORC LOCATION 'file://{tmp_path}/events'"
    )
    spark.sql("MSCK REPAIR TABLE asked.events")
    yield
    spark.sql("DROP DATABASE asked CASCADE")


def ask(capsys, sql, *options):
    """The output and result of a run."""
    ended = query.main(["query.py", "--database", "asked", "--format", "csv", *options, "--sql", sql])
    return ended, capsys.readouterr().out


def test_the_first_rows_come_with_the_number_of_the_others(events, capsys):
    ended, printed = ask(capsys, "SELECT n FROM events ORDER BY n", "--most", "50")
    answer = json.loads(printed)
    assert (ended, answer["more"], answer["warnings"]) == (0, 70, [])
    assert answer["text"].splitlines() == ["n", *map(str, range(50))]
    for most in ("0", "120"):
        answer = json.loads(ask(capsys, "SELECT n FROM events", "--most", most)[1])
        assert (answer["more"], len(answer["text"].splitlines())) == (0, 121)
    # Without a number, rows alone.
    assert len(ask(capsys, "SELECT n FROM events")[1].splitlines()) == 121


@pytest.mark.parametrize(
    "condition, warned, rows",
    [
        ("day = '2026-11-02'", 1, 0),
        ("day = '2'", 1, 0),
        ("day = '02'", 0, 40),
        ("day = 2", 0, 40),
        ("concat_ws('-', year, month, day) = '2026-11-02'", 0, 40),
    ],
)
def test_spark_s_plans_of_a_partitioned_table_are_understood(events, capsys, condition, warned, rows):
    answer = json.loads(ask(capsys, f"SELECT count(*) FROM events WHERE {condition}", "--most", "50")[1])
    assert (len(answer["warnings"]), answer["text"]) == (warned, f"count(1)\n{rows}\n"), answer


def test_a_day_that_a_query_makes_itself_is_not_the_partition(events, capsys):
    days = "SELECT concat_ws('-', year, month, day) AS day FROM events"
    answer = json.loads(ask(capsys, f"SELECT count(*) FROM ({days}) WHERE day = '2026-11-02'", "--most", "50")[1])
    assert (answer["warnings"], answer["text"]) == ([], "count(1)\n40\n")


def test_statements_without_a_relation_are_answered(events, capsys):
    answer = json.loads(ask(capsys, "SHOW TABLES", "--most", "50")[1])
    assert "events" in answer["text"] and answer["warnings"] == []


@pytest.mark.parametrize(
    "sql, expected",
    [
        ("SELECT nn FROM events", ["nn", "events"]),
        ("SELEC n FROM events", ["SELEC"]),
        ("SELECT * FROM orders", ["orders"]),
    ],
)
def test_a_mistake_ends_the_script_with_the_message_of_the_engine(events, capsys, sql, expected):
    ended, printed = ask(capsys, sql, "--most", "50")
    assert isinstance(ended, str) and all(part in ended for part in expected), ended
    assert printed == "" and "Traceback" not in ended and "JVM stacktrace" not in ended


def test_a_table_is_written_in_columns():
    out = io.StringIO()
    query.write(["ad", "n"], [["a", 1], [None, 20]], "table", out)
    assert out.getvalue() == "ad  n\n--  --\na   1\n    20\n"
