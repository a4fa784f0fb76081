"""Arguments of the Glue jobs: each is one that Glue knows at the job's version, or that its script asks for."""

import re
from functools import cache
from pathlib import Path

import calls
import pytest
from combinations import ROOT
from options import OPTIONS
from processed import all_stacks, listed, warehouse

# https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-etl-glue-arguments.html
SPECIAL = {
    "--TempDir", "--additional-python-modules", "--class", "--conf", "--custom-logGroup-prefix", "--custom-logStream-prefix", "--datalake-formats",
    "--disable-proxy-v2", "--enable-auto-scaling", "--enable-glue-datacatalog", "--enable-job-insights", "--enable-lakeformation-fine-grained-access",
    "--enable-metrics", "--enable-observability-metrics", "--enable-rename-algorithm-v2", "--enable-s3-parquet-optimized-committer",
    "--enable-spark-ui", "--executor-cores", "--extra-files", "--extra-jars", "--extra-py-files", "--job-bookmark-option", "--job-language",
    "--python-modules-installer-option", "--scriptLocation", "--spark-event-logs-path", "--user-jars-first",
}  # fmt: skip

# Not of 5.0 and later, whose jobs log in real time to groups that --custom-logGroup-prefix names.
# https://docs.aws.amazon.com/glue/latest/dg/monitor-continuous-logging.html
# https://docs.aws.amazon.com/glue/latest/dg/monitor-continuous-logging-enable.html
UP_TO_4 = {
    "--continuous-log-conversionPattern", "--continuous-log-logGroup", "--continuous-log-logStreamPrefix", "--enable-continuous-cloudwatch-log",
    "--enable-continuous-log-filter",
}  # fmt: skip

# What is set by Glue itself. https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-etl-glue-arguments.html
RESERVED = {"--debug", "--JOB_NAME", "--mode"}


def jobs(option):
    for place, stack in all_stacks(warehouse(option)):
        for name, one in stack.resources.items():
            if one["Type"] == "AWS::Glue::Job":
                yield f"{place}/{name}".lstrip("/"), one["Properties"]


def script_of(job) -> Path:
    """The script in the repository, with the same path below the prefix."""
    (path,) = re.findall(r"/((?:glue|pipeline)/.+)$", job["Command"]["ScriptLocation"])
    return ROOT / path


@cache
def asked(script: Path) -> frozenset[str]:
    """The names that the script may ask for: its texts, and those of what it reaches in the modules beside it."""
    if script.suffix == ".py":
        parts = [part for parts in calls.reached(script).values() for part in parts]
        texts = {text for part in parts for text in calls.strings(part)}
    else:
        texts = set(re.findall(r'"([^"\n]*)"', script.read_text(encoding="utf-8")))
    # `--{name}` in an f-string, and names that argparse gets with their dashes.
    return frozenset(text.removeprefix("--") for text in texts)


@cache
def scripts_with_names_of_queries(script: Path) -> bool:
    """hive.py asks for what its script has placeholders for."""
    return script.name == "hive.py"


@pytest.mark.parametrize("option", OPTIONS)
def test_arguments_are_known(option):
    problems, seen = set(), 0
    for name, job in jobs(option):
        script = script_of(job)
        assert script.exists(), f"{name}: {script}"
        # A job that Glue starts knows no others; a script's placeholders are arguments too.
        own = asked(script)
        if scripts_with_names_of_queries(script):
            query = job["DefaultArguments"]["--script"].rsplit("/pipeline/", 1)[1]
            own |= set(re.findall(r"\$\{(?:hivevar:)?(\w+)\}", (ROOT / "pipeline" / query).read_text(encoding="utf-8")))
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


@pytest.mark.parametrize("option", OPTIONS)
def test_jobs_of_a_stack_log_apart(option):
    """Without a prefix, the logs of all stacks go to two groups that are kept for ever."""
    for name, job in jobs(option):
        if job["Command"]["Name"] == "glueetl":
            prefix = job["DefaultArguments"].get("--custom-logGroup-prefix", "")
            assert warehouse(option).pseudo["AWS::StackName"] in prefix, name
            assert len(prefix) <= 400 and re.fullmatch(r"[A-Za-z0-9_/-]+", prefix), name


@pytest.mark.parametrize("option", OPTIONS)
def test_modules_are_there(option):
    for name, job in jobs(option):
        modules = [one for one in job["DefaultArguments"].get("--extra-py-files", "").split(",") if one]
        assert all((ROOT / "glue" / one.rsplit("/glue/", 1)[1]).exists() for one in modules), name
        script = script_of(job)
        if script.suffix == ".py":
            needed = {path.name for path in calls.reached(script)} - {script.name}
            assert needed <= {one.rsplit("/", 1)[1] for one in modules}, f"{name}: {script.name} imports {needed}"
