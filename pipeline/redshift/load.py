"""Loads one day into Redshift through its Data API, then checks it against the lake.

    load.py --day YYYY-MM-DD --scripts s3://…/pipeline/redshift --staging s3://… --cluster ID --database NAME
        --secret_arn ARN --role_arn ARN --catalog_database NAME [--steps tables,load,checks] [--timeout_minutes N]

A Glue Python shell job: the statements are in files, written once, and waiting for the cluster costs a sixteenth of a
DPU. A table is a folder: ddl.sql, copy.sql (only where rows come from files), load.sql, checks.sql.
Their `${variables}` are in quotes and are filled in here. In these files a statement ends with a semicolon at the
end of a line, and comments are lines of their own.

Steps: `tables` creates what is missing, `load` replaces the day (one transaction per table),
`checks` runs the checks, each a query that must return no row. A run that failed can be repeated.
"""

from __future__ import annotations

import argparse
import re
import string
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import boto3
from botocore.config import Config

# Copied tables come first: public.x_spectrum is created like public.x.
COPIED_TABLES = ("impressions", "clicks", "advertising")
SPECTRUM_TABLES = ("impressions_spectrum", "clicks_spectrum", "advertising_spectrum")
TABLES = COPIED_TABLES + SPECTRUM_TABLES

STEPS = ("tables", "load", "checks")

# Allowed values of a variable: no quotes, so that it can't leave its literal.
SAFE_VALUE = re.compile(r"[A-Za-z0-9_./:=+@-]+")

FIRST_WAIT_SECONDS = 0.5
MAX_WAIT_SECONDS = 15.0

# Offending rows that an error shows.
SHOWN_ROWS = 20

UNFINISHED = ("SUBMITTED", "PICKED", "STARTED")


class StatementFailed(Exception):
    """Redshift refused or aborted a statement; the message has the statement and the reason."""


class CheckFailed(Exception):
    """A check returned rows: the loaded data differs from the lake."""


class TimedOut(Exception):
    """A statement took too long and was cancelled; its transaction was rolled back."""


def main(argv: list[str]) -> None:
    """Runs the job. Raises `StatementFailed`, `CheckFailed` or `TimedOut`."""
    options = parse(argv)
    config = Config(retries={"mode": "standard", "total_max_attempts": 8})
    scripts = Scripts(boto3.client("s3", config=config), options.scripts, variables(options))
    redshift = Redshift(
        boto3.client("redshift-data", config=config),
        {"ClusterIdentifier": options.cluster, "Database": options.database, "SecretArn": options.secret_arn},
        options.timeout_minutes * 60,
    )
    run(redshift, scripts.statements, options.steps)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("day", "scripts", "staging", "cluster", "database", "secret_arn", "role_arn", "catalog_database"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--steps", type=lambda text: text.split(","), default=list(STEPS))
    parser.add_argument("--timeout_minutes", type=float, default=60.0)
    # Glue adds arguments of its own.
    options, _ = parser.parse_known_args(argv[1:])
    if unknown := [step for step in options.steps if step not in STEPS]:
        parser.error(f"--steps has {', '.join(unknown)}: it takes {', '.join(STEPS)}, separated by commas")
    return options


def variables(options: argparse.Namespace) -> dict[str, str]:
    """The variables of the scripts. Raises `ValueError` for an invalid day, or a value that could leave its quotes."""
    day = datetime.strptime(options.day, "%Y-%m-%d")
    values = {
        "day": f"{day:%Y-%m-%d}",
        "year": f"{day:%Y}",
        "month": f"{day:%m}",
        "day_of_month": f"{day:%d}",
        "staging": options.staging.rstrip("/"),
        "role_arn": options.role_arn,
        "catalog_database": options.catalog_database,
    }
    for name, value in values.items():
        if not SAFE_VALUE.fullmatch(value):
            raise ValueError(f"{name} is {value!r}: it may hold letters, digits and _ . / : = + @ - only")
    return values


def run(redshift: Redshift, statements: Callable[[str], list[str]], steps: list[str]) -> None:
    """Runs the steps in order; `statements` returns the statements of a script by its path."""
    if "tables" in steps:
        for path in ["schema.sql"] + [f"{table}/ddl.sql" for table in TABLES]:
            for statement in statements(path):
                redshift.execute(statement)
    if "load" in steps:
        for table in TABLES:
            copy = statements(f"{table}/copy.sql") if table in COPIED_TABLES else []
            redshift.execute_together(copy + statements(f"{table}/load.sql"))
            print(f"loaded {table}", flush=True)
    if "checks" in steps:
        run_checks(redshift, statements)


def run_checks(redshift: Redshift, statements: Callable[[str], list[str]]) -> None:
    """Runs every check, then raises `CheckFailed` with the rows of all that failed."""
    failures = []
    for table in TABLES:
        for statement in statements(f"{table}/checks.sql"):
            if rows := redshift.query(statement):
                shown = "\n".join(f"  {row}" for row in rows[:SHOWN_ROWS])
                failures.append(f"check failed: {next(iter(rows[0].values()))} ({len(rows)} rows)\n{shown}")
    if failures:
        raise CheckFailed("\n".join(failures))


class Scripts:
    """The statements of the scripts in S3, with their variables filled in."""

    def __init__(self, s3: Any, location: str, values: dict[str, str]):
        self.s3, self.values = s3, values
        self.bucket, _, self.prefix = location.removeprefix("s3://").rstrip("/").partition("/")

    def statements(self, path: str) -> list[str]:
        answer = self.s3.get_object(Bucket=self.bucket, Key=f"{self.prefix}/{path}")
        return split_statements(fill_in(answer["Body"].read().decode(), self.values))


def fill_in(script: str, values: dict[str, str]) -> str:
    """The script with its `${variables}`; raises `KeyError` for one without a value."""
    return string.Template(script).substitute(values)


def split_statements(script: str) -> list[str]:
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    statements = re.split(r";[ \t]*$", "\n".join(lines), flags=re.MULTILINE)
    return [statement.strip() for statement in statements if statement.strip()]


class Redshift:
    """Runs statements through the Data API, which is asynchronous, and polls until they are done.

    https://docs.aws.amazon.com/redshift/latest/mgmt/data-api.html
    """

    def __init__(
        self,
        client: Any,
        target: dict[str, str],
        timeout_seconds: float,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.client, self.target, self.timeout_seconds = client, target, timeout_seconds
        self.sleep, self.clock = sleep, clock

    def execute(self, statement: str) -> dict:
        """Runs one statement; returns its description when it is done."""
        return self.wait(self.client.execute_statement(Sql=statement, **self.target)["Id"])

    def execute_together(self, statements: list[str]) -> None:
        """Runs the statements as one transaction: if one fails, all are rolled back."""
        self.wait(self.client.batch_execute_statement(Sqls=statements, **self.target)["Id"])

    def query(self, statement: str) -> list[dict]:
        """The rows that the statement returns, up to one page of the service's answer."""
        done = self.execute(statement)
        if not done.get("ResultRows"):
            return []
        answer = self.client.get_statement_result(Id=done["Id"])
        names = [column["name"] for column in answer["ColumnMetadata"]]
        return [dict(zip(names, map(field_value, record), strict=True)) for record in answer["Records"]]

    def wait(self, statement_id: str) -> dict:
        """Waits for the end. Raises `StatementFailed`, or cancels the statement and raises `TimedOut`."""
        deadline = self.clock() + self.timeout_seconds
        pause = FIRST_WAIT_SECONDS
        while (state := self.client.describe_statement(Id=statement_id))["Status"] in UNFINISHED:
            if self.clock() >= deadline:
                self.client.cancel_statement(Id=statement_id)
                raise TimedOut(f"not done after {self.timeout_seconds / 60:g} minutes: {state.get('QueryString', '')}")
            self.sleep(pause)
            pause = min(2 * pause, MAX_WAIT_SECONDS)
        if state["Status"] != "FINISHED":
            raise StatementFailed(describe_failure(state))
        return state


def describe_failure(state: dict) -> str:
    """Redshift's message and the statement."""
    failed = [part for part in state.get("SubStatements", []) if part.get("Error")] or [state]
    message = failed[0].get("Error") or f"the statement was {state['Status'].lower()}"
    return f"{message}\n{failed[0].get('QueryString', '')}".rstrip()


def field_value(field: dict) -> Any:
    """A field's value in Python; https://docs.aws.amazon.com/redshift-data/latest/APIReference/API_Field.html"""
    return None if field.get("isNull") else next(iter(field.values()))


if __name__ == "__main__":
    main(sys.argv)
