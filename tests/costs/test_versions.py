"""The data lake bucket keeps replaced raw objects as long as the parameter says, and derived data for a day."""

import pytest

import event_types
import templates

TEMPLATE = templates.read(templates.ROOT / "template.yaml")
RESOURCES = TEMPLATE["Resources"]
RULES = RESOURCES["DataLakeBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]


def days_kept(key):
    """Returns the days until S3 deletes a noncurrent version of an object. Of overlapping rules, the shortest applies.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-conflicts.html
    """
    days = [
        rule["NoncurrentVersionExpiration"]["NoncurrentDays"]
        for rule in RULES
        if rule["Status"] == "Enabled"
        and "NoncurrentVersionExpiration" in rule
        and key.startswith(rule.get("Prefix", ""))
    ]
    return min(TEMPLATE["Parameters"][one["Ref"]]["Default"] if isinstance(one, dict) else one for one in days)


def table_locations():
    for table in templates.read(templates.ROOT / "stacks" / "tables.yaml")["Resources"].values():
        if table["Type"] == "AWS::Glue::Table":
            yield table["Properties"]["TableInput"]["StorageDescriptor"]["Location"]["Fn::Sub"].removeprefix(
                "s3://${DataLakeBucket}/"
            )


DERIVED = [location for location in table_locations() if not location.startswith("data/raw/")]


def test_derived_tables_are_found():
    # One table for each event type, advertising, ad_traffic, the rejected lines and the ledger.
    assert len(DERIVED) == len(event_types.names()) + 4


@pytest.mark.parametrize("key", [*DERIVED, "data/loaded/ad_traffic/", "temp/redshift/", "athena-results/", "logs/emr/"])
def test_replaceable_data_is_kept_for_a_day_or_two(key):
    assert days_kept(key) in (1, 2)


@pytest.mark.parametrize(
    "key",
    [
        "data/raw/ad/impressions/",
        "data/raw/ad/clicks/",
        "data/raw-errors/impressions/",
        "data/erasing/",
        "scripts/glue/etl.py",
    ],
)
def test_irreplaceable_data_is_kept_as_the_parameter_says(key):
    assert days_kept(key) == 30
