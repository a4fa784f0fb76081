"""After the transforms, alarms and dashboards use published metrics, existing resources and valid windows."""

import json
import re

import pytest

import event_types
from support.combinations import ROOT
from support.metrics import DOCUMENTED
from support.options import OPTIONS
from support.processed import STACK_NAME, all_stacks, listed, names_of, warehouse
from support.resolver import read_template

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
DAY, WEEK, HOUR = 86_400, 604_800, 3_600
FINE_PERIODS = {10, 20, 30}

# Alarms on metrics that intentionally do not exist.
NOWHERE = {"AlarmsStack/NeverAlarm": "it takes the place of the others where no alarm is to stop a deployment"}


def alarms(option):
    for place, stack in all_stacks(warehouse(option)):
        for name, one in stack.resources.items():
            if one["Type"] == "AWS::CloudWatch::Alarm":
                yield f"{place}/{name}".lstrip("/"), one["Properties"]


def metrics_of(alarm):
    """Returns (metric, period) for each metric of an alarm."""
    if "Metrics" in alarm:
        return [
            (one["MetricStat"]["Metric"], one["MetricStat"]["Period"])
            for one in alarm["Metrics"]
            if "MetricStat" in one
        ]
    return [(alarm, alarm["Period"])]


def widgets(option, kind):
    for _, stack in all_stacks(warehouse(option)):
        for name, one in stack.resources.items():
            if one["Type"] == "AWS::CloudWatch::Dashboard":
                for widget in json.loads(one["Properties"]["DashboardBody"])["widgets"]:
                    if widget["type"] == kind:
                        yield f"{name}: {widget['properties'].get('title')}", widget["properties"]


# --- metrics of services --------------------------------------------------------------------------------------------


def undocumented(namespace, name, dimensions):
    if namespace not in DOCUMENTED:
        return f"no metric is known of {namespace}"
    source, sets, known = DOCUMENTED[namespace]
    if name not in known:
        return f"{source} has no {name}"
    return None if set(dimensions) in sets else f"{name} never comes with {sorted(dimensions)}: {source}"


@pytest.mark.parametrize("option", OPTIONS)
def test_alarms_use_documented_metrics(option):
    """Tests in tests/dashboard check the metrics of the dashboards."""
    problems, seen = set(), 0
    for name, alarm in alarms(option):
        for metric, _ in metrics_of(alarm):
            seen += 1
            problem = undocumented(
                metric["Namespace"], metric["MetricName"], [one["Name"] for one in metric.get("Dimensions", [])]
            )
            problems |= {f"{name}: {problem}"} if problem else set()
    assert not problems, listed(problems)
    assert seen > 20


@pytest.mark.parametrize("option", OPTIONS)
def test_expressions_use_existing_ids(option):
    problems = set()
    for name, alarm in alarms(option):
        ids = {one["Id"] for one in alarm.get("Metrics", [])}
        used = {
            word for one in alarm.get("Metrics", []) for word in re.findall(r"\b[a-z]\w*\b", one.get("Expression", ""))
        }
        problems |= {f"{name}: {word}" for word in used - ids}
    assert not problems, listed(problems)


def test_every_alarm_of_the_templates_is_tested():
    written = {
        name
        for path in [ROOT / "template.yaml", *(ROOT / "stacks").glob("*.yaml")]
        for name, one in read_template(path)["Resources"].items()
        if one["Type"] == "AWS::CloudWatch::Alarm"
    }
    assert len(written) > 15 and written == {
        name.rsplit("/", 1)[-1] for option in OPTIONS for name, _ in alarms(option)
    }


def values(option):
    """Returns the allowed values of each dimension. They are the names of existing resources."""
    found = {}
    types = {
        "AWS::Lambda::Function": "FunctionName", "AWS::KinesisFirehose::DeliveryStream": "DeliveryStreamName", "AWS::SQS::Queue": "QueueName",
        "AWS::DynamoDB::Table": "TableName", "AWS::S3::Bucket": "BucketName", "AWS::Glue::Job": "JobName", "AWS::Athena::WorkGroup": "WorkGroup",
        "AWS::Redshift::Cluster": "ClusterIdentifier", "AWS::ApiGateway::Stage": "Stage",
    }  # fmt: skip
    for _, stack in all_stacks(warehouse(option)):
        for name, one in stack.resources.items():
            if one["Type"] in types:
                found.setdefault(types[one["Type"]], set()).update(names_of(stack, name))
            if one["Type"] == "AWS::StepFunctions::StateMachine":
                found.setdefault("StateMachineArn", set()).add(stack.resolver.physical_id(name))
            if one["Type"] == "AWS::ApiGateway::RestApi":
                found.setdefault("ApiName", set()).add(one["Properties"]["Body"]["info"]["title"])
    found["Resource"] = {f"{one}:live" for one in found["FunctionName"]}
    found["Stack"] = {warehouse(option).pseudo["AWS::StackName"]}
    found["Job"] = found["JobName"]
    return found


def pairs(row):
    """Returns the (name, value) pairs of the dimensions in a widget's row."""
    texts = [one for one in row if isinstance(one, str)]
    return list(zip(texts[2::2], texts[3::2], strict=True))


@pytest.mark.parametrize("option", OPTIONS)
def test_dimensions_are_of_existing_resources(option):
    known, problems = values(option), set()
    for name, alarm in alarms(option):
        for metric, _ in metrics_of(alarm):
            for one in metric.get("Dimensions", []):
                if one["Value"] not in known.get(one["Name"], {one["Value"]}) and name not in NOWHERE:
                    problems.add(f"{name}: {one['Name']} {one['Value']}")
    for name, properties in widgets(option, "metric"):
        for row in properties["metrics"]:
            problems |= {f"{name}: {key} {value}" for key, value in pairs(row) if value not in known.get(key, {value})}
    assert not problems, listed(problems)


@pytest.mark.parametrize("option", OPTIONS)
def test_dashboards_show_existing_alarms(option):
    made = {alarm.get("AlarmName") for _, alarm in alarms(option)}
    shown = {arn.rsplit(":alarm:", 1)[1] for _, properties in widgets(option, "alarm") for arn in properties["alarms"]}
    # CloudWatch ignores missing alarms. The alarms on metric math are optional.
    left_out = on_metric_math() if option == "no metric math" else set()
    assert shown - made == left_out, listed((shown - made) ^ left_out)


def on_metric_math():
    found = {
        alarm["AlarmName"]
        for _, alarm in alarms("defaults")
        if any("Expression" in one for one in alarm.get("Metrics", []))
    }
    # Each event type has one alarm, on the quota of its delivery stream.
    assert len(found) == len(event_types.names())
    return found


def test_the_name_of_the_api_is_its_title():
    """The API name is a dimension. For an imported API, API Gateway takes the name from the definition."""
    for option in OPTIONS:
        (api,) = [
            one["Properties"]
            for one in warehouse(option).resources.values()
            if one["Type"] == "AWS::ApiGateway::RestApi"
        ]
        assert api["Body"]["info"]["title"] == api["Name"] == f"{STACK_NAME}-advertising"


# --- windows --------------------------------------------------------------------------------------------------------


def faults(alarm):
    periods = {int(period) for _, period in metrics_of(alarm)}
    evaluations = int(alarm["EvaluationPeriods"])
    for period in periods:
        if period not in FINE_PERIODS and period % 60:
            yield f"a period of {period} seconds"
        if period * evaluations > (WEEK if period >= HOUR else DAY):
            yield f"it looks back {period * evaluations} seconds"
        if period >= DAY and alarm.get("TreatMissingData") == "breaching":
            # The window slides. It contains no data if tonight's run is later than last night's run.
            yield "missing data of a day is breaching, so that each run later than the one before raises it"
    if int(alarm.get("DatapointsToAlarm", evaluations)) > evaluations:
        yield "more data points than periods"
    if len(periods) != 1 and "Metrics" not in alarm:
        yield "several periods"
    if "TreatMissingData" not in alarm:
        yield "nothing says what missing data means"


@pytest.mark.parametrize("option", OPTIONS)
def test_windows_are_valid(option):
    problems = {f"{name}: {fault}" for name, alarm in alarms(option) for fault in faults(alarm)}
    assert not problems, listed(problems)


GOOD = {"Period": 300, "EvaluationPeriods": 1, "TreatMissingData": "notBreaching"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, None),
        ({"Period": 45}, "a period of 45"),
        ({"Period": 300, "EvaluationPeriods": 289}, "looks back 86700"),
        ({"Period": 3600, "EvaluationPeriods": 27, "TreatMissingData": "breaching"}, None),
        ({"Period": 3600, "EvaluationPeriods": 169}, "looks back"),
        ({"Period": 86400, "TreatMissingData": "breaching"}, "missing data of a day"),
        ({"DatapointsToAlarm": 2}, "more data points"),
    ],
)
def test_invalid_windows_are_detected(change, expected):
    found = list(faults(GOOD | change))
    assert len(found) == (expected is not None) and all(re.search(expected, one) for one in found)
