"""Before the build, the event types of a commit are compared with the deployed event types."""

import os
import subprocess

import pytest
import yaml

from rights import granting
from templates import ROOT

SCRIPT = ROOT / "tools" / "delivery" / "deployed_events.sh"
BUCKET = "<ArtifactBucket.Arn>"
LOCATION = "s3://artifacts/scripts/7"

MISSING = "An error occurred (ValidationError) when calling the DescribeStacks operation: Stack with id dataless-main does not exist"
DENIED = "An error occurred (AccessDenied) when calling the DescribeStacks operation: not authorized"


@pytest.fixture
def fetch(tmp_path):
    """Returns a function that runs the script with a fake `aws`. It returns the ended process and the fetched files."""

    def run(described, error=""):
        aws = tmp_path / "bin" / "aws"
        aws.parent.mkdir(exist_ok=True)
        aws.write_text(
            f"""#!/usr/bin/env bash
case "$1 $2" in
  "cloudformation describe-stacks")
    [[ "$3 $4" == "--stack-name dataless-main" ]] || exit 9
    echo "{described}"; echo "{error}" >&2; exit {254 if error else 0} ;;
  "s3 cp") [[ "$3" == "{LOCATION}/events/" ]] || exit 9; echo "{{}}" > "$4/clicks.json" ;;
  *) exit 9 ;;
esac
"""
        )
        aws.chmod(0o755)
        folder = tmp_path / "deployed"
        folder.mkdir(exist_ok=True)
        (folder / "of-another-build.json").write_text("{}")
        path = f"{aws.parent}:{os.environ['PATH']}"
        ended = subprocess.run(
            ["bash", str(SCRIPT), "dataless-main", str(folder)],
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
        )
        return ended, sorted(one.name for one in folder.iterdir())

    return run


def test_the_schemas_of_the_deployed_warehouse_are_fetched(fetch):
    ended, files = fetch(LOCATION)
    assert (ended.returncode, files) == (0, ["clicks.json"]), ended.stderr


@pytest.mark.parametrize(("described", "error"), [("", MISSING), ("None", "")], ids=["no stack", "no outputs"])
def test_a_first_deployment_fetches_no_schemas(fetch, described, error):
    ended, files = fetch(described, error)
    assert (ended.returncode, files) == (0, []), ended.stderr


def test_an_error_of_aws_ends_the_build(fetch):
    ended, _ = fetch("", DENIED)
    assert ended.returncode != 0 and DENIED in ended.stderr


def test_event_types_are_compared_before_tests_and_build():
    commands = yaml.safe_load((ROOT / "buildspec.yml").read_text(encoding="utf-8"))["phases"]["pre_build"]["commands"]
    (asked,) = [number for number, one in enumerate(commands) if "events check --against" in one]
    assert "deployed_events.sh" in commands[asked - 1] and asked < commands.index("$TESTS")
    folder = commands[asked - 1].split()[-1]
    assert f"--against {folder} " in commands[asked]


@pytest.mark.parametrize(("variable", "expected"), [("", []), ("orders,refunds", ["--allow", "orders,refunds"])])
def test_a_commit_can_allow_incompatible_types(tmp_path, variable, expected):
    commands = yaml.safe_load((ROOT / "buildspec.yml").read_text(encoding="utf-8"))["phases"]["pre_build"]["commands"]
    (command,) = [one for one in commands if "events check --against" in one]
    cargo = tmp_path / "cargo"
    cargo.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@"\n')
    cargo.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "INCOMPATIBLE_EVENT_TYPES": variable}
    printed = subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert printed.split("\n")[:-1] == [
        "dataless",
        "events",
        "check",
        "--against",
        ".dataless/delivery/deployed-events",
        *expected,
    ]


def test_the_build_may_read_only_the_schemas_of_a_deployment():
    assert granting("s3:GetObject", f"{BUCKET}/scripts/1/events/orders.json", "BuildRole")
    assert granting("s3:GetObject", f"{BUCKET}/scripts/1/glue/etl.py", "BuildRole") == []
    stack = "arn:aws:cloudformation:us-east-1:123456789012:stack"
    assert granting("cloudformation:DescribeStacks", f"{stack}/dataless-main/1", "BuildRole")
    assert granting("cloudformation:UpdateStack", f"{stack}/dataless-main/1", "BuildRole") == []
    assert granting("cloudformation:DescribeStacks", f"{stack}/another/1", "BuildRole") == []
