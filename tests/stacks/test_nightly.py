"""Runs nightly.sh with fake `aws` and `hive` commands. A folder replaces S3, and a file records the Glue job runs."""

import json
import subprocess

import pytest

from support.combinations import ROOT

SCRIPT = ROOT / "pipeline" / "data-pipeline" / "nightly.sh"

AWS = r"""#!/usr/bin/env python3
import json, os, pathlib, shutil, sys
home = pathlib.Path(os.environ["FAKE_HOME"])
arguments = sys.argv[1:]
local = lambda uri: home / "s3" / uri[5:] if uri.startswith("s3://") else pathlib.Path(uri)
if arguments[:2] == ["s3", "cp"]:
    source, target = [local(one) for one in arguments[2:] if not one.startswith("--")]
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    sys.exit()
option = lambda name: arguments[arguments.index(name) + 1]
runs = json.loads((home / "runs.json").read_text())
if arguments[1] == "start-job-run":
    runs.append({"job": option("--job-name"), "arguments": json.loads(option("--arguments")), "asked": 0})
    (home / "runs.json").write_text(json.dumps(runs))
    print(f"run-{len(runs) - 1}")
else:
    run = runs[int(option("--run-id")[4:])]
    run["asked"] += 1
    (home / "runs.json").write_text(json.dumps(runs))
    failing = run["arguments"]["--day"] == os.environ.get("FAILING_DAY")
    states = ["STARTING", "RUNNING", "FAILED" if failing else "SUCCEEDED"]
    print("it broke" if "ErrorMessage" in option("--query") else states[min(run["asked"], 3) - 1])
"""

# Prints the lines of the script that contain `wrong`. They are the rows of a failed check.
HIVE = """#!/bin/bash
grep wrong "${@: -1}"
exit 0
"""


class Machine:
    def __init__(self, home):
        self.home = home
        (home / "bin").mkdir()
        for name, text in (("aws", AWS), ("hive", HIVE)):
            (home / "bin" / name).write_text(text)
            (home / "bin" / name).chmod(0o755)
        (home / "runs.json").write_text("[]")

    def run(self, *arguments, **environment):
        path = f"{self.home / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        variables = {
            "PATH": path,
            "FAKE_HOME": str(self.home),
            "POLL_SECONDS": "0",
            "TMPDIR": str(self.home),
            **environment,
        }
        return subprocess.run([SCRIPT, *arguments], env=variables, capture_output=True, text=True)

    def put(self, uri, text):
        path = self.home / "s3" / uri.removeprefix("s3://")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def get(self, uri):
        return (self.home / "s3" / uri.removeprefix("s3://")).read_text()

    def runs(self):
        return [(one["job"], one["arguments"]) for one in json.loads((self.home / "runs.json").read_text())]


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_the_lake_is_filled_with_the_day_of_arrival(machine):
    done = machine.run("arrived", "2027-03-01", "etl")
    assert done.returncode == 0, done.stderr
    assert machine.runs() == [("etl", {"--day": "2027-02-28"})]


def test_a_job_runs_for_each_event_day_of_the_night_in_order(machine):
    done = machine.run("touched", "2027-03-02", "3", "1", "load", "steps=checks")
    assert done.returncode == 0, done.stderr
    days = ("2027-02-25", "2027-02-26", "2027-02-27", "2027-02-28", "2027-03-01")
    assert machine.runs() == [("load", {"--day": day, "--steps": "checks"}) for day in days]


def test_a_wider_attribution_window_touches_more_days(machine):
    assert machine.run("touched", "2027-03-02", "1", "3", "load").returncode == 0
    days = ("2027-02-25", "2027-02-26", "2027-02-27", "2027-02-28", "2027-03-01")
    assert machine.runs() == [("load", {"--day": day}) for day in days]


def test_a_failed_run_ends_the_activity_with_its_message(machine):
    done = machine.run("touched", "2027-03-02", "3", "1", "load", FAILING_DAY="2027-02-26")
    assert done.returncode == 1
    assert "load for 2027-02-26 ended as FAILED: it broke" in done.stderr
    assert len(machine.runs()) == 2


def test_scripts_are_joined_for_all_days_with_their_variables(machine):
    machine.put(
        "s3://scripts/a/query.hql",
        "USE ${hivevar:database};\nSELECT '${hivevar:day}', ${output1}, '${hivevar:day_of_month}';\n",
    )
    machine.put("s3://scripts/b/load.sql", "DELETE FROM t WHERE d = '${day}' AND y = '${year}-${month}';\n")
    done = machine.run(
        "compose",
        "2027-01-02",
        "0",
        "1",
        "s3://scripts",
        "s3://lake/temp",
        "database=dataless",
        "--",
        "a/query.hql",
        "b/load.sql",
    )
    assert done.returncode == 0, done.stderr
    assert machine.get("s3://lake/temp/a/query.hql") == (
        "USE dataless;\nSELECT '2026-12-31', ${output1}, '31';\nUSE dataless;\nSELECT '2027-01-01', ${output1}, '01';\n"
    )
    assert machine.get("s3://lake/temp/b/load.sql") == (
        "BEGIN;\nDELETE FROM t WHERE d = '2026-12-31' AND y = '2026-12';\nCOMMIT;\n"
        "BEGIN;\nDELETE FROM t WHERE d = '2027-01-01' AND y = '2027-01';\nCOMMIT;\n"
    )


def test_composing_again_replaces_the_script(machine):
    machine.put("s3://scripts/a.hql", "SELECT '${hivevar:day}';\n")
    for _ in range(2):
        assert (
            machine.run("compose", "2027-01-02", "0", "1", "s3://scripts", "s3://lake", "--", "a.hql").returncode == 0
        )
    assert machine.get("s3://lake/a.hql") == "SELECT '2026-12-31';\nSELECT '2027-01-01';\n"


def test_a_value_that_could_escape_its_quotes_is_refused(machine):
    machine.put("s3://scripts/a.hql", "SELECT 1;\n")
    done = machine.run(
        "compose", "2027-01-02", "0", "1", "s3://scripts", "s3://lake", "database=a'; DROP", "--", "a.hql"
    )
    assert done.returncode == 1 and "may hold letters" in done.stderr
    assert not (machine.home / "s3" / "lake" / "a.hql").exists()


def test_a_missing_script_is_an_error(machine):
    assert machine.run("compose", "2027-01-02", "0", "1", "s3://scripts", "s3://lake", "--", "a.hql").returncode != 0


@pytest.mark.parametrize(("script", "status"), [("SELECT right;\n", 0), ("SELECT wrong;\n", 1)])
def test_a_check_that_prints_a_row_fails(machine, script, status):
    machine.put("s3://lake/checks.hql", script)
    done = machine.run("checks", "s3://lake/checks.hql")
    assert done.returncode == status
    assert ("check failed" in done.stderr) == bool(status)


def test_an_unknown_command_is_explained(machine):
    done = machine.run("nonsense")
    assert done.returncode == 1 and "arrived, touched, compose or checks" in done.stderr
