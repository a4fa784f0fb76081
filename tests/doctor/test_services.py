"""Services that a Region does not offer are reported."""

import dataclasses

import pytest

import templates
from account import services


def test_each_service_in_the_templates_has_a_known_name():
    names = ("template.yaml", "build.yaml", "build-machines.yaml")
    files = [*(templates.ROOT / name for name in names), *(templates.ROOT / "stacks").glob("*.yaml")]
    types = {resource["Type"] for file in files for resource in templates.read(file)["Resources"].values()}
    known = [kind for kind in types if kind in services.SAM_SERVICES or kind.rsplit("::", 1)[0] in services.SERVICES]
    assert sorted(types - set(known)) == []


def test_aws_lists_the_service_names(account):
    """moto has a copy of AWS's public SSM parameters."""
    names = sorted({*services.SERVICES.values(), *(name for made in services.SAM_SERVICES.values() for name in made)})
    paths = [f"/aws/service/global-infrastructure/regions/us-east-1/services/{name}" for name in names]
    batches = [
        paths[start : start + services.MAX_PARAMETERS] for start in range(0, len(paths), services.MAX_PARAMETERS)
    ]
    assert [account.client("ssm").get_parameters(Names=batch)["InvalidParameters"] for batch in batches] == [[]] * len(
        batches
    )


def test_a_region_with_all_services_is_good(account, pipeline, warehouse):
    (found,) = services.check(account, [pipeline, warehouse])
    assert found.good and found.what == "services in us-east-1"


def test_the_optional_parts_need_more(account, warehouse):
    assert "redshift" not in services.needed(account, [warehouse])
    with_redshift = dataclasses.replace(warehouse, parameters={"EnableRedshift": "yes"})
    assert {"redshift", "ec2"} <= set(services.needed(account, [with_redshift]))


def offers_all_but(stub, account, wanted, missing):
    prefix = "/aws/service/global-infrastructure/regions/us-east-1/services/"
    names = services.needed(account, wanted)
    for start in range(0, len(names), services.MAX_PARAMETERS):
        part = names[start : start + services.MAX_PARAMETERS]
        invalid = [prefix + name for name in part if name in missing]
        stub("ssm", "get_parameters", {"InvalidParameters": invalid} if invalid else {})


@pytest.mark.parametrize(("missing", "stops"), [("scheduler", True), ("codepipeline", True), ("codecommit", False)])
def test_a_service_that_is_not_offered(account, stub, pipeline, warehouse, missing, stops):
    wanted = [pipeline, warehouse]
    offers_all_but(stub, account, wanted, [missing])
    (found,) = services.check(account, wanted)
    assert not found.good and found.stops == stops
    assert (
        found.detail.startswith(f"{missing} is not offered")
        and found.command == "cargo dataless doctor --aws --region us-east-1"
    )


def test_a_region_without_a_service_list_is_not_checked(account, warehouse):
    account.region = "xx-nowhere-1"
    (found,) = services.check(account, [warehouse])
    assert not found.good and not found.stops and found.detail.startswith("could not check")


@pytest.mark.parametrize(("partition", "stops"), [("aws", []), ("aws-us-gov", [False])])
def test_another_partition(account, partition, stops):
    account.partition = partition
    assert [one.stops for one in services.check_partition(account)] == stops


@pytest.mark.parametrize(
    ("image", "good"),
    [
        ("aws/codebuild/amazonlinux-aarch64-standard:4.0", True),
        ("aws/codebuild/amazonlinux-x86_64-standard:5.0", False),
    ],
)
def test_the_build_image_must_be_in_the_list_of_codebuild(account, stub, pipeline, image, good):
    languages = [{"language": "JAVA", "images": [{"name": image, "description": "", "versions": []}]}]
    stub(
        "codebuild",
        "list_curated_environment_images",
        {"platforms": [{"platform": "AMAZON_LINUX_2", "languages": languages}]},
    )
    (found,) = services.check_image(account, [pipeline])
    assert found.good == good and not found.stops
    assert "aws/codebuild/amazonlinux-aarch64-standard:4.0" in found.detail
