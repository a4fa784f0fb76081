"""The command on a deployed stack, as a user runs it. Only the environment points it to the emulator."""

import json
import os
import subprocess

import pytest

PROGRAM, STACK = os.environ.get("DATALESS_PROGRAM"), os.environ.get("DATALESS_STACK")


@pytest.fixture(scope="module", autouse=True)
def deployed():
    assert PROGRAM and STACK, "DATALESS_PROGRAM and DATALESS_STACK are not set: these tests need a deployed stack"


def doctor(*arguments):
    return subprocess.run([PROGRAM, "doctor", "--aws", *arguments], capture_output=True, text=True)


def found(done):
    return {one["what"]: one for one in json.loads(done.stdout)}


def test_the_deployed_stack_is_known_as_a_warehouse():
    done = doctor("--json", "--stack", STACK)
    findings = found(done)
    assert os.environ["AWS_ENDPOINT_URL"] in findings["credentials"]["detail"], done.stderr
    assert findings[f"stack {STACK}"]["good"] and "a warehouse" in findings[f"stack {STACK}"]["detail"]
    # Its names are its own.
    assert f"names of {STACK}" not in findings
    assert done.returncode == 0, findings


def test_a_pipeline_may_not_take_its_name():
    done = doctor("--json", "--pipeline-stack", STACK)
    finding = found(done)[f"stack {STACK}"]
    assert finding["stops"] and "is a warehouse (template.yaml)" in finding["detail"]
    assert finding["command"].startswith("aws cloudformation deploy --template-file build.yaml")
    assert done.returncode == 1


def test_a_finding_is_a_line_with_its_mark():
    done = doctor("--stack", STACK)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("✓ credentials ") and any(line.startswith(f"✓ stack {STACK} ") for line in lines)


def test_the_options_of_an_account_need_it():
    done = subprocess.run([PROGRAM, "doctor", "--stack", STACK], capture_output=True, text=True)
    assert done.returncode == 2 and "--aws" in done.stderr
