"""The roles of functions, jobs and the state machine allow exactly the calls in the calls.yaml next to their code."""

import pytest
import yaml

import calls
import event_types
from support import iam
from support.combinations import ROOT
from support.processed import all_stacks, listed, warehouse

LISTS = [ROOT / "crates" / "calls.yaml", ROOT / "glue" / "calls.yaml", ROOT / "pipeline" / "calls.yaml"]
OPTIONS = ["defaults", "everything"]

# Roles of AWS services. The repository does not contain the code of their calls. The services document them.
OF_SERVICES = {
    "ApiGatewayLoggingRole", "DailyPipelineScheduleRole", "DeliveryRole", "RawCrawlerRole", "TrafficShiftRole",
}  # fmt: skip
# Stacks with roles of machines, which run third-party software.
OF_MACHINES = {
    f"MachinesStack/{name}Stack" for name in ("DataPipeline", "Emr", "Network", "Redshift", "ScriptInstance")
}


def roles():
    for path in LISTS:
        for name, role in yaml.safe_load(path.read_text(encoding="utf-8"))["roles"].items():
            yield name, role | {"folder": path.parent, "needs": [one for part in role["needs"] for one in part]}


ROLES = dict(roles())


def test_every_role_is_listed():
    made = {
        name
        for place, stack in all_stacks(warehouse("everything"))
        for name, one in stack.resources.items()
        if one["Type"] == "AWS::IAM::Role" and place not in OF_MACHINES
    }
    assert made == set(ROLES) | OF_SERVICES


@pytest.mark.parametrize("name", ROLES)
def test_each_need_has_a_source(name):
    for need in ROLES[name]["needs"]:
        assert need.get("by") or need["source"].startswith("https://"), need


# --- the list and the code ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, role in ROLES.items() if not str(role["code"]).count(".json")])
def test_the_list_matches_the_calls_of_the_code(name):
    role = ROLES[name]
    code = [path for one in role["code"] for path in role["folder"].glob(one)]
    assert len(code) >= len(role["code"])
    found = {action for path in code for action in calls.of(path)}
    assert found == {action for need in role["needs"] if need.get("by") == "code" for action in need["actions"]}


def test_a_client_from_another_module_is_found(tmp_path):
    script = tmp_path / "job.py"
    script.write_text("import boto3, parts\nparts.store(boto3.client('s3'))\n")
    (tmp_path / "parts.py").write_text(
        "def store(client):\n    client.put_object(Key='a')\n\ndef unused(client):\n    client.get_object(Key='a')\n"
    )
    assert calls.of(script) == {"s3:PutObject"}


def test_a_client_is_followed_into_a_package(tmp_path):
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "files.py").write_text(
        "def get(client):\n    client.get_object(Key='a')\n\ndef unused(client):\n    client.delete_object(Key='a')\n"
    )
    (tmp_path / "lake" / "parts.py").write_text(
        "from lake import files\n\ndef store(client):\n    files.get(client)\n    client.put_object(Key='a')\n"
    )
    script = tmp_path / "job.py"
    script.write_text("import boto3\nfrom lake.parts import store\nstore(boto3.client('s3'))\n")
    assert calls.of(script) == {"s3:GetObject", "s3:PutObject"}


def test_the_list_matches_the_calls_of_the_state_machine():
    role = ROLES["DailyPipelineRole"]
    substitutions = warehouse("defaults").one("DailyPipeline")["Properties"]["DefinitionSubstitutions"]
    found = calls.integrations(role["folder"] / role["code"][0], substitutions | {"ParallelDays": "2"})
    assert found == {need["by"] for need in role["needs"] if "by" in need}


# --- the roles and the list -----------------------------------------------------------------------------------------


def stacks_with(name, option):
    """Returns the stacks with a role of this name.

    There can be one for each event type, or none if the option does not create the role.
    """
    return [
        stack for place, stack in all_stacks(warehouse(option)) if name in stack.resources and place not in OF_MACHINES
    ]


def of_each_type(resources):
    """Yields the resources. Repeats a resource with the placeholder `<type>` for each event type."""
    for text in resources:
        yield from sorted({text.replace("<type>", event_types.kebab(one)) for one in event_types.names()})


def wanted(name, stack):
    """Yields (action, ARN, context) for each call that the role needs."""
    resolver = stack.resolver
    bucket = stack.template.parameters.get("ScriptsBucket", "")
    for need in ROLES[name]["needs"]:
        if "condition" in need and not resolver.condition({"Condition": need["condition"]}):
            continue
        context = {key: [resolver.substitute(value)] for key, value in need.get("context", {}).items()}
        for action in need["actions"]:
            for text in of_each_type(need["resources"]):
                arn = resolver.substitute([text, {"Scripts": bucket}])
                # Skip ARNs that the action does not support.
                if arn == "*" or iam.is_about(action, arn):
                    yield action, arn, context


def granted(name, stack, option):
    return iam.statements_of(name, stack, tuple(one for _, one in all_stacks(warehouse(option))))


@pytest.mark.parametrize("name", ROLES)
def test_each_option_creates_the_roles_that_it_needs(name):
    assert len(stacks_with(name, "everything")) == (len(event_types.names()) if name == "CaptureRole" else 1)
    assert bool(stacks_with(name, "defaults")) == (ROLES[name].get("condition") is None)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", ROLES)
def test_the_role_allows_its_calls(name, option):
    for stack in stacks_with(name, option):
        calls_made, statements = list(wanted(name, stack)), granted(name, stack, option)
        problems = {
            f"{action} on {arn}"
            for action, arn, context in calls_made
            if not iam.allowed(statements, action, arn, context)
        }
        assert calls_made and not problems, listed(problems)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", ROLES)
def test_the_role_allows_nothing_else(name, option):
    """Each action and each resource of a statement is necessary for at least one call."""
    problems = set()
    for stack in stacks_with(name, option):
        calls_made = list(wanted(name, stack))
        for statement in granted(name, stack, option):
            if statement.place in ROLES[name].get("unused", []):
                continue
            matching = [(action, arn) for action, arn, context in calls_made if statement.matches(action, arn, context)]
            actions = {action for action, _ in matching}
            problems |= {
                f"{statement.place}: {one} on {statement.resources}" for one in statement.actions if one not in actions
            }
            problems |= {
                f"{statement.place}: {one}"
                for one in statement.resources
                if not any(iam.like(arn, one) for _, arn in matching)
            }
    assert not problems, listed(problems)


def test_needs_have_resources_of_their_actions():
    """An action without resource types accepts only `*`. `wanted` would skip other ARNs."""
    for name, role in ROLES.items():
        for need in role["needs"]:
            for action in need["actions"]:
                if not iam.formats(action):
                    assert need["resources"] == ["*"], f"{name}: {action} takes all resources only"
