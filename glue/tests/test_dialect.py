"""Hive and Spark parse every HiveQL script to the same meaning."""

from pathlib import Path

import pytest
import sqlglot
from py4j.protocol import Py4JJavaError
from sqlglot import exp

import hive

PIPELINE = Path(__file__).resolve().parents[2] / "pipeline" / "hive"
SCRIPTS = sorted(PIPELINE.glob("*/*.hql"))
VARIABLES = hive.day_variables("2026-11-20") | {"database": "dataless", "attribution_days": "1"}


def statements(script: Path) -> list[str]:
    return list(hive.split_statements(hive.fill_in(script.read_text(encoding="utf-8"), VARIABLES)))


def parse(statement: str, dialect: str) -> exp.Expression:
    tree = sqlglot.parse_one(statement, read=dialect, error_level=sqlglot.ErrorLevel.RAISE)
    assert not isinstance(tree, exp.Command), f"{dialect} knows no such statement: {statement}"
    return tree


def test_every_table_has_its_query_its_checks_and_a_case():
    assert [script.relative_to(PIPELINE).as_posix() for script in SCRIPTS] == [
        f"{table}/{name}.hql" for table in ("ad_traffic", "advertising") for name in ("checks", "query")
    ]
    for folder in PIPELINE.iterdir():
        assert list(folder.glob("tests/*/expected.jsonl")), f"{folder.name} has no case"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_hive_and_spark_read_the_same_statement(script):
    for statement in statements(script):
        assert parse(statement, "hive") == parse(statement, "spark")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_script_writes_static_partitions_only_and_checks_write_nothing(script):
    trees = [parse(statement, "hive") for statement in statements(script)]
    assert isinstance(trees[0], exp.Use)
    if script.stem == "checks":
        assert len(trees) > 1 and all(isinstance(tree, exp.Select) for tree in trees[1:])
        return
    (insert,) = trees[1:]
    assert isinstance(insert, exp.Insert) and insert.args["overwrite"]
    keys = list(insert.this.find_all(exp.Partition)) or list(insert.find_all(exp.Partition))
    assert [[(key.this.name, key.expression.name) for key in partition.expressions] for partition in keys] == [
        [("year", "2026"), ("month", "11"), ("day", "20")]
    ]


@pytest.fixture(scope="module")
def hive_parser(spark):
    """Hive's own parser, of the Hive 2.3 that Spark brings along; the grammar of 3.1 is wider."""
    driver = spark._jvm.org.apache.hadoop.hive.ql.parse.ParseDriver()
    return lambda statement: driver.parse(statement).toStringTree()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_parser_of_hive_itself_takes_every_statement(hive_parser, script):
    for statement in statements(script):
        assert hive_parser(statement)


def test_the_parser_of_hive_itself_refuses_what_only_spark_knows(hive_parser):
    with pytest.raises(Py4JJavaError, match="ParseException"):
        hive_parser("SELECT count_if(a > 1) FILTER (WHERE b) FROM t QUALIFY 1 = 1")
