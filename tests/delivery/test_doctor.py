"""Runs `dataless doctor --aws` on a deployed stack, as a user does. The environment points it to the emulator."""

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


def test_the_deployed_stack_is_recognized_as_a_warehouse():
    done = doctor("--json", "--stack", STACK)
    findings = found(done)
    assert os.environ["AWS_ENDPOINT_URL"] in findings["credentials"]["detail"], done.stderr
    assert findings[f"stack {STACK}"]["good"] and "a warehouse" in findings[f"stack {STACK}"]["detail"]
    # The stack's own names are not reported as taken.
    assert f"names of {STACK}" not in findings
    assert done.returncode == 0, findings


def test_a_pipeline_cannot_use_the_name_of_a_warehouse():
    done = doctor("--json", "--pipeline-stack", STACK)
    finding = found(done)[f"stack {STACK}"]
    assert finding["stops"] and "is a warehouse (template.yaml)" in finding["detail"]
    assert finding["command"].startswith("aws cloudformation deploy --template-file build.yaml")
    assert done.returncode == 1


def test_each_finding_is_one_line_with_a_mark():
    done = doctor("--stack", STACK)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("✓ credentials ") and any(line.startswith(f"✓ stack {STACK} ") for line in lines)


def test_account_options_require_aws():
    done = subprocess.run([PROGRAM, "doctor", "--stack", STACK], capture_output=True, text=True)
    assert done.returncode == 2 and "--aws" in done.stderr
