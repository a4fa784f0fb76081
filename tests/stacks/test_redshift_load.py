"""Tests load.py with stubbed responses of the Redshift Data API."""

from __future__ import annotations

import io

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

import load
from support.combinations import TEMPLATE
from support.resolver import resolve

TARGET = {
    "ClusterIdentifier": "dataless",
    "Database": "warehouse",
    "SecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:one",
}
STATEMENT = "11111111-2222-4333-8444-555555555555"


class Clock:
    """A fake clock that advances only in `sleep`."""

    def __init__(self):
        self.now, self.waits = 0.0, []

    def sleep(self, seconds):
        self.waits.append(seconds)
        self.now += seconds

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def api(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    client = boto3.client("redshift-data", region_name="us-east-1")
    with Stubber(client) as stubber:
        yield client, stubber
        stubber.assert_no_pending_responses()


def redshift(api, clock, timeout_seconds=60):
    return load.Redshift(api[0], TARGET, timeout_seconds, clock.sleep, clock)


def answer_state(stubber, status, **more):
    stubber.add_response("describe_statement", {"Id": STATEMENT, "Status": status, **more}, {"Id": STATEMENT})


def test_a_statement_is_polled_with_increasing_delays(api, clock):
    _, stubber = api
    stubber.add_response("execute_statement", {"Id": STATEMENT}, {"Sql": "SELECT 1", **TARGET})
    for status in ("SUBMITTED", "PICKED", "STARTED", "FINISHED"):
        answer_state(stubber, status)
    assert redshift(api, clock).execute("SELECT 1")["Status"] == "FINISHED"
    assert clock.waits == [0.5, 1.0, 2.0]


def test_statements_of_a_load_are_one_transaction(api, clock):
    _, stubber = api
    stubber.add_response("batch_execute_statement", {"Id": STATEMENT}, {"Sqls": ["DELETE", "INSERT"], **TARGET})
    answer_state(stubber, "FINISHED")
    redshift(api, clock).execute_together(["DELETE", "INSERT"])


def test_an_error_contains_the_message_and_the_statement(api, clock):
    _, stubber = api
    stubber.add_response("batch_execute_statement", {"Id": STATEMENT}, {"Sqls": ["DELETE FROM a", "COPY a"], **TARGET})
    answer_state(
        stubber,
        "FAILED",
        Error="Query #2 failed with ERROR: Load into table 'a' failed.",
        SubStatements=[
            {"Id": f"{STATEMENT}:1", "Status": "FINISHED", "QueryString": "DELETE FROM a"},
            {
                "Id": f"{STATEMENT}:2",
                "Status": "FAILED",
                "QueryString": "COPY a",
                "Error": "ERROR: Load into table 'a' failed.",
            },
        ],
    )
    with pytest.raises(load.StatementFailed) as failure:
        redshift(api, clock).execute_together(["DELETE FROM a", "COPY a"])
    assert str(failure.value) == "ERROR: Load into table 'a' failed.\nCOPY a"


def test_an_aborted_statement_is_an_error(api, clock):
    _, stubber = api
    stubber.add_response("execute_statement", {"Id": STATEMENT}, {"Sql": "SELECT 1", **TARGET})
    answer_state(stubber, "ABORTED", QueryString="SELECT 1")
    with pytest.raises(load.StatementFailed, match="the statement was aborted\nSELECT 1"):
        redshift(api, clock).execute("SELECT 1")


def test_a_statement_that_takes_too_long_is_cancelled(api, clock):
    _, stubber = api
    stubber.add_response("execute_statement", {"Id": STATEMENT}, {"Sql": "SELECT 1", **TARGET})
    for _ in range(3):
        answer_state(stubber, "STARTED", QueryString="SELECT 1")
    stubber.add_response("cancel_statement", {"Status": True}, {"Id": STATEMENT})
    with pytest.raises(load.TimedOut, match=r"not done after 0\.025 minutes: SELECT 1"):
        redshift(api, clock, timeout_seconds=1.5).execute("SELECT 1")
    assert clock.now == 1.5


def test_a_query_returns_its_rows(api, clock):
    _, stubber = api
    stubber.add_response("execute_statement", {"Id": STATEMENT}, {"Sql": "SELECT 1", **TARGET})
    answer_state(stubber, "FINISHED", HasResultSet=True, ResultRows=2)
    stubber.add_response(
        "get_statement_result",
        {
            "ColumnMetadata": [{"name": "check_name"}, {"name": "lost"}],
            "Records": [[{"stringValue": "a"}, {"longValue": 1}], [{"stringValue": "b"}, {"isNull": True}]],
        },
        {"Id": STATEMENT},
    )
    assert redshift(api, clock).query("SELECT 1") == [{"check_name": "a", "lost": 1}, {"check_name": "b", "lost": None}]


def test_a_query_without_rows_requests_no_result(api, clock):
    _, stubber = api
    stubber.add_response("execute_statement", {"Id": STATEMENT}, {"Sql": "SELECT 1", **TARGET})
    answer_state(stubber, "FINISHED", HasResultSet=True, ResultRows=0)
    assert redshift(api, clock).query("SELECT 1") == []


class Recorder:
    """Records statements. It has the interface of `Redshift`, and returns the given rows for the checks of clicks."""

    def __init__(self, rows=()):
        self.seen, self.rows = [], list(rows)

    def execute(self, statement):
        self.seen.append(statement)

    def execute_together(self, statements):
        self.seen.append(statements)

    def query(self, statement):
        self.seen.append(statement)
        return self.rows if statement.startswith("checks of clicks/") else []


def named(path):
    return [f"{path.split('/')[-1].removesuffix('.sql')} of {path}"]


def test_tables_come_before_loads_and_checks_last():
    recorder = Recorder()
    load.run(recorder, named, list(load.STEPS))
    flat = [one[0] if isinstance(one, list) else one for one in recorder.seen]
    assert flat[0] == "schema of schema.sql"
    assert [one.split(" ")[0] for one in flat] == [
        "schema",
        *["ddl"] * 6,
        *["copy"] * 3,
        *["load"] * 3,
        *["checks"] * 6,
    ]
    assert recorder.seen[7] == ["copy of impressions/copy.sql", "load of impressions/load.sql"]


def test_steps_can_be_chosen():
    recorder = Recorder()
    load.run(recorder, named, ["checks"])
    assert len(recorder.seen) == 6


def test_all_checks_run_before_the_job_fails():
    recorder = Recorder([{"check_name": "clicks: no row of the lake is missing", "click_id": "c"}])
    with pytest.raises(load.CheckFailed, match=r"clicks: no row of the lake is missing \(1 rows\)\n.*'click_id': 'c'"):
        load.run(recorder, named, ["checks"])
    assert len(recorder.seen) == 6


ARGUMENTS = {
    "day": "2026-11-20",
    "scripts": "s3://bucket/scripts/pipeline/redshift",
    "staging": "s3://bucket/temp/redshift/",
    "cluster": "dataless",
    "database": "warehouse",
    "secret_arn": TARGET["SecretArn"],
    "role_arn": "arn:aws:iam::123456789012:role/redshift",
    "catalog_database": "dataless",
}


def parsed(**changed):
    return load.parse(
        ["load.py", *(f"--{name}={value}" for name, value in (ARGUMENTS | changed).items()), "--TempDir=s3://t"]
    )


def test_variables_are_derived_from_the_arguments():
    values = load.variables(parsed())
    assert values["day_of_month"] == "20" and values["month"] == "11" and values["year"] == "2026"
    assert values["staging"] == "s3://bucket/temp/redshift"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"day": "2026-11-31"}, "day"),
        ({"day": "tomorrow"}, "tomorrow"),
        ({"catalog_database": "a'; DROP TABLE b; --"}, "catalog_database"),
    ],
)
def test_values_that_could_escape_their_quotes_are_refused(changed, problem):
    with pytest.raises(ValueError, match=problem):
        load.variables(parsed(**changed))


def test_an_unknown_step_is_explained(capsys):
    with pytest.raises(SystemExit):
        parsed(steps="load,vacuum")
    assert "--steps has vacuum: it takes tables, load, checks" in capsys.readouterr().err


def test_scripts_are_read_from_s3_and_filled_in(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    s3 = boto3.client("s3", region_name="us-east-1")
    text = b"-- A comment; with a semicolon.\nDELETE FROM a\nWHERE b = '${day}; not the end';\n\nSELECT 1;\n"
    with Stubber(s3) as stubber:
        stubber.add_response(
            "get_object",
            {"Body": StreamingBody(io.BytesIO(text), len(text))},
            {"Bucket": "bucket", "Key": "scripts/pipeline/redshift/a/load.sql"},
        )
        scripts = load.Scripts(s3, ARGUMENTS["scripts"], {"day": "2026-11-20"})
        assert scripts.statements("a/load.sql") == ["DELETE FROM a\nWHERE b = '2026-11-20; not the end'", "SELECT 1"]


def test_a_variable_without_a_value_is_an_error():
    with pytest.raises(KeyError, match="role_arn"):
        load.fill_in("IAM_ROLE '${role_arn}'", {"day": "2026-11-20"})


def test_the_deployed_job_has_every_argument():
    job = resolve(TEMPLATE, {"EnableRedshift": "yes"}).one("RedshiftLoadJob")["Properties"]
    arguments = [f"{name}={value}" for name, value in job["DefaultArguments"].items()]
    assert job["Command"]["Name"] == "pythonshell" and job["MaxCapacity"] == 0.0625
    assert load.parse(["load.py", *arguments, "--day=2026-11-20"]).steps == list(load.STEPS)
