"""The metrics that a job publishes. The client is botocore's, which validates each call against CloudWatch's model."""

import boto3
import pytest
from botocore.stub import Stubber

import etl
import hive
import nasty
from lake import measure
from support.metrics import DOCUMENTED
from support.spark import ROOT

OF_STACK = ["job.py", "--stack", "wh", "--JOB_NAME", "wh-etl", "--day", "2026-11-20"]
DIMENSIONS = [{"Name": "Stack", "Value": "wh"}, {"Name": "Job", "Value": "wh-etl"}]


class CloudWatch:
    """Records what is published; can refuse it."""

    def __init__(self, monkeypatch):
        self.client = boto3.client("cloudwatch", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        self.stub = Stubber(self.client)
        self.stub.activate()
        self.calls = []
        self.client.meta.events.register("provide-client-params.cloudwatch.PutMetricData", self.keep)
        monkeypatch.setattr(measure.boto3, "client", lambda service: self.client)

    def keep(self, params, **_):
        self.calls.append(params)

    def figures(self):
        ((call,), self.calls) = (self.calls, [])
        assert call["Namespace"] == "Warehouse/Lake"
        assert all(one["Dimensions"] == DIMENSIONS for one in call["MetricData"])
        return {one["MetricName"]: (one["Value"], one["Unit"]) for one in call["MetricData"]}


@pytest.fixture
def cloudwatch(monkeypatch):
    return CloudWatch(monkeypatch)


@pytest.fixture
def clock(monkeypatch):
    """Two readings, 1.5 s apart."""
    readings = iter([100.0, 101.5])
    monkeypatch.setattr(measure.time, "monotonic", lambda: next(readings))


def test_time_rows_and_success_of_a_run(cloudwatch, clock):
    cloudwatch.stub.add_response("put_metric_data", {})
    assert measure.job(lambda argv: 42)(OF_STACK) is None
    assert cloudwatch.figures() == {
        "JobTime": (1500, "Milliseconds"),
        "JobRows": (42, "Count"),
        "JobFailures": (0, "Count"),
    }


def test_what_dashboards_and_alarms_name_is_published(cloudwatch, clock):
    _, _, documented = DOCUMENTED["Warehouse/Lake"]
    cloudwatch.stub.add_response("put_metric_data", {})
    measure.job(lambda argv: 42)(OF_STACK)
    of_jobs = {name: unit for name, unit in documented.items() if name.startswith("Job")}
    assert of_jobs == {name: unit for name, (_, unit) in cloudwatch.figures().items()}


def test_a_run_that_counts_nothing_has_no_rows(cloudwatch, clock):
    cloudwatch.stub.add_response("put_metric_data", {})
    measure.job(lambda argv: None)(OF_STACK)
    assert cloudwatch.figures() == {"JobTime": (1500, "Milliseconds"), "JobFailures": (0, "Count")}


def test_a_failure_is_published_and_raised(cloudwatch, clock):
    cloudwatch.stub.add_response("put_metric_data", {})

    def main(argv):
        raise ValueError("no such day")

    with pytest.raises(ValueError, match="no such day"):
        measure.job(main)(OF_STACK)
    assert cloudwatch.figures() == {"JobTime": (1500, "Milliseconds"), "JobFailures": (1, "Count")}


@pytest.mark.parametrize("argv", [["job.py"], OF_STACK[:3], OF_STACK[:1] + OF_STACK[3:5]])
def test_without_a_stack_or_a_name_nothing_is_published(cloudwatch, argv):
    measure.job(lambda argv: 42)(argv)
    assert cloudwatch.calls == []


def test_a_job_does_not_fail_when_cloudwatch_refuses(cloudwatch, clock, capsys):
    cloudwatch.stub.add_client_error("put_metric_data", "AccessDenied", "not allowed")
    measure.job(lambda argv: 42)(OF_STACK)
    assert "failed to publish the job's metrics: An error occurred (AccessDenied)" in capsys.readouterr().err


def test_nor_does_the_refusal_hide_why_a_job_failed(cloudwatch, clock):
    cloudwatch.stub.add_client_error("put_metric_data", "AccessDenied", "not allowed")

    def main(argv):
        raise ValueError("no such day")

    with pytest.raises(ValueError, match="no such day"):
        measure.job(main)(OF_STACK)


@pytest.mark.parametrize(
    "argv", [["job.py", "--JOB_NAME", "wh-etl", "--stack"], [*OF_STACK, "--job-bookmark-option", "on"]]
)
def test_nor_do_arguments_that_glue_refuses(cloudwatch, clock, capsys, argv):
    def main(argv):
        raise ValueError("no such day")

    with pytest.raises(ValueError, match="no such day"):
        measure.job(main)(argv)
    assert cloudwatch.calls == [] and "failed to publish the job's metrics" in capsys.readouterr().err


def rows_published_by(cloudwatch, main, **arguments):
    cloudwatch.stub.add_response("put_metric_data", {})
    main([*OF_STACK, *(part for name, value in arguments.items() for part in (f"--{name}", value))])
    figures = cloudwatch.figures()
    assert figures.keys() == {"JobTime", "JobRows", "JobFailures"} and 0 < figures["JobTime"][0] < 600_000
    return figures["JobRows"][0]


def test_the_etl_publishes_the_raw_lines_of_its_day(warehouse, cloudwatch):
    warehouse.put_lines("impressions", nasty.LINES)
    lines = rows_published_by(
        cloudwatch,
        etl.main,
        table="impressions",
        database=warehouse.database,
        data_path=warehouse.data_path,
        lookback_days="3",
        sql=f"file://{ROOT}/glue/sql",
    )
    (books,) = warehouse.spark.table(f"{warehouse.database}.ledger").collect()
    assert lines == books["raw"] > 10


QUERY = """
INSERT OVERWRITE TABLE ad_traffic PARTITION (year = '2026', month = '11', day = '20')
SELECT 'one', CAST(1 AS bigint), CAST(0 AS bigint) UNION ALL SELECT 'two', CAST(2 AS bigint), CAST(1 AS bigint)
"""


def test_the_runner_of_hiveql_publishes_the_rows_that_it_replaced_a_partition_with(warehouse, cloudwatch, tmp_path):
    script = tmp_path / "query.hql"
    script.write_text(QUERY)
    for _ in range(2):
        assert rows_published_by(cloudwatch, hive.main, script=f"file://{script}", database=warehouse.database) == 2
