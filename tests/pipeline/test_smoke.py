"""Runs the commands of the smoke test in docs/aws-readiness.md as they are, as in a new account."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PAGE = (ROOT / "docs/aws-readiness.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```sh\n(.*?)^```$", PAGE.split("### Smoke test\n")[1], re.MULTILINE | re.DOTALL)


def test_the_smoke_test_prints_the_documented_output():
    assert len(COMMANDS) == 3
    tools = Path(os.environ["DATALESS_SPARK_PYTHON"]).parent
    script = "".join(f"{commands}\necho\necho ---\n" for commands in COMMANDS)
    # The only difference: the API's host name on AWS does not resolve to an emulator.
    assert script.count("BASE_URL=$(output BaseURL)\n") == 1
    script = script.replace("BASE_URL=$(output BaseURL)", f"BASE_URL={os.environ['DATALESS_BASE_URL']}")
    today = time.strftime("%F", time.gmtime())
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=os.environ | {"STACK": os.environ["DATALESS_STACK"], "PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stderr
    if time.strftime("%F", time.gmtime()) != today:
        pytest.skip("midnight (UTC) passed: the event is of the day before the one that was asked for")
    acknowledged, stored, answered = (part.strip() for part in ended.stdout.split("---\n")[:3])
    answer = json.loads(acknowledged)
    assert len(answer["records"][0].pop("id")) == 36
    assert answer == {"failed_count": 0, "records": [{"failed": False}]}
    assert f"year={today[:4]}/month={today[5:7]}/day={today[8:]}/hour=" in stored
    status, traffic = answered.splitlines()
    assert status == "SUCCEEDED"
    expected = {"day": today, "impressions": 1, "clicks": 0, "clickthrough_rate": 0.0}
    assert json.loads(traffic) == {"start": today, "end": today, "count": 1, "days": [expected]}
