import json
from pathlib import Path

import pytest

import hive

PIPELINE = Path(__file__).resolve().parents[2] / "pipeline" / "hive"
DAY = "2026-11-20"
CASES = sorted(path for path in PIPELINE.glob("*/tests/*") if path.is_dir())

SCHEMAS = {
    "advertising": [
        ("ad_id", "string"),
        ("impression_id", "string"),
        ("impression_at", "timestamp"),
        ("click_at", "timestamp"),
    ],
    "ad_traffic": [("ad_id", "string"), ("impressions", "bigint"), ("clicks", "bigint")],
}
DAY_COLUMNS = [("year", "string"), ("month", "string"), ("day", "string")]


def read_rows(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def run_hive(warehouse, table: str, day: str = DAY) -> None:
    folder = PIPELINE / table
    arguments = {
        "script": f"file://{folder}/query.hql",
        "checks": f"file://{folder}/checks.hql",
        "database": warehouse.database,
        "day": day,
        "lookback_days": "3",
    }
    hive.main(["hive.py", *(part for name, value in arguments.items() for part in (f"--{name}", value))])


def told(warehouse, table: str, day: str = DAY) -> list[dict]:
    rows = warehouse.spark.table(f"{warehouse.database}.{table}").where("concat(year, '-', month, '-', day) = '" + day + "'")
    return sorted((as_json(row.asDict()) for row in rows.collect()), key=str)


def as_json(row: dict) -> dict:
    return {name: value if value is None or isinstance(value, int) else time_text(value) for name, value in row.items()}


def time_text(value) -> str:
    return value if isinstance(value, str) else value.isoformat(" ", "milliseconds")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.parent.name}-{case.name}")
def test_query(warehouse, case):
    table = case.parent.parent.name
    for file in case.glob("*.jsonl"):
        if file.stem != "expected" and read_rows(file):
            warehouse.insert(file.stem, read_rows(file))
    other_days = [row for row in warehouse.rows(table) if "-".join(row[-3:]) != DAY]
    expected = sorted(read_rows(case / "expected.jsonl"), key=str)

    run_hive(warehouse, table)
    assert told(warehouse, table) == expected
    assert warehouse.schema(table) == SCHEMAS[table] + DAY_COLUMNS
    run_hive(warehouse, table)
    assert told(warehouse, table) == expected
    assert [row for row in warehouse.rows(table) if "-".join(row[-3:]) != DAY] == other_days


def day_columns() -> dict[str, str]:
    return dict(zip(("year", "month", "day"), DAY.split("-")))


def advertising_row(impression_id: str, click_at: str | None) -> dict:
    impression_at = f"{DAY} 10:00:00.000"
    return {"ad_id": "ad-1", "impression_id": impression_id, "impression_at": impression_at, "click_at": click_at} | day_columns()


def impression_row(impression_id: str, ad_id: str = "ad-1") -> dict:
    occurred_at = f"{DAY} 10:00:00.000"
    row = {"impression_id": impression_id, "ad_id": ad_id, "occurred_at": occurred_at, "arrived_on": DAY}
    return row | day_columns()


def traffic_row(ad_id: str, impressions: int, clicks: int) -> dict:
    return {"ad_id": ad_id, "impressions": impressions, "clicks": clicks} | day_columns()


@pytest.mark.parametrize(
    ("table", "rows", "failing"),
    [
        ("advertising", {"impressions": [impression_row("i")], "advertising": [advertising_row("i", None)]}, None),
        (
            "advertising",
            {"impressions": [impression_row("i")], "advertising": [advertising_row("i", f"{DAY} 09:59:59.999")]},
            "a click is never before its impression",
        ),
        (
            "advertising",
            {"impressions": [impression_row("i")], "advertising": [advertising_row("i", "2026-11-22 00:00:00.000")]},
            "a click is within the attribution window",
        ),
        (
            "advertising",
            {
                "impressions": [impression_row("i"), impression_row("j")],
                "advertising": [advertising_row("i", None), advertising_row("i", None)],
            },
            "one row an impression",
        ),
        ("advertising", {"impressions": [impression_row("i")]}, "as many rows as the lake has impressions"),
        (
            "ad_traffic",
            {
                "impressions": [impression_row("i")],
                "advertising": [advertising_row("i", f"{DAY} 10:00:01.000")],
                "ad_traffic": [traffic_row("ad-1", 1, 1)],
            },
            None,
        ),
        (
            "ad_traffic",
            {
                "impressions": [impression_row("i")],
                "advertising": [advertising_row("i", f"{DAY} 10:00:01.000")],
                "ad_traffic": [traffic_row("ad-1", 1, 2), traffic_row("ad-2", 0, -1)],
            },
            "clicks are at most impressions",
        ),
        (
            "ad_traffic",
            {
                "impressions": [impression_row("i"), impression_row("j")],
                "advertising": [advertising_row("i", None), advertising_row("j", None)],
                "ad_traffic": [traffic_row("ad-1", 1, 0), traffic_row("ad-1", 1, 0)],
            },
            "one row an ad",
        ),
        (
            "ad_traffic",
            {
                "impressions": [impression_row("i")],
                "advertising": [advertising_row("i", None)],
                "ad_traffic": [traffic_row("ad-1", 2, 0)],
            },
            "impressions add up to the lake",
        ),
        (
            "ad_traffic",
            {
                "impressions": [impression_row("i")],
                "advertising": [advertising_row("i", f"{DAY} 10:00:01.000")],
                "ad_traffic": [traffic_row("ad-1", 1, 0)],
            },
            "clicks add up to the clicked impressions",
        ),
        (
            "ad_traffic",
            {
                "impressions": [impression_row("i"), impression_row("j", "ad-2")],
                "advertising": [advertising_row("i", None), advertising_row("j", None)],
                "ad_traffic": [traffic_row("ad-1", 2, 0)],
            },
            "no ad is lost",
        ),
    ],
)
def test_checks_find_what_is_wrong_and_nothing_else(warehouse, table, rows, failing):
    for name, content in rows.items():
        warehouse.insert(name, content)
    checks = (PIPELINE / table / "checks.hql").read_text(encoding="utf-8")
    variables = hive.day_variables(DAY) | {"database": warehouse.database}
    if failing is None:
        hive.run_checks(warehouse.spark, checks, variables)
        return
    with pytest.raises(hive.CheckFailed) as failed:
        hive.run_checks(warehouse.spark, checks, variables)
    assert [line.split(" (first")[0] for line in str(failed.value).splitlines() if line.startswith("check")] == [
        f"check failed: {failing}"
    ]


def test_a_failing_check_ends_the_job_and_shows_the_rows(warehouse, tmp_path):
    script, checks = tmp_path / "query.hql", tmp_path / "checks.hql"
    script.write_text("USE ${hivevar:database};", encoding="utf-8")
    checks.write_text(
        "SELECT 'fine' AS check_name WHERE 1 = 0;\n"
        "SELECT 'day; --is wrong' AS check_name, '${hivevar:day}' AS found; -- a comment; with a semicolon\n"
        "SELECT 'parts' AS check_name, '${hivevar:year}/${hivevar:month}/${hivevar:day_of_month}' AS found",
        encoding="utf-8",
    )
    arguments = ["--script", f"file://{script}", "--checks", f"file://{checks}", "--database", warehouse.database]
    with pytest.raises(hive.CheckFailed) as failed:
        hive.main(["hive.py", *arguments, "--day", "2026-01-02"])
    assert "check failed: day; --is wrong (first 1 rows)" in str(failed.value)
    assert "{'check_name': 'parts', 'found': '2026/01/02'}" in str(failed.value)
    assert "fine" not in str(failed.value)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", []),
        (" ;\n; -- nothing\n", []),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT ';' ; SELECT \"-- no; comment\"", ["SELECT ';'", 'SELECT "-- no; comment"']),
        ("SELECT 'it\\'s; one';SELECT `a;b`", ["SELECT 'it\\'s; one'", "SELECT `a;b`"]),
        ("-- it's; a comment\nSELECT 1 -- and; another\n+ 1;", ["SELECT 1 \n+ 1"]),
    ],
)
def test_statements_end_at_semicolons_that_are_not_text(script, expected):
    assert list(hive.split_statements(script)) == expected


@pytest.mark.parametrize("day", ["2026-11-31", "20261120", "yesterday", "2026-11-20; DROP TABLE advertising"])
def test_a_bad_day_is_refused(day):
    with pytest.raises(ValueError):
        hive.day_variables(day)
