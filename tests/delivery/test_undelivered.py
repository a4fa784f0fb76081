"""If Firehose cannot call the metrics sink, events still reach the lake, or an alarm reports them."""

import re

import pytest

import event_types
from support.iam import as_list, like
from support.resolver import resolve
from templates import ROOT

TEMPLATE = ROOT / "template.yaml"
STACK = resolve(TEMPLATE, {})
EVENTS = {one: f"{event_types.pascal(one)}Events" for one in event_types.names()}
BUCKET = "arn:aws:s3:::<DataLakeBucket>"


def destination(table):
    return STACK.one(f"{EVENTS[table]}/DeliveryStream")["Properties"]["ExtendedS3DestinationConfiguration"]


@pytest.mark.parametrize("table", EVENTS)
def test_firehose_retries_the_sink_for_hours_but_less_than_its_retention(table):
    (processor,) = destination(table)["ProcessingConfiguration"]["Processors"]
    retries = {one["ParameterName"]: one["ParameterValue"] for one in processor["Parameters"]}["NumberOfRetries"]
    assert retries == "300"
    hours = int(retries) * STACK.one("MetricsSinkFunction")["Properties"]["Timeout"] / 3600
    assert 4 < hours < 24


@pytest.mark.parametrize(("given", "reserved"), [({}, None), ({"MetricsSinkReservedConcurrency": "0"}, None),
                                                 ({"MetricsSinkReservedConcurrency": "20"}, "20")])  # fmt: skip
def test_the_sink_has_reserved_concurrency_only_if_requested(given, reserved):
    functions = {
        name: one["Properties"].get("ReservedConcurrentExecutions")
        for name, one in resolve(TEMPLATE, given).resources.items()
        if one["Type"] == "AWS::Serverless::Function"
    }
    assert functions.pop("MetricsSinkFunction") == reserved
    # A new account may have no concurrency left to reserve.
    assert set(functions.values()) == {None}


@pytest.mark.parametrize("table", EVENTS)
def test_the_alarm_says_where_undelivered_events_are_and_what_to_do(table):
    alarm = STACK.one(f"{EVENTS[table]}/UndeliveredAlarm")["Properties"]
    # Successful calls divided by all calls:
    # https://docs.aws.amazon.com/firehose/latest/dev/monitoring-with-cloudwatch-metrics.html
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Firehose", "ExecuteProcessing.Success")
    assert alarm["Dimensions"] == [{"Name": "DeliveryStreamName", "Value": "<DeliveryStream>"}]
    assert "Unit" not in alarm, "the metric has none"
    assert (alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]) == ("Average", "LessThanThreshold", 1)
    for words in (
        f"data/raw-errors/{table}/processing-failed/",
        "MetricsSinkReservedConcurrency",
        "glue/undelivered.py",
    ):
        assert words in alarm["AlarmDescription"]


def allowed(role):
    statements = (
        s for policy in STACK.one(role)["Properties"]["Policies"] for s in policy["PolicyDocument"]["Statement"]
    )
    for statement in statements:
        for action in as_list(statement["Action"]):
            for resource in as_list(statement["Resource"]):
                yield action, resource


@pytest.mark.parametrize("table", EVENTS)
def test_the_etl_has_read_only_access_to_undelivered_events(table):
    prefix = re.sub(r"!\{firehose:error-output-type\}", "processing-failed", destination(table)["ErrorOutputPrefix"])
    assert re.sub(r"!\{timestamp:\w+\}", "", prefix).startswith(
        f"data/raw-errors/{table}/processing-failed/year=/month=/day=/hour="
    )
    actions = {action for action, pattern in allowed("LakeJobRole") if like(f"{BUCKET}/{prefix}x", pattern)}
    assert actions == {"s3:GetObject"}


@pytest.mark.parametrize("table", EVENTS)
def test_athena_finds_the_folders_that_firehose_writes(table):
    at = {"yyyy": "2026", "MM": "03", "dd": "01", "HH": "05"}
    written = re.sub(r"!\{timestamp:(\w+)\}", lambda found: at[found[1]], destination(table)["Prefix"])
    catalog = STACK.one(f"Raw{table.title()}Table")["Properties"]["TableInput"]
    parameters = catalog["Parameters"]
    # In patterns of Java's DateTimeFormatter, text in quotes is literal.
    pieces = re.findall(r"'([^']*)'|(\w+)", parameters["projection.hour.format"])
    hour = "".join(text or at[letters] for text, letters in pieces)
    location = parameters["storage.location.template"].replace("${hour}", hour)
    assert location == f"s3://<DataLakeBucket>/{written}"
    assert [key["Name"] for key in catalog["PartitionKeys"]] == ["hour"]
    first, last = parameters["projection.hour.range"].split(",")
    assert len(first) == len(hour) and first < hour and last == "NOW"
