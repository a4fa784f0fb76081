"""The proxy of `tools/chaos`, started as by `cargo dataless chaos`, with an upstream that records requests."""

import dataclasses
import functools
import http.server
import json
import subprocess
import threading
from pathlib import Path

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".dataless/tools/chaos/bin/python"
PROXY = ROOT / "tools/chaos/proxy.py"


@dataclasses.dataclass
class Received:
    method: str
    path: str
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Upstream:
    """Records every request and answers it with the result of `answers`."""

    def __init__(self):
        self.received = []
        self.answers = lambda request: (200, {"Content-Type": "application/x-amz-json-1.1"}, b"{}")
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                length = int(self.headers.get("Content-Length", 0))
                request = Received(self.command, self.path, dict(self.headers), self.rfile.read(length))
                upstream.received.append(request)
                status, headers, body = upstream.answers(request)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Proxy:
    def __init__(self, folder, upstream, schedule, seed):
        self.schedule = folder / "schedule.json"
        self.log = folder / "faults.ndjson"
        self.schedule.write_text(json.dumps(schedule))
        arguments = ["--listen", "0", "--upstream", upstream, "--schedule", self.schedule, "--log", self.log]
        command = [PYTHON, PROXY, *arguments, "--seed", str(seed)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{json.loads(self.process.stdout.readline())['listening']}"

    def begin(self):
        Path(f"{self.schedule}.start").touch()

    def faults(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self):
        """Stops the proxy and returns its exit status and standard error."""
        self.process.terminate()
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


def always(fault, target="any", **more):
    return {"at": 0, "seconds": 3600, "fault": fault, "share": 1, "target": target, **more}


@functools.cache
def client(service, url, read_timeout=60, attempts=1, **config):
    """Returns an AWS SDK client. By default it does not retry, so that it sees each fault."""
    config = Config(retries={"total_max_attempts": attempts}, read_timeout=read_timeout, proxies={}, **config)
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=url, region_name="us-east-1", config=config, **keys)
