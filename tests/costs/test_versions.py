"""How long the data lake bucket keeps replaced objects: raw by the parameter, derived data for a day."""

import pytest

import event_types
import templates

TEMPLATE = templates.read(templates.ROOT / "template.yaml")
RESOURCES = TEMPLATE["Resources"]
RULES = RESOURCES["DataLakeBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]


def days_kept(key):
    """Days until S3 deletes a noncurrent version of an object. Where rules overlap, the shorter expiry counts.

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


def test_there_are_tables_that_jobs_derive():
    # The types' own, advertising, ad_traffic, the rejected lines and the ledger.
    assert len(DERIVED) == len(event_types.names()) + 4


@pytest.mark.parametrize("key", [*DERIVED, "data/loaded/ad_traffic/", "temp/redshift/", "athena-results/", "logs/emr/"])
def test_what_can_be_made_again_is_kept_for_a_day_or_two(key):
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
def test_what_cannot_is_kept_as_the_parameter_says(key):
    assert days_kept(key) == 30
