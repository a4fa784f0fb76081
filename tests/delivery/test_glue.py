"""Tests Glue: logs and metrics of jobs and crawler, permissions in a new account, format of the lake, and scripts."""

import ast
import os
import re
import subprocess
import sys
import zipfile

import pytest

import event_types
import lake_zip
from support.iam import as_list, like
from support.resolver import resolve
from templates import ROOT

TEMPLATE = ROOT / "template.yaml"
TYPES = event_types.names()
KEY = "arn:aws:kms:us-east-1:123456789012:key/0123abcd-0123-0123-0123-0123456789ab"
REDSHIFT = {"EnableRedshift": "yes"}
EMR = {"EnableEMRCluster": "yes"}
LOGS = "arn:aws:logs:us-east-1:123456789012:log-group:"
CATALOG = "arn:aws:glue:us-east-1:123456789012:"


def jobs(stack, command="glueetl"):
    found = {name: one["Properties"] for name, one in stack.all_resources().items() if one["Type"] == "AWS::Glue::Job"}
    return {name: job for name, job in found.items() if job["Command"]["Name"] == command}


def log_groups(stack):
    """Returns log groups by their names in the resolved template."""
    groups = [one["Properties"] for one in stack.all_resources().values() if one["Type"] == "AWS::Logs::LogGroup"]
    return {one["LogGroupName"]: one for one in groups if "LogGroupName" in one}


def statements(stack, role):
    """Yields the statements of a role's inline policies and of the stack's policies that are attached to the role."""
    for arn in role["Properties"].get("ManagedPolicyArns", []):
        if arn.startswith("<"):
            yield from stack.one(arn.strip("<>"))["Properties"]["PolicyDocument"]["Statement"]
    for policy in role["Properties"].get("Policies", []):
        yield from policy["PolicyDocument"]["Statement"]


def is_allowed(stack, role, action, resource):
    return any(
        one["Effect"] == "Allow"
        and action in as_list(one["Action"])
        and any(like(resource, pattern) for pattern in as_list(one["Resource"]))
        for one in statements(stack, role)
    )


def role_of(stack, job):
    return stack.one(job["Role"].removeprefix("<").removesuffix(".Arn>"))


@pytest.mark.parametrize("key", [{}, {"KmsKeyArn": KEY}], ids=["no key", "key"])
def test_groups_of_jobs_expire_after_30_days_and_have_the_key(key):
    groups = {
        name: one
        for name, one in log_groups(resolve(TEMPLATE, key | REDSHIFT)).items()
        if name.startswith("/aws-glue/jobs/dataless/")
    }
    # The shared groups, and with a key also the groups of each role.
    assert len(groups) == (10 if key else 2)
    for name, group in groups.items():
        assert group["RetentionInDays"] == "30", name
        assert group.get("KmsKeyId") == key.get("KmsKeyArn"), name


@pytest.mark.parametrize("key", [{}, {"KmsKeyArn": KEY}], ids=["no key", "key"])
def test_a_job_may_write_only_to_log_groups_of_its_stack(key):
    stack = resolve(TEMPLATE, key | REDSHIFT)
    for name, job in jobs(stack).items():
        own = [
            group
            for group in log_groups(stack)
            if group.startswith(job["DefaultArguments"]["--custom-logGroup-prefix"])
        ]
        assert own
        role = role_of(stack, job)
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            assert all(is_allowed(stack, role, action, f"{LOGS}{group}:log-stream:run") for group in own), name
            for other in ("/aws-glue/jobs/output", "/aws-glue/jobs/dataless-2/output", "/aws-glue/crawlers"):
                assert not is_allowed(stack, role, action, f"{LOGS}{other}:log-stream:run"), name
        # Without this permission, a job with a security configuration writes no logs.
        assert is_allowed(stack, role, "logs:AssociateKmsKey", f"{LOGS}{own[0]}") == bool(key), name


def test_with_a_key_the_python_shell_job_and_the_crawler_have_own_groups():
    stack = resolve(TEMPLATE, {"KmsKeyArn": KEY} | REDSHIFT)
    (shell,) = jobs(stack, "pythonshell").values()
    crawler = stack.one("RawCrawler")["Properties"]
    for writer, names in (
        (
            shell,
            [f"/aws-glue/python-jobs/<GlueSecurity>-role/<RedshiftLoadJobRole>/{kind}" for kind in ("output", "error")],
        ),
        (crawler, ["/aws-glue/crawlers-role/<RawCrawlerRole>-<GlueSecurity>"]),
    ):
        for name in names:
            assert log_groups(stack)[name]["RetentionInDays"] == "30" and log_groups(stack)[name]["KmsKeyId"] == KEY
            for action in ("logs:AssociateKmsKey", "logs:PutLogEvents"):
                assert is_allowed(stack, role_of(stack, writer), action, f"{LOGS}{name}:log-stream:run")


def test_without_a_key_they_share_the_groups_of_the_account():
    stack = resolve(TEMPLATE, REDSHIFT)
    (shell,) = jobs(stack, "pythonshell").values()
    assert "--custom-logGroup-prefix" not in shell["DefaultArguments"]
    assert is_allowed(
        stack, role_of(stack, shell), "logs:PutLogEvents", f"{LOGS}/aws-glue/python-jobs/output:log-stream:run"
    )
    crawler = role_of(stack, stack.one("RawCrawler")["Properties"])
    assert is_allowed(stack, crawler, "logs:PutLogEvents", f"{LOGS}/aws-glue/crawlers:log-stream:dataless-raw")
    # Two stacks cannot both create these groups.
    assert not [name for name in log_groups(stack) if name.startswith(("/aws-glue/python-jobs", "/aws-glue/crawlers"))]


def spark_roles():
    stack = resolve(TEMPLATE, REDSHIFT | EMR)
    yield from ((name, stack, role_of(stack, job)) for name, job in jobs(stack).items())
    yield "EMR", stack, stack.one("EmrStack/NodeRole")


def test_roles_that_open_the_catalog_may_create_its_database_default():
    """Spark and Hive create this database if it is missing, and fail without the permission."""
    for name, stack, role in spark_roles():
        for part in ("catalog", "database/default"):
            assert is_allowed(stack, role, "glue:CreateDatabase", CATALOG + part), name
        for other in ("database/<GlueDatabase>", "database/any"):
            assert not is_allowed(stack, role, "glue:CreateDatabase", CATALOG + other), name


def test_roles_that_write_to_the_lake_with_s3a_may_list_uploads():
    for name, stack, role in spark_roles():
        assert is_allowed(stack, role, "s3:ListBucketMultipartUploads", "arn:aws:s3:::<DataLakeBucket>"), name


@pytest.mark.parametrize(
    ("readers", "compression"),
    [
        ({}, "zstd"),
        (REDSHIFT, "zlib"),
        (EMR, "zlib"),
        ({"Orchestrator": "DataPipeline"}, "zlib"),
        ({"EnableEC2Instance": "yes"}, "zstd"),
    ],
    ids=str,
)
def test_the_lake_is_zlib_if_a_reader_may_not_support_zstd(readers, compression):
    found = [job["DefaultArguments"].get("--compression") for job in jobs(resolve(TEMPLATE, readers)).values()]
    # Two ETL jobs for each event type, the jobs of derived tables, and the other jobs that write to the lake.
    assert [one for one in found if one] == [compression] * (2 * len(TYPES) + 3)


def script_of(job):
    (path,) = re.findall(r"/((?:glue|pipeline)/.+)$", job["Command"]["ScriptLocation"])
    return ROOT / path


def imports(script):
    """Returns the names of the local scripts that a script imports, also indirectly, and of the packages' zips."""
    named = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        named |= {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
        named |= {node.module.split(".")[0]} if isinstance(node, ast.ImportFrom) else set()
    beside = [script.with_name(f"{name}.py") for name in named if script.with_name(f"{name}.py").is_file()]
    packages = {f"{name}.zip" for name in named if script.with_name(name).joinpath("__init__.py").is_file()}
    return packages.union({one.name for one in beside}, *(imports(one) for one in beside))


def test_jobs_have_the_scripts_that_they_import():
    """Locally the scripts are in the same folder. Glue fetches only the files in a job's arguments."""
    stack = resolve(TEMPLATE, REDSHIFT)
    in_python = {
        name: job for name, job in (jobs(stack) | jobs(stack, "pythonshell")).items() if script_of(job).suffix == ".py"
    }
    assert len(in_python) == len(TYPES) + 7
    for name, job in in_python.items():
        given = [path for path in job["DefaultArguments"].get("--extra-py-files", "").split(",") if path]
        assert {path.split("/glue/")[1] for path in given} == imports(script_of(job)), name


def test_etl_jobs_have_the_sql():
    found = [
        job["DefaultArguments"].get("--sql") for job in jobs(resolve(TEMPLATE, {})).values() if "-etl" in job["Name"]
    ]
    assert found == ["s3://<DataLakeBucket>/scripts/glue/sql/"] * (2 * len(TYPES))
    assert (ROOT / "glue" / "sql" / "events.sql").is_file()


def test_the_etl_has_its_own_workers_and_auto_scaling():
    stack = resolve(
        TEMPLATE, REDSHIFT | {"ETLWorkerType": "R.2X", "ETLNumberOfWorkers": "9", "GlueNumberOfWorkers": "3"}
    )
    for name, job in jobs(stack).items():
        scales = job["DefaultArguments"].get("--enable-auto-scaling") == "true"
        assert scales == ("-etl" in job["Name"]), name
        assert (job["WorkerType"], job["NumberOfWorkers"]) in (
            [("R.2X", "9")] if scales else [("G.1X", "3"), ("G.1X", 2)]
        ), name


def test_runs_are_queued_and_not_retried_by_glue():
    """Glue does not queue runs of a job that it retries."""
    stack = resolve(TEMPLATE, REDSHIFT)
    for name, job in (jobs(stack) | jobs(stack, "pythonshell")).items():
        assert (job["JobRunQueuingEnabled"], job["MaxRetries"]) == (True, 0), name


def test_the_package_has_all_of_its_modules_and_nothing_else(tmp_path):
    lake_zip.pack(tmp_path / "lake.zip")
    with zipfile.ZipFile(tmp_path / "lake.zip") as archive:
        packed = {name: archive.read(name) for name in archive.namelist()}
    package = ROOT / "glue" / "lake"
    assert packed == {
        f"lake/{path.name}": path.read_bytes() for path in package.iterdir() if path.name != "__pycache__"
    }
    done = subprocess.run(
        [sys.executable, "-c", "from lake import days; print(days.__file__)"],
        cwd="/", env={"PYTHONPATH": str(tmp_path / "lake.zip")}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(tmp_path / "lake.zip" / "lake" / "days.py"), done.stderr


def test_the_same_modules_make_the_same_zip(tmp_path):
    for name, time in (("one", 1_600_000_000), ("two", 1_700_000_000)):
        package = tmp_path / name / "lake"
        package.mkdir(parents=True)
        for module in ("days.py", "__init__.py") if name == "one" else ("__init__.py", "days.py"):
            (package / module).write_text(f"# {module}\n")
            os.utime(package / module, (time, time))
        (package / "days.py").chmod(0o600 if name == "one" else 0o644)
        lake_zip.pack(tmp_path / f"{name}.zip", package)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_every_job_publishes_its_metrics():
    """Python jobs use glue/lake/measure.py. For Scala jobs, Glue publishes metrics if the job has a GlueContext."""
    for name, job in jobs(resolve(TEMPLATE, REDSHIFT)).items():
        arguments, code = job["DefaultArguments"], script_of(job).read_text(encoding="utf-8")
        if arguments["--job-language"] == "scala":
            assert arguments["--enable-metrics"] == "true" and "com.amazonaws.services.glue.GlueContext" in code
        else:
            assert arguments["--stack"] == "dataless", name
            assert "@measure.job\ndef main(" in code, name
            assert "--enable-metrics" not in arguments, name
