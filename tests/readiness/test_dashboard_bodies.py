"""After the transforms, the bodies of the dashboards are valid JSON, regardless of the values in them."""

import json
import re

import pytest

from support.options import OPTIONS
from support.processed import PSEUDO, Processed, all_stacks, warehouse

HOSTILE = 'a"b\\c/d${e}'

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html
MOST_METRICS_OF_A_WIDGET, MOST_METRICS = 500, 2500


def bodies(stack):
    for place, one in all_stacks(stack):
        for name, resource in one.resources.items():
            if resource["Type"] == "AWS::CloudWatch::Dashboard":
                yield f"{place}/{name}".lstrip("/"), resource["Properties"]["DashboardBody"]


class Hostile(Processed):
    """Resolves the names and attributes of resources to text with characters that JSON escapes."""

    def physical_id(self, name):
        return HOSTILE

    def physical_attribute(self, name, attribute):
        return HOSTILE


def dashboard_stacks(option):
    return [
        one
        for _, one in all_stacks(warehouse(option))
        if any(r["Type"] == "AWS::CloudWatch::Dashboard" for r in one.resources.values())
    ]


def hostile(stack):
    """Returns the stack with `HOSTILE` as the value of all parameters that accept any value."""
    template = stack.template
    declared = template.source.get("Parameters", {})
    free = {
        name
        for name, one in declared.items()
        if one["Type"] == "String" and not {"AllowedPattern", "AllowedValues"} & set(one)
    }
    if template.path.name == "template.yaml":
        free = set()
    # Parameters that conditions use keep their values.
    conditions = json.dumps(template.source.get("Conditions", {}))
    values = template.parameters | {name: HOSTILE for name in free if f'"{name}"' not in conditions}
    resolver = Hostile(template.path, values, PSEUDO | {"AWS::StackName": template.stack_name}, {})
    return resolver.stack()


@pytest.mark.parametrize("option", OPTIONS)
def test_bodies_are_json(option):
    found = dict(bodies(warehouse(option)))
    assert len(found) == 2
    for name, body in found.items():
        parsed = json.loads(body)
        assert parsed["widgets"], name
        text = json.dumps(parsed)
        assert '{"Ref"' not in text and '"Fn::' not in text and "AWS::" not in text, name
        metrics = [len(widget["properties"].get("metrics", [])) for widget in parsed["widgets"]]
        assert max(metrics) <= MOST_METRICS_OF_A_WIDGET and sum(metrics) <= MOST_METRICS


@pytest.mark.parametrize("option", ["defaults", "everything"])
def test_bodies_are_json_with_any_value(option):
    for stack in dashboard_stacks(option):
        for name, body in bodies(hostile(stack)):
            try:
                json.loads(body)
            except ValueError as problem:
                at = getattr(problem, "pos", 0)
                pytest.fail(f"{name}: {problem}: {body[max(0, at - 80) : at + 40]}")


def quoted_references(part, inside=False):
    """Yields strings below Fn::ToJsonString that contain a reference and a double quote.

    If such a string refers to a resource, the service replaces it with an outer Fn::Sub and does not escape its text.
    https://github.com/aws-cloudformation/cloudformation-language-discussion/issues/103
    """
    if isinstance(part, list):
        for one in part:
            yield from quoted_references(one, inside)
    elif isinstance(part, dict):
        for key, one in part.items():
            if inside and key in ("Fn::Sub", "Fn::Join"):
                text = json.dumps(one, ensure_ascii=False)
                if '\\"' in text:
                    yield text
            else:
                yield from quoted_references(one, inside or key == "Fn::ToJsonString")


def test_no_string_with_a_reference_has_a_double_quote():
    found = {
        text[:90]
        for stack in dashboard_stacks("defaults")
        for text in quoted_references(stack.template.source["Resources"])
    }
    assert found == set()


def references(part, inside=False):
    if isinstance(part, list):
        for one in part:
            yield from references(one, inside)
    elif isinstance(part, dict):
        for key, one in part.items():
            if inside and key == "Fn::GetAtt":
                yield ".".join(one) if isinstance(one, list) else one
            elif inside and key == "Ref":
                yield one
            elif inside and key == "Fn::Sub":
                text, given = one if isinstance(one, list) else (one, {})
                yield from set(re.findall(r"\$\{([^!}][^}]*)\}", text)) - set(given)
                yield from references(given, inside)
            else:
                yield from references(one, inside or key == "Fn::ToJsonString")


def test_bodies_refer_only_to_parameters():
    """The transform inserts known values as JSON. It leaves other values to an Fn::Sub, which does not escape them."""
    later = set()
    for stack in dashboard_stacks("defaults"):
        known = {
            *stack.template.source.get("Parameters", {}),
            "AWS::AccountId",
            "AWS::Partition",
            "AWS::Region",
            "AWS::StackName",
        }
        later |= {name for name in references(stack.template.source["Resources"]) if name not in known}
    assert later == set()
