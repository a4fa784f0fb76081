"""Roles that functions, jobs and the state machine run under, against the calls that are listed beside their code."""

import calls
import iam
import pytest
import yaml
from combinations import ROOT
from processed import listed, warehouse

LISTS = [ROOT / "crates" / "calls.yaml", ROOT / "glue" / "calls.yaml", ROOT / "pipeline" / "calls.yaml"]
OPTIONS = ["defaults", "everything"]

# Roles of services: what they do is the service's documented behaviour, and not in code of the repository.
OF_SERVICES = {
    "ApiGatewayLoggingRole", "ClicksDeliveryRole", "DailyPipelineScheduleRole", "ImpressionsDeliveryRole", "RawCrawlerRole", "TrafficShiftRole",
}  # fmt: skip


def roles():
    for path in LISTS:
        for name, role in yaml.safe_load(path.read_text(encoding="utf-8"))["roles"].items():
            yield name, role | {"folder": path.parent, "needs": [one for part in role["needs"] for one in part]}


ROLES = dict(roles())


def test_every_role_is_listed():
    made = {name for name, one in warehouse("everything").resources.items() if one["Type"] == "AWS::IAM::Role"}
    assert made == set(ROLES) | OF_SERVICES


@pytest.mark.parametrize("name", ROLES)
def test_the_list_says_where_it_has_it_from(name):
    for need in ROLES[name]["needs"]:
        assert need.get("by") or need["source"].startswith("https://"), need


# --- the list against the code --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, role in ROLES.items() if not str(role["code"]).count(".json")])
def test_the_list_is_what_the_code_calls(name):
    role = ROLES[name]
    found = {action for one in role["code"] for action in calls.of(role["folder"] / one)}
    assert found == {action for need in role["needs"] if need.get("by") == "code" for action in need["actions"]}


def test_a_client_may_be_made_elsewhere(tmp_path):
    script = tmp_path / "job.py"
    script.write_text("import boto3, parts\nparts.store(boto3.client('s3'))\n")
    (tmp_path / "parts.py").write_text("def store(client):\n    client.put_object(Key='a')\n\ndef unused(client):\n    client.get_object(Key='a')\n")
    assert calls.of(script) == {"s3:PutObject"}


def test_a_client_may_be_made_in_a_package(tmp_path):
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "files.py").write_text("def get(client):\n    client.get_object(Key='a')\n\ndef unused(client):\n    client.delete_object(Key='a')\n")
    (tmp_path / "lake" / "parts.py").write_text("from lake import files\n\ndef store(client):\n    files.get(client)\n    client.put_object(Key='a')\n")
    script = tmp_path / "job.py"
    script.write_text("import boto3\nfrom lake.parts import store\nstore(boto3.client('s3'))\n")
    assert calls.of(script) == {"s3:GetObject", "s3:PutObject"}


def test_the_list_is_what_the_state_machine_calls():
    role = ROLES["DailyPipelineRole"]
    substitutions = warehouse("defaults").resources["DailyPipeline"]["Properties"]["DefinitionSubstitutions"]
    found = calls.integrations(role["folder"] / role["code"][0], substitutions | {"ParallelDays": "2"})
    assert found == {need["by"] for need in role["needs"] if "by" in need}


# --- the roles against the list -------------------------------------------------------------------------------------


def wanted(name, option):
    """Actions, ARNs and contexts of the calls with an option; none when the option makes no such role."""
    stack = warehouse(option)
    if name not in stack.resources:
        return
    resolver = stack.resolver
    bucket = stack.template.parameters["ScriptsBucket"] or resolver.physical_id("DataLakeBucket")
    for need in ROLES[name]["needs"]:
        if "condition" in need and not resolver.condition({"Condition": need["condition"]}):
            continue
        context = {key: [resolver.substitute(value)] for key, value in need.get("context", {}).items()}
        for action in need["actions"]:
            for text in need["resources"]:
                arn = resolver.substitute([text, {"Scripts": bucket}])
                # Of the ARNs of a need those count that the action is about.
                if arn == "*" or iam.is_about(action, arn):
                    yield action, arn, context


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", ROLES)
def test_the_role_may_make_its_calls(name, option):
    stack = warehouse(option)
    calls_made = list(wanted(name, option))
    assert bool(calls_made) == (name in stack.resources)
    granted = iam.statements_of(name, stack) if calls_made else []
    problems = {f"{action} on {arn}" for action, arn, context in calls_made if not iam.allowed(granted, action, arn, context)}
    assert not problems, listed(problems)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", ROLES)
def test_the_role_may_make_no_others(name, option):
    """Each action of a statement, and each of its resources, is what a call needs."""
    stack = warehouse(option)
    calls_made = list(wanted(name, option))
    problems = set()
    for statement in iam.statements_of(name, stack) if calls_made else []:
        if statement.place in ROLES[name].get("unused", []):
            continue
        matching = [(action, arn) for action, arn, context in calls_made if statement.matches(action, arn, context)]
        problems |= {f"{statement.place}: {one} on {statement.resources}" for one in statement.actions if one not in {a for a, _ in matching}}
        problems |= {f"{statement.place}: {one}" for one in statement.resources if not any(iam.like(arn, one) for _, arn in matching)}
    assert not problems, listed(problems)


def test_needs_are_about_something():
    """An ARN that none of its actions is about would never be asked for."""
    for name, role in ROLES.items():
        for need in role["needs"]:
            for action in need["actions"]:
                if not iam.formats(action):
                    assert need["resources"] == ["*"], f"{name}: {action} takes all resources only"
