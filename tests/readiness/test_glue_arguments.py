"""The Glue version of a job supports each of its arguments, or the job's script reads it."""

import ast
import re
from pathlib import Path

import pytest

import arguments
from support.combinations import ROOT
from support.options import OPTIONS
from support.processed import all_stacks, listed, warehouse

# https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-etl-glue-arguments.html
SPECIAL = {
    "--TempDir", "--additional-python-modules", "--class", "--conf", "--custom-logGroup-prefix", "--custom-logStream-prefix", "--datalake-formats",
    "--disable-proxy-v2", "--enable-auto-scaling", "--enable-glue-datacatalog", "--enable-job-insights", "--enable-lakeformation-fine-grained-access",
    "--enable-metrics", "--enable-observability-metrics", "--enable-rename-algorithm-v2", "--enable-s3-parquet-optimized-committer",
    "--enable-spark-ui", "--executor-cores", "--extra-files", "--extra-jars", "--extra-py-files", "--job-bookmark-option", "--job-language",
    "--python-modules-installer-option", "--scriptLocation", "--spark-event-logs-path", "--user-jars-first",
}  # fmt: skip

# Arguments that Glue 5.0 and later do not support. These versions log in real time to the log groups with the prefix
# --custom-logGroup-prefix.
# https://docs.aws.amazon.com/glue/latest/dg/monitor-continuous-logging.html
# https://docs.aws.amazon.com/glue/latest/dg/monitor-continuous-logging-enable.html
UP_TO_4 = {
    "--continuous-log-conversionPattern", "--continuous-log-logGroup", "--continuous-log-logStreamPrefix", "--enable-continuous-cloudwatch-log",
    "--enable-continuous-log-filter",
}  # fmt: skip

# Glue sets these arguments. https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-etl-glue-arguments.html
RESERVED = {"--debug", "--JOB_NAME", "--mode"}


def jobs(option):
    for place, stack in all_stacks(warehouse(option)):
        for name, one in stack.resources.items():
            if one["Type"] == "AWS::Glue::Job":
                yield f"{place}/{name}".lstrip("/"), one["Properties"]


def script_of(job) -> Path:
    """Returns the job's script in the repository. It has the same path there as below the prefix in S3."""
    (path,) = re.findall(r"/((?:glue|pipeline)/.+)$", job["Command"]["ScriptLocation"])
    return ROOT / path


@pytest.mark.parametrize("option", OPTIONS)
def test_arguments_are_known(option):
    problems, seen = set(), 0
    for name, job in jobs(option):
        script = script_of(job)
        assert script.exists(), f"{name}: {script}"
        assert job["GlueVersion"] == ("5.1" if job["Command"]["Name"] == "glueetl" else "3.0"), name
        own = arguments.of(script)
        for argument in job["DefaultArguments"]:
            seen += 1
            if argument in RESERVED:
                problems.add(f"{name}: {argument} is Glue's own")
            elif argument in UP_TO_4 and float(job["GlueVersion"]) >= 5:
                problems.add(f"{name}: {argument} is for Glue 4.0 and earlier")
            elif argument not in SPECIAL | UP_TO_4 and argument.removeprefix("--") not in own:
                problems.add(f"{name}: {argument} is known neither to Glue nor to {script.name}")
    assert not problems, listed(problems)
    assert seen > 50


SCRIPT = """
def parse(argv):
    optional = [name for name in ("full", "rate") if f"--{name}" in argv]
    names = ["day", "path"] + optional
    names += ["extra"]
    print("--not_asked", "a text")
    return getResolvedOptions(argv, [*names, "last"])

def main(parser):
    for name in ("cluster", "steps"):
        parser.add_argument(f"--{name}", required=True, help="not asked")
    parser.add_argument("--dry_run")
    return {"staging": 1}
"""


def test_only_argument_lists_are_read():
    assert arguments.of_python([ast.parse(SCRIPT)]) == {
        "full",
        "rate",
        "day",
        "path",
        "extra",
        "last",
        "cluster",
        "steps",
        "dry_run",
    }
    assert arguments.of_scala('day(given("day"), given.getOrElse("file_mb", "64"), oneOf("table"))') == {
        "day",
        "file_mb",
    }
    with pytest.raises(arguments.NotRead, match="elsewhere"):
        arguments.of_python([ast.parse("def f(argv): getResolvedOptions(argv, elsewhere())")])


@pytest.mark.parametrize("option", OPTIONS)
def test_each_stack_has_its_own_job_logs(option):
    """Without a prefix, the logs of all stacks go to two log groups without a retention."""
    for name, job in jobs(option):
        if job["Command"]["Name"] == "glueetl":
            prefix = job["DefaultArguments"].get("--custom-logGroup-prefix", "")
            assert warehouse(option).pseudo["AWS::StackName"] in prefix, name
            assert len(prefix) <= 400 and re.fullmatch(r"[A-Za-z0-9_/-]+", prefix), name
