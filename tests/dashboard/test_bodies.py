"""Compares every metric of the dashboards and alarms with the AWS documentation.

A typo would cause an empty graph, or an alarm that never fires. These tests do not need a stack.
"""

import json
import re

import pytest

import event_types
import templates
from support.metrics import DOCUMENTED, PASCAL

# Patterns for each unit in the title or on the axis of a chart.
UNITS = {
    "Milliseconds": r"\bms\b",
    "Seconds": r"\(s\)",
    "Bytes": r"[Bb]ytes|GB",
    "Percent": r"percent",
    "Share": r"share",
}

# Statistics that are meaningless for a metric.
SENSELESS = {("AWS/ApiGateway", "Count"): {"Average"}, ("AWS/Lambda", "ConcurrentExecutions"): {"Sum"}}


TEMPLATE = templates.read(templates.ROOT / "template.yaml")
STACKS = [templates.read(path) for path in sorted((templates.ROOT / "stacks").glob("*.yaml"))]
DASHBOARDS = {
    name: resource["Properties"]["DashboardBody"]["Fn::ToJsonString"]
    for name, resource in templates.read(templates.ROOT / "stacks/dashboards.yaml")["Resources"].items()
}
ALARMS = {
    name: each["Properties"]
    for stack in STACKS
    for name, each in stack["Resources"].items()
    if each["Type"] == "AWS::CloudWatch::Alarm"
}
# The event types, as written in physical names. Each has the alarms of stacks/event.yaml.
EVENT_TYPES = [
    each["Properties"]["Parameters"]["NameSuffix"]
    for each in TEMPLATE["Resources"].values()
    if each.get("Properties", {}).get("TemplateURL") == "stacks/event.yaml"
]
# Alarms without a name only roll back deployments. They do not notify anyone.
TELLING = {name: alarm for name, alarm in ALARMS.items() if "AlarmName" in alarm}


def plain(value):
    """Returns a namespace as deployed by default."""
    return TEMPLATE["Parameters"][value["Ref"]]["Default"] if isinstance(value, dict) else value


def widgets(kind):
    for name, body in DASHBOARDS.items():
        for widget in body["widgets"]:
            if widget["type"] == kind:
                yield f"{name}: {widget['properties'].get('title')}", widget["properties"]


def metrics(properties):
    """Yields namespace, name, dimensions and statistic of a widget's rows."""
    for row in properties["metrics"]:
        options = row[-1]
        expression = options.get("expression", "")
        if not expression:
            namespace, name, *dimensions = row[:-1]
            yield plain(namespace), name, set(dimensions[::2]), options.get("stat", properties.get("stat"))
        assert "SEARCH(" not in expression, (
            "a search needs double quotes around what it looks for, and a reference can't be among them"
        )


WIDGETS = list(widgets("metric"))


@pytest.mark.parametrize(("title", "properties"), WIDGETS, ids=[title for title, _ in WIDGETS])
def test_a_widgets_metrics_are_documented(title, properties):
    found = list(metrics(properties))
    assert found
    units = set()
    for namespace, name, dimensions, stat in found:
        _, sets, known = DOCUMENTED[namespace]
        assert name in known, f"{namespace} has no {name}"
        assert dimensions in sets, f"{namespace} {name} never comes with {sorted(dimensions)}"
        assert re.fullmatch(r"Sum|Average|Minimum|Maximum|SampleCount|p\d+(\.\d+)?", stat or ""), (
            f"{name} needs a statistic"
        )
        assert stat not in SENSELESS.get((namespace, name), ()), f"{stat} of {name}"
        units.add(known[name])
    named = properties["title"] + json.dumps(properties.get("yAxis", "")) + json.dumps(properties["metrics"])
    # An expression has its unit in its label.
    if not any("expression" in row[-1] for row in properties["metrics"]):
        for unit in units - {"Count"}:
            assert re.search(UNITS[unit], named), f"nothing says that it is in {unit}"


@pytest.mark.parametrize(("title", "properties"), WIDGETS, ids=[title for title, _ in WIDGETS])
def test_expressions_of_a_widget_use_existing_ids(title, properties):
    ids = [row[-1]["id"] for row in properties["metrics"] if "id" in row[-1]]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch("[a-z][a-zA-Z0-9_]*", each) for each in ids), "CloudWatch wants a small letter first"
    for row in properties["metrics"]:
        expression = row[-1].get("expression", "")
        names = re.findall(r"\b[a-z]\w*\b", re.sub(r'"[^"]*"', "", expression))
        assert set(names) <= set(ids), expression
        for part in re.findall(r'METRICS\("([^"]*)"\)', expression):
            assert any(part in each for each in ids)


def test_widgets_fit_the_grid_without_overlap():
    for name, body in DASHBOARDS.items():
        taken = {}
        for widget in body["widgets"]:
            assert widget["x"] + widget["width"] <= 24
            for x in range(widget["x"], widget["x"] + widget["width"]):
                for y in range(widget["y"], widget["y"] + widget["height"]):
                    assert taken.setdefault((x, y), widget) is widget, f"{name}: {widget['properties']}"


def test_a_late_night_is_not_reported_as_missing():
    """The alarm uses hourly periods, because CloudWatch evaluates a period of one day as a sliding window.

    Such a window has no data while a night is later than the night before.
    """
    found = [alarm for alarm in ALARMS.values() if "breaching" in json.dumps(alarm["TreatMissingData"])]
    assert [alarm["AlarmName"]["Fn::Sub"] for alarm in found] == ["${StackName}-${NameSuffix}-ledger-missing"]
    for alarm in found:
        assert alarm["Period"] == 3600 and alarm["EvaluationPeriods"] >= 24 + 4
        assert "DatapointsToAlarm" not in alarm, "all of the hours must be empty"
        # Any result counts, even a ledger that does not balance.
        assert (alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]) == (
            "SampleCount",
            "LessThanThreshold",
            1,
        )


def test_the_ledger_alarm_ignores_missing_data():
    alarm = ALARMS["LedgerAlarm"]
    assert alarm["TreatMissingData"] == "notBreaching"
    assert (alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]) == (
        "Maximum",
        "GreaterThanThreshold",
        0,
    )


def test_throttles_of_the_sink_have_a_separate_alarm():
    """Throttling of the sink affects events that were already acknowledged."""
    alarm = ALARMS["SinkThrottlesAlarm"]
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": {"Fn::Sub": "${StackName}-metrics-sink"}}]
    assert "acknowledged" in alarm["AlarmDescription"] and "raw-errors" in alarm["AlarmDescription"]
    for name in ("ThrottlesAlarm", "CaptureThrottlesAlarm"):
        assert "metrics-sink" not in json.dumps(ALARMS[name])


@pytest.mark.parametrize("name", TELLING)
def test_an_alarm_notifies_says_what_to_do_and_handles_missing_data(name):
    alarm = ALARMS[name]
    assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}]
    assert alarm["TreatMissingData"]
    description = alarm["AlarmDescription"]
    assert 120 < len(description["Fn::Sub"] if isinstance(description, dict) else description) <= 1024
    threshold = alarm["Threshold"]
    if isinstance(threshold, dict):
        assert TEMPLATE["Parameters"][threshold["Ref"]]["Description"].count(".") >= 1, "a threshold has its reason"


def test_the_ops_dashboard_shows_every_alarm():
    ((_, properties),) = widgets("alarm")
    shown = [each["Fn::Sub"].removeprefix("${AlarmArnPrefix}") for each in properties["alarms"]]
    named = [alarm["AlarmName"]["Fn::Sub"].removeprefix("${StackName}-") for alarm in TELLING.values()]
    made = {name.replace("${NameSuffix}", event_type) for name in named for event_type in EVENT_TYPES}
    assert sorted(shown) == sorted(made)


def words_of(event_type):
    """Returns a pattern for the names of an event type, its function, stream, jobs and metrics in a dashboard."""
    return rf"\b({event_types.kebab(event_type)}|{event_type}|(Malformed)?{PASCAL[event_type]})\b"


def rows_of(event_type):
    """Returns (dashboard, row, statistic) for each metric of an event type. In the row, `<type>` replaces its name."""
    found = []
    for name, body in DASHBOARDS.items():
        for widget in body["widgets"]:
            for row in widget["properties"].get("metrics", []):
                text = json.dumps(row[:-1])
                if re.search(words_of(event_type), text):
                    without = re.sub(words_of(event_type), r"\2<type>", text)
                    found.append((name, without, row[-1].get("stat")))
    return found


def test_each_event_type_has_the_same_rows():
    """Some metrics of ads also have separate, handwritten charts."""
    expected = set(rows_of("impressions"))
    # Counted, malformed and refused events, and metrics of the function, the stream, the ledger and the jobs.
    assert len(expected) > 30
    for event_type in PASCAL:
        assert set(rows_of(event_type)) == expected, event_type


def test_each_event_type_has_a_chart_of_its_ledger_and_its_cold_starts():
    titles = {widget["properties"].get("title") for widget in DASHBOARDS["OpsDashboard"]["widgets"]}
    ((_, logs),) = widgets("log")
    for event_type in PASCAL:
        assert f"Ledger: raw {event_type.replace('_', ' ')} by day of arrival, and what became of them" in titles
        assert (
            f"SOURCE '/aws/lambda/${{StackName}}-capture-{event_types.kebab(event_type)}'" in logs["query"]["Fn::Sub"]
        )


def test_lines_of_a_chart_have_different_colours():
    for title, properties in WIDGETS:
        colors = [row[-1]["color"] for row in properties["metrics"] if "color" in row[-1]]
        assert len(colors) == len(set(colors)), title
