"""Tests the whole program: invalid credentials, missing permissions, and its documentation."""

import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import doctor
import runnable
import templates
from account import calls, deployments, stop

PROGRAM = templates.ROOT / "tools" / "delivery" / "doctor.py"


class Refusal(BaseHTTPRequestHandler):
    """Answers every call with an error, in the format of the request's protocol."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        known = b"Action=GetCallerIdentity" in body and self.server.identity
        if b"Action=" in body:
            answer = (
                self.server.identity
                if known
                else f"<ErrorResponse><Error><Code>{self.server.error}</Code></Error></ErrorResponse>"
            )
        else:
            answer = json.dumps({"__type": self.server.error, "Code": self.server.error})
        self.send_response(200 if known else 400)
        self.send_header("x-amzn-ErrorType", self.server.error)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    do_GET = do_POST

    def log_message(self, *_):
        pass


IDENTITY = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::123456789012:user/reader</Arn><UserId>A</UserId><Account>123456789012</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""


@pytest.fixture
def refusing(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
    server.error, server.identity = "AccessDeniedException", None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.shutdown()
    server.server_close()


def run(*arguments):
    done = subprocess.run([sys.executable, PROGRAM, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for one in found:
        if one["command"]:
            runnable.check(one["command"])
    return found


# --- credentials ------------------------------------------------------------------------------------------------------


def test_missing_credentials_are_reported_with_a_command(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (found,) = run("--region", "us-east-1")
    assert found["stops"] and found["detail"].startswith("none were found") and found["command"] == "aws configure"


@pytest.mark.parametrize(
    ("error", "detail", "command"),
    [
        ("ExpiredToken", "they have expired", "aws sso login"),
        ("InvalidClientTokenId", "AWS rejects them, or us-east-1 is not enabled", "aws configure list"),
        ("Throttled", "An error occurred (Throttled)", None),
    ],
)
def test_credentials_refused_by_aws_stop_the_run(refusing, error, detail, command):
    refusing.error = error
    (found,) = run("--region", "us-east-1")
    assert found["stops"] and found["what"] == "credentials"
    assert found["detail"].startswith(detail) and found["command"] == command


def test_an_expired_login_stops_the_run(monkeypatch, tmp_path):
    (tmp_path / "config").write_text("""[profile work]
sso_start_url = https://example.awsapps.com/start
sso_region = us-east-1
sso_account_id = 123456789012
sso_role_name = reader
region = eu-west-1
""")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    (found,) = run("--profile", "work")
    assert found["stops"] and found["command"] == "aws sso login --profile work"


def test_an_unreachable_address_stops_the_run(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    (found,) = run("--region", "us-east-1")
    assert found["stops"] and found["detail"].startswith("could not reach AWS")


def test_a_missing_profile_stops_the_run():
    (found,) = run("--profile", "nobody", "--region", "us-east-1")
    assert found["stops"] and "nobody" in found["detail"] and found["command"] == "aws configure list-profiles"


def test_without_a_region_nothing_is_checked():
    (found,) = run()
    assert found["stops"] and found["what"] == "Region"


def test_the_region_is_from_the_option_or_the_environment(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    seen = []
    monkeypatch.setattr(doctor, "identify", lambda account, profile: seen.append(account.region) or stop("", ""))
    doctor.findings(doctor.parser().parse_args(["--region", "eu-west-1"]))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    doctor.findings(doctor.parser().parse_args([]))
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    doctor.findings(doctor.parser().parse_args([]))
    assert seen == ["eu-west-1", "us-west-2", "eu-north-1"]


# --- missing permissions ----------------------------------------------------------------------------------------------


def test_without_permissions_each_missing_action_is_reported(refusing):
    refusing.identity = IDENTITY
    identity, *found = run("--region", "us-east-1")
    assert identity["good"] and "account 123456789012 in us-east-1 at http://127.0.0.1" in identity["detail"]
    assert len(found) > 8
    assert all(one["detail"].startswith("could not check: needs ") and not one["stops"] for one in found), found
    assert "stack dataless-main" in {one["what"] for one in found}


# --- what is checked --------------------------------------------------------------------------------------------------


def stacks_of(*arguments):
    return [(one.stack, one.file) for one in doctor.planned(doctor.parser().parse_args(list(arguments)))]


def test_without_names_both_ways_to_deploy_are_checked():
    name = deployments.samconfig_stack(templates.ROOT / "samconfig.toml")
    pipeline = deployments.PIPELINE_STACK
    assert stacks_of() == [(name, "template.yaml"), (pipeline, "build.yaml"), (f"{pipeline}-main", "template.yaml")]


def test_a_name_selects_one_way_to_deploy():
    assert stacks_of("--stack", "mine") == [("mine", "template.yaml")]
    assert stacks_of("--pipeline-stack", "ours") == [("ours", "build.yaml"), ("ours-main", "template.yaml")]


def test_parameters_are_the_same_as_in_a_deployment(tmp_path):
    (tmp_path / "samconfig.toml").write_text("""
[default.global.parameters]
stack_name = "mine"
[default.deploy.parameters]
parameter_overrides = "LookbackDays=5"
""")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "next.json").write_text('{"Parameters": {"LookbackDays": 7}}')
    by_hand = deployments.by_hand(None, tmp_path)
    assert (by_hand.stack, by_hand.parameters) == ("mine", {"LookbackDays": "5"})
    _, warehouse = deployments.by_pipeline("ours", "next", tmp_path)
    assert (warehouse.stack, warehouse.source, warehouse.parameters) == (
        "ours-next",
        "config/next.json",
        {"LookbackDays": 7},
    )


def test_a_branch_without_configuration_stops(refusing):
    refusing.identity = IDENTITY
    _, found = run("--region", "us-east-1", "--pipeline-stack", "ours", "--branch", "nowhere")
    assert found["stops"] and "config/nowhere.json does not exist" in found["detail"]


def test_a_new_account_with_sufficient_quotas_has_no_problems(account, large):
    large()
    found = list(doctor.examine(account, doctor.planned(doctor.parser().parse_args(["--pipeline-stack", "shop"]))))
    assert [one for one in found if not one.good] == []
    assert {"stack shop", "stack shop-main", "names of shop-main", "services in us-east-1"} <= {
        one.what for one in found
    }


# --- the documentation ------------------------------------------------------------------------------------------------

GUIDE = (templates.ROOT / "docs" / "delivery.md").read_text(encoding="utf-8")


def test_the_pipelines_stack_has_the_name_of_the_documentation():
    text = GUIDE + (templates.ROOT / "README.md").read_text(encoding="utf-8")
    # A pipeline of another branch has another stack name.
    commands = re.findall(r"aws cloudformation deploy --template-file build\.yaml(?:\\\n|[^\n`])*", text)
    named = [re.search(r"--stack-name (\S+)", command)[1] for command in commands if "Branch=" not in command]
    assert named and set(named) == {deployments.PIPELINE_STACK}


def test_the_policy_in_the_guide_has_exactly_the_actions():
    (policy,) = re.findall(r"```json\n(\{[^`]*servicequotas:[^`]*)```", GUIDE)
    (statement,) = json.loads(policy)["Statement"]
    assert statement["Action"] == sorted(set(calls.ACTIONS.values()), key=str.lower)


def test_every_action_is_read_only():
    assert all(
        re.fullmatch(r"[a-z]+:(Get|List|Describe|BatchGet)[A-Za-z]+|apigateway:GET", action)
        for action in calls.ACTIONS.values()
    )


def test_the_guide_names_each_option():
    options = {option for action in doctor.parser()._actions for option in action.option_strings} - {"-h", "--help"}
    section = GUIDE.split("## Before the first push")[1].split("\n## ")[0]
    assert options == set(re.findall(r"`(--[a-z-]+)", section)) - {"--aws", "--json"}
