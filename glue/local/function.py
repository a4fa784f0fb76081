"""The Lambda function that stands in for `glue:startJobRun.sync` in the local state machine.

Takes `{"JobName": …, "Arguments": {…}}`, as Step Functions gives them to Glue, runs the deployed job on real Spark and
responds like Glue. In its environment, `CONFIG` is the file for `launch.py`, and `PYTHON` is Spark's Python.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def handler(event: dict, _context: Any) -> dict:
    config = os.environ["CONFIG"]
    folder = Path(json.loads(Path(config).read_text(encoding="utf-8"))["root"], "glue", "local")
    command: list[str | Path] = [os.environ["PYTHON"], folder / "launch.py", config]
    launched = subprocess.run(command, capture_output=True, text=True, check=False)
    if launched.returncode:
        raise failure(event, launched.stderr)
    sys.path.insert(0, str(folder))
    from launch import call

    answer = call(json.loads(launched.stdout), {"job": event["JobName"], "arguments": event.get("Arguments", {})})
    if not answer["ok"]:
        raise failure(event, f"{answer['error']}\nlog: {answer['log']}")
    return event | {"JobRunState": "SUCCEEDED", "ExecutionTime": round(answer["seconds"])}


def failure(event: dict, message: str) -> Exception:
    """The error that Step Functions reports for a failed Glue job."""
    cause = event | {"JobRunState": "FAILED", "ErrorMessage": message[-4000:]}
    return type("States.TaskFailed", (Exception,), {})(json.dumps(cause))
