"""Serves the page of `cargo dataless dashboard`. Environment variables in addition to those in ../conftest.py:

DATALESS_PROGRAM    the command line program, which serves the page
DATALESS_INSTANCE   "test" for the stack that `cargo dataless test` deployed; otherwise the one of `cargo dataless up`
DATALESS_LOADGEN    the load generator
DATALESS_METRICS_SINK   the program of the metrics sink
"""

import os
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "Warehouse/Advertising"


def required(name):
    value = os.environ.get(name)
    if not value:
        pytest.fail(f"{name} is not set: see tests/dashboard/served.py", pytrace=False)
    return value


class Served:
    """The running command, until it is interrupted."""

    def __init__(self):
        instance = ["--of-tests"] if os.environ.get("DATALESS_INSTANCE") == "test" else []
        self.process = subprocess.Popen(
            [required("DATALESS_PROGRAM"), "dashboard", "--port", "0", *instance],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), "the command printed no address"

    def interrupt(self):
        """Sends Ctrl-C and returns the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=10)
