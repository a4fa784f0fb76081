"""Checks the stack against its contract with Schemathesis. Exceptions and their reasons are in schemathesis.toml and
hooks.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import contract

HERE = Path(__file__).resolve().parent

# Checks that fail on the emulator but not on AWS.
EMULATOR_LACKS = {
    # In api.yaml, x-amazon-apigateway-any-method routes other methods to the function, which answers 405. MiniStack
    # 1.5.33 does not support that key and answers 403. test_statuses.py and unit tests of the functions check 405.
    "unsupported_method",
}


def test_the_stack_keeps_its_contract(target, tmp_path):
    document = contract.media_types_with_json_text_as_json(contract.load(has_api_key=target.api_key is not None))
    schema = tmp_path / "openapi.json"
    schema.write_text(json.dumps(document), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        str(HERE / "schemathesis.toml"),
        "run",
        str(schema),
    ]
    command += ["--url", target.base_url, "--no-color"]
    if target.is_emulator:
        command += ["--exclude-checks", ",".join(sorted(EMULATOR_LACKS))]
    for name, value in target.headers.items():
        command += ["--header", f"{name}: {value}"]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    print(ended.stdout[-20_000:], ended.stderr[-5_000:])
    assert ended.returncode == 0, "Schemathesis has findings: see its output above"
