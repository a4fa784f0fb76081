"""Tests the stack of an event type. A third type, with an underscore in its name, gets the same resources as others."""

import json
import re

import pytest

import event_types
from support.combinations import ROOT, TEMPLATE
from support.resolver import Refused, read_template, resolve

EVENT = ROOT / "stacks" / "event.yaml"


def instances():
    """Returns the parameters that the root stack passes to the stack of each event type."""
    made = resolve(TEMPLATE, {})
    return {
        name: made.resources[name]["Properties"]["Parameters"]
        for name, one in read_template(TEMPLATE)["Resources"].items()
        if one.get("Properties", {}).get("TemplateURL") == "stacks/event.yaml"
    }


ORDERS = instances()["ClicksEvents"] | {"EventType": "order_items", "NameSuffix": "order-items", "Group": "shop"}


def test_stacks_differ_only_in_their_event_type():
    differ = {"EventType", "NameSuffix", "Group"}
    found = instances()
    assert (
        len(found) >= 2
        and len(
            {json.dumps({k: v for k, v in one.items() if k not in differ}, sort_keys=True) for one in found.values()}
        )
        == 1
    )
    for name, one in found.items():
        assert name == "".join(part.title() for part in one["EventType"].split("_")) + "Events"
        assert one["NameSuffix"] == one["EventType"].replace("_", "-")


def test_the_state_machine_has_each_type_and_may_run_its_jobs():
    made = resolve(TEMPLATE, {})
    given = made.resources["PipelineStack"]["Properties"]["Parameters"]
    assert given["EventTypes"].split(",") == [one["EventType"] for one in instances().values()]
    arns = given["JobArns"].split(",")
    assert all(arn in arns for name in instances() for arn in made.nested[name].outputs["JobArns"].split(","))
    assert "*" not in given["JobArns"]
    substitutions = made.one("DailyPipeline")["Properties"]["DefinitionSubstitutions"]
    assert substitutions["EventTypes"] == str(event_types.names()).replace(" ", "")


def test_a_third_type_has_its_own_names():
    made = resolve(EVENT, ORDERS)
    names = {
        one["Properties"][key]
        for one in made.resources.values()
        for key in ("DeliveryStreamName", "Name", "AlarmName", "LogGroupName", "PolicyName")
        if key in one["Properties"] and one["Type"] != "AWS::Logs::LogStream"
    }
    assert names == {
        "dataless-order-items", "dataless-order-items-python-etl", "dataless-order-items-scala-etl", "/aws/lambda/dataless-capture-order-items",
        "dataless-capture-order-items-errors", "dataless-capture-order-items-throttles", "dataless-order-items-quota",
        "dataless-order-items-freshness", "dataless-order-items-undelivered", "dataless-order-items-ledger", "dataless-order-items-ledger-missing",
        "dataless-order-items-divergence", "dataless-order-items-refused", "CallNewVersions-order_items", "ShiftTraffic-order_items",
    }  # fmt: skip


def test_a_third_type_has_its_own_folders_and_table():
    made = resolve(EVENT, ORDERS)
    stream = made.resources["DeliveryStream"]["Properties"]["ExtendedS3DestinationConfiguration"]
    assert stream["Prefix"].startswith("data/raw/shop/order_items/year=")
    assert stream["ErrorOutputPrefix"].startswith("data/raw-errors/order_items/!{firehose:error-output-type}/")
    for job in ("PythonETLJob", "ScalaETLJob"):
        assert made.resources[job]["Properties"]["DefaultArguments"]["--table"] == "order_items"
    rights = json.dumps(made.resources["DeliveryRole"]["Properties"]["Policies"])
    assert set(re.findall(r"data/[\w/-]+\*", rights)) == {
        "data/raw/shop/order_items/*",
        "data/raw-errors/order_items/*",
    }
    dimensions = [
        one["Properties"].get("Dimensions", [])
        for one in made.resources.values()
        if one["Type"] == "AWS::CloudWatch::Alarm"
    ]
    assert {each["Value"] for one in dimensions for each in one if each["Name"] == "Table"} == {"order_items"}


@pytest.mark.parametrize("name", ["Orders", "1st", "order-items", "o" * 33, ""])
def test_an_invalid_name_of_an_event_type_is_refused(name):
    with pytest.raises(Refused, match="in lower case, 32 at most"):
        resolve(EVENT, ORDERS | {"EventType": name})
