import ast
import json
from datetime import date, timedelta
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


def run_hive(warehouse, table: str, checks: bool, day: str = DAY, attribution_days: int = 1) -> None:
    folder = PIPELINE / table
    arguments = {
        "script": f"file://{folder}/query.hql",
        **({"checks": f"file://{folder}/checks.hql"} if checks else {}),
        "database": warehouse.database,
        "day": day,
        "attribution_days": str(attribution_days),
    }
    hive.main(["hive.py", *(part for name, value in arguments.items() for part in (f"--{name}", value))])


def stored_rows(warehouse, table: str, day: str = DAY) -> list[dict]:
    rows = warehouse.spark.table(f"{warehouse.database}.{table}").where(
        "concat(year, '-', month, '-', day) = '" + day + "'"
    )
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

    run_hive(warehouse, table, checks=True)
    assert stored_rows(warehouse, table) == expected
    assert warehouse.schema(table) == SCHEMAS[table] + DAY_COLUMNS
    run_hive(warehouse, table, checks=False)
    assert stored_rows(warehouse, table) == expected
    assert [row for row in warehouse.rows(table) if "-".join(row[-3:]) != DAY] == other_days


@pytest.mark.parametrize(
    ("day", "attribution_days", "click_days"),
    [
        (DAY, 0, 1),
        (DAY, 1, 2),
        (DAY, 2, 3),
        ("2026-10-22", 28, 2),
        ("2026-11-22", 28, 3),
        ("2026-12-22", 10, 1),
    ],
)
def test_the_catalog_gives_only_the_partitions_that_a_query_reads(warehouse, day, attribution_days, click_days):
    """Predicates that the catalog can't evaluate make it list every partition that the table has ever had."""
    there = [f"2026-{month}-{day}" for month in ("10", "11", "12") for day in ("19", "20", "21", "22")]
    for table in ("impressions", "clicks"):
        for each in there:
            name = f"`{warehouse.database}`.`{table}`"
            keys = f"year='{each[:4]}', month='{each[5:7]}', day='{each[8:]}', arrived='{each}'"
            warehouse.spark.sql(
                f"ALTER TABLE {name} ADD PARTITION ({keys}) LOCATION '{warehouse.data_path}/none/{each}'"
            )
    fetched = warehouse.spark._jvm.org.apache.spark.metrics.source.HiveCatalogMetrics.METRIC_PARTITIONS_FETCHED()
    script = (PIPELINE / "advertising" / "query.hql").read_text(encoding="utf-8")
    variables = hive.day_variables(day) | {"database": warehouse.database, "attribution_days": str(attribution_days)}
    use, insert = hive.split_statements(hive.fill_in(script, variables))
    warehouse.spark.sql(use)
    before = fetched.getCount()
    warehouse.spark.sql(hive.parse_insert(insert)[2]).collect()
    assert fetched.getCount() - before == 1 + click_days


@pytest.mark.parametrize(
    ("day", "attribution_days", "first_out"),
    [
        ("2026-11-20", 0, "2026-11-21"),
        ("2026-11-20", 2, "2026-11-23"),
        ("2026-11-29", 3, "2026-12-03"),
        ("2026-12-31", 1, "2027-01-02"),
        ("2027-01-31", 28, "2027-03-01"),
    ],
)
def test_a_click_counts_to_the_end_of_the_attribution_window(warehouse, day, attribution_days, first_out):
    last = str(date.fromisoformat(first_out) - timedelta(days=1))
    clicks = {"in": f"{last} 23:59:59.999", "out": f"{first_out} 00:00:00.000"}
    warehouse.insert("impressions", [event_row({"impression_id": each}, f"{day} 00:00:00.000") for each in clicks])
    warehouse.insert(
        "clicks", [event_row({"click_id": f"c-{each}", "impression_id": each}, at) for each, at in clicks.items()]
    )
    run_hive(warehouse, "advertising", checks=True, day=day, attribution_days=attribution_days)
    assert {row["impression_id"]: row["click_at"] for row in stored_rows(warehouse, "advertising", day)} == clicks | {
        "out": None
    }


@pytest.mark.parametrize("days", ["29", "one", "1.5"])
def test_an_attribution_window_that_the_query_can_t_have_is_refused(warehouse, days):
    script = f"file://{PIPELINE}/advertising/query.hql"
    with pytest.raises(ValueError, match="--attribution_days is"):
        hive.main(
            ["hive.py", "--script", script, "--database", warehouse.database, "--day", DAY, "--attribution_days", days]
        )


def event_row(ids: dict, occurred_at: str) -> dict:
    row = {"ad_id": "ad-1", "occurred_at": occurred_at, "arrived_at": occurred_at, "arrived": occurred_at[:10]}
    return row | ids | dict(zip(("year", "month", "day"), occurred_at[:10].split("-"), strict=True))


def day_columns() -> dict[str, str]:
    return dict(zip(("year", "month", "day"), DAY.split("-"), strict=True))


def advertising_row(impression_id: str, click_at: str | None, ad_id: str = "ad-1") -> dict:
    impression_at = f"{DAY} 10:00:00.000"
    return {
        "ad_id": ad_id,
        "impression_id": impression_id,
        "impression_at": impression_at,
        "click_at": click_at,
    } | day_columns()


def impression_row(impression_id: str, ad_id: str = "ad-1") -> dict:
    occurred_at = f"{DAY} 10:00:00.000"
    row = {"impression_id": impression_id, "ad_id": ad_id, "occurred_at": occurred_at, "arrived_at": occurred_at}
    return row | day_columns() | {"arrived": DAY}


def click_row(impression_id: str, occurred_at: str) -> dict:
    ids = {"click_id": f"click of {impression_id}", "impression_id": impression_id, "ad_id": "ad-1"}
    keys = dict(zip(("year", "month", "day"), occurred_at[:10].split("-"), strict=True))
    return ids | {"occurred_at": occurred_at, "arrived_at": f"{DAY} 23:00:00.000"} | keys | {"arrived": DAY}


def traffic_row(ad_id: str, impressions: int, clicks: int) -> dict:
    return {"ad_id": ad_id, "impressions": impressions, "clicks": clicks} | day_columns()


RIGHT = {
    "advertising": {
        "impressions": [impression_row("clicked"), impression_row("not-clicked")],
        "clicks": [click_row("clicked", f"{DAY} 10:00:00.000"), click_row("clicked", f"{DAY} 10:00:01.000")],
        "advertising": [advertising_row("clicked", f"{DAY} 10:00:00.000"), advertising_row("not-clicked", None)],
    },
    "ad_traffic": {
        "impressions": [impression_row("i"), impression_row("j", "ad-2")],
        "advertising": [advertising_row("i", f"{DAY} 10:00:01.000"), advertising_row("j", None, "ad-2")],
        "ad_traffic": [traffic_row("ad-1", 1, 1), traffic_row("ad-2", 1, 0)],
    },
}

WRONG = {
    "advertising": {
        "impressions": [
            impression_row(name) for name in ("early", "after", "late", "later", "unclicked", "twin", "lost")
        ],
        "clicks": [
            click_row("early", f"{DAY} 09:59:59.999"),
            click_row("after", "2026-11-22 00:00:00.000"),
            click_row("later", f"{DAY} 10:00:01.000"),
            click_row("later", f"{DAY} 10:00:02.000"),
            click_row("unclicked", "2026-11-21 23:59:59.999"),
        ],
        "advertising": [
            advertising_row("early", f"{DAY} 09:59:59.999"),
            advertising_row("after", "2026-11-22 00:00:00.000"),
            advertising_row("late", f"{DAY} 10:00:09.000"),
            advertising_row("later", f"{DAY} 10:00:02.000"),
            advertising_row("unclicked", None),
            *[advertising_row("twin", None)] * 3,
        ],
    },
    "ad_traffic": {
        "impressions": [impression_row("i"), impression_row("j"), impression_row("k", "lost")],
        "advertising": [
            advertising_row("i", f"{DAY} 10:00:01.000"),
            advertising_row("j", None),
            advertising_row("k", None, "lost"),
        ],
        "ad_traffic": [
            traffic_row("more-clicks", 1, 2),
            traffic_row("fewer-clicks", 1, -1),
            traffic_row("nothing", 0, 0),
            *[traffic_row("ad-1", 1, 1)] * 2,
        ],
    },
}

FOUND = {
    "advertising": {
        "a click is never before its impression": ["early"],
        "a first click is a click of the lake within the window": ["after", "late"],
        "no earlier click is left out": ["later", "unclicked"],
        "one row per impression": ["twin"],
        "as many rows as the lake has impressions": [1],
    },
    "ad_traffic": {
        "clicks are at most impressions": ["fewer-clicks", "more-clicks", "nothing"],
        "one row per ad": ["ad-1"],
        "impressions add up to the lake": [1],
        "clicks add up to the clicked impressions": [2],
        "no ad is lost": ["lost"],
    },
}


def run_checks_on(warehouse, table: str, rows: dict[str, list[dict]]) -> None:
    for name, content in rows.items():
        warehouse.insert(name, content)
    checks = (PIPELINE / table / "checks.hql").read_text(encoding="utf-8")
    variables = hive.day_variables(DAY) | {"database": warehouse.database, "attribution_days": "1"}
    hive.run_checks(warehouse.spark, checks, variables)


@pytest.mark.parametrize("table", RIGHT)
def test_checks_find_nothing_in_what_is_right(warehouse, table):
    run_checks_on(warehouse, table, RIGHT[table])


@pytest.mark.parametrize("table", WRONG)
def test_each_check_finds_what_it_names_and_nothing_else(warehouse, table):
    with pytest.raises(hive.CheckFailed) as failed:
        run_checks_on(warehouse, table, WRONG[table])
    found: dict[str, list] = {}
    for line in str(failed.value).splitlines():
        if line.startswith("  "):
            name, what, *_ = ast.literal_eval(line.strip().replace("datetime.datetime", "")).values()
            found.setdefault(name, []).append(what)
    assert {name: sorted(rows) for name, rows in found.items()} == FOUND[table]


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


def run_statement(warehouse, statement: str, checks: str = "") -> None:
    variables = hive.day_variables(DAY) | {"database": warehouse.database}
    hive.run(warehouse.spark, "USE ${hivevar:database};" + statement, checks, variables, "zstd")


def insert_traffic(select: str) -> str:
    year, month, day = DAY.split("-")
    return f"INSERT OVERWRITE TABLE ad_traffic PARTITION (year='{year}', month='{month}', day='{day}') {select}"


NEW_ROW = insert_traffic("SELECT 'new' AS ad_id, cast(2 AS bigint) AS shown, cast(0 AS bigint) AS clicked")
NO_NEW_ROW = "SELECT 'no new row' AS check_name, ad_id FROM ad_traffic WHERE ad_id = 'new' AND day = '20'"


def day_folder(warehouse) -> list[str]:
    folder = (
        warehouse.folder / "data/lake/ad/ad_traffic" / Path(*(f"{key}={value}" for key, value in day_columns().items()))
    )
    return [path.name for path in folder.iterdir() if path.is_dir()]


def kill(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("dies_of", ["a check", "a kill before it is published"])
def test_readers_keep_the_old_day_until_the_new_one_is_complete_and_checked(warehouse, monkeypatch, dies_of):
    run_statement(warehouse, insert_traffic("SELECT 'old', cast(1 AS bigint), cast(0 AS bigint)"))
    old = warehouse.rows("ad_traffic")
    with monkeypatch.context() as patch:
        if dies_of != "a check":
            patch.setattr(hive.Partition, "publish", kill)
        with pytest.raises((hive.CheckFailed, KeyboardInterrupt)):
            run_statement(warehouse, NEW_ROW, NO_NEW_ROW if dies_of == "a check" else "")
    assert warehouse.rows("ad_traffic") == old == [("old", 1, 0, *DAY.split("-"))]
    # A later statement of the session sees the table again, not the staged rows, whose files are gone.
    assert warehouse.spark.table("ad_traffic").count() == 1
    assert len(day_folder(warehouse)) == 1

    run_statement(warehouse, NEW_ROW)
    assert warehouse.rows("ad_traffic") == [("new", 2, 0, *DAY.split("-"))]
    assert len(day_folder(warehouse)) == 1


def test_checks_and_later_statements_see_what_is_staged_beside_the_other_days(warehouse):
    warehouse.insert("ad_traffic", [traffic_row("of-yesterday", 1, 0) | {"day": "19"}, traffic_row("old", 1, 0)])
    doubled = insert_traffic("SELECT ad_id, 2 * impressions, clicks FROM ad_traffic WHERE day = '20'")
    checks = """
        SELECT 'seen' AS check_name, concat_ws(' ', sort_array(collect_list(concat(ad_id, day)))) AS seen FROM ad_traffic
    """
    with pytest.raises(hive.CheckFailed, match="'seen': 'new20 of-yesterday19'"):
        run_statement(warehouse, f"{NEW_ROW}; {doubled}", checks)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO TABLE ad_traffic PARTITION (year='2026', month='11', day='20') SELECT 'a', 1, 0",
        "INSERT OVERWRITE TABLE ad_traffic PARTITION (year, month, day) SELECT 'a', 1, 0, '2026', '11', '20'",
        "INSERT OVERWRITE TABLE ad_traffic PARTITION (year='2026', month='11', day) SELECT 'a', 1, 0, '20'",
        "INSERT OVERWRITE TABLE ad_traffic SELECT 'a', 1, 0",
    ],
)
def test_an_insert_that_a_rerun_would_not_replace_is_refused(statement):
    with pytest.raises(ValueError, match="INSERT OVERWRITE TABLE t PARTITION"):
        hive.parse_insert(statement)


def test_a_query_with_other_types_than_the_table_is_refused(warehouse):
    with pytest.raises(ValueError, match=r"gives \(string, int\), but the table has \(string, bigint, bigint\)"):
        run_statement(warehouse, insert_traffic("SELECT 'a', 1"))


def test_a_variable_without_a_value_is_named():
    with pytest.raises(ValueError, match="needs attribution_days, weather"):
        hive.fill_in("SELECT ${hivevar:weather}, ${hivevar:day}, ${hivevar:attribution_days}", {"day": DAY})


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
