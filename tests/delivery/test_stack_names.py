"""Names of stacks and their resources differ between the two ways to deploy, and between branches."""

import re
import tomllib
from itertools import permutations

import pytest

from rights import WAREHOUSE, warehouse
from templates import ROOT, read


def command_names(text):
    """Returns the stack name for each template in the deploy commands of a page."""
    commands = re.findall(r"cloudformation deploy --template-file (\S+) --stack-name (\S+)", text.replace("\\\n", " "))
    return dict(commands)


@pytest.mark.parametrize("page", ["README.md", "docs/delivery.md"])
def test_a_stack_deployed_by_hand_is_not_one_of_the_pipeline(page):
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))["default"]
    by_hand = settings["global"]["parameters"]["stack_name"]
    pipeline = command_names((ROOT / page).read_text(encoding="utf-8"))["build.yaml"]
    assert by_hand != pipeline
    # Nor is it a stack that the pipeline deploys, for any branch.
    assert not by_hand.startswith(f"{pipeline}-")


@pytest.mark.parametrize(("old", "new"), list(permutations(("template.yaml", "build.yaml", "build-machines.yaml"), 2)))
def test_no_template_can_replace_the_stack_of_another(old, new):
    """CloudFormation refuses to change the type of a resource.

    So a logical id must exist in both templates, without a condition, and with different types.
    """
    before, after = read(ROOT / old)["Resources"], read(ROOT / new)["Resources"]
    kept = [name for name in before.keys() & after.keys() if "Condition" not in before[name] | after[name]]
    assert [name for name in kept if before[name]["Type"] != after[name]["Type"]]


# Resources without a condition that the root template had before its parts moved to nested stacks.
FORMER = {
    "GlueDatabase": "AWS::Glue::Database", "LedgerTable": "AWS::Glue::Table", "ImpressionsDeliveryStream": "AWS::KinesisFirehose::DeliveryStream",
    "LakeJobRole": "AWS::IAM::Role", "DailyPipeline": "AWS::Serverless::StateMachine",
}  # fmt: skip


def test_a_warehouse_without_nested_stacks_is_not_updated():
    """The names of the moved resources already exist.

    A resource cannot change its type, so CloudFormation refuses the update before it creates or deletes any resource.
    """
    resources = read(ROOT / "template.yaml")["Resources"]
    kept = [name for name in FORMER.keys() & resources.keys() if "Condition" not in resources[name]]
    assert [name for name in kept if resources[name]["Type"] != FORMER[name]]
    assert not [name for name in kept if resources[name]["Type"] == FORMER[name]]
    guide = (ROOT / "docs" / "delivery.md").read_text(encoding="utf-8")
    assert all(f"`{name}` would change" in " ".join(guide.split()) for name in kept)


# Types that CloudFormation would name by the logical id alone. Permissions for such names would apply to all branches.
NAMED = {
    "AWS::Glue::Job",
    "AWS::Scheduler::Schedule",
    "AWS::SecretsManager::Secret",
    "AWS::StepFunctions::StateMachine",
}
OPTIONS = {
    "EnableEC2Instance": "yes", "EnableRedshift": "yes", "RedshiftPassword": "Not-a-secret-1", "Orchestrator": "DataPipeline",
    "AccessKeyID": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "not-a-secret",
}  # fmt: skip


def test_resource_names_begin_with_the_stack_name():
    seen = set()
    for name, one in warehouse(**OPTIONS).items():
        if one["Type"] in NAMED:
            seen.add(one["Type"])
            assert (
                one["Properties"].get("Name", one["Properties"].get("StateMachineName", "")).startswith(f"{WAREHOUSE}-")
            ), name
    assert seen == NAMED
