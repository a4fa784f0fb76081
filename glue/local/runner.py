"""Runs the deployed Glue jobs of a local warehouse in one warm Spark session, one job at a time.

Started by `launch.py`. A request is one line of JSON over TCP on the loopback interface, with the token of the address
file; so is the answer: {"ok": bool, "output": text, "error": text, "log": path, "seconds": number}.

    {"job": NAME, "arguments": {…}}     a deployed Glue job: its script, its default arguments and these
    {"script": PATH, "args": […]}       a script of the repository; its standard output is the output
    {"ping": true}, {"stop": true}

Before each request the bucket is downloaded, and what a job wrote is uploaded afterwards. A caller that disconnects
cancels its job. The runner exits after a while without requests, or when the emulator is gone.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import queue
import runpy
import secrets
import signal
import socket
import socketserver
import sys
import threading
import time
import traceback
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import boto3
import botocore.session
from botocore.config import Config
from pyspark import cloudpickle
from pyspark.sql import SparkSession

import catalog
import java_names
from mirror import Mirror

# What this job removes must not stay in the bucket as an earlier version. It deletes the versions that it finds by
# itself.
FOR_GOOD = "erase.py"

# Limits of a request's size and time. Anyone on the machine can connect.
MAX_REQUEST_BYTES = 1_000_000
REQUEST_SECONDS = 10.0

IDLE_SECONDS = 300
WATCH_SECONDS = 1.0


@dataclass
class Request:
    """A request in progress; `done` carries the answer."""

    fields: dict[str, Any]
    done: queue.Queue = field(default_factory=lambda: queue.Queue(1))
    cancelled: threading.Event = field(default_factory=threading.Event)


class Runner:
    """Spark, the mirror of the bucket, and the catalog."""

    def __init__(self, config_path: Path):
        self.config_path = config_path
        self.config: dict[str, Any] = {}
        self.spark = SparkSession.builder.appName("dataless").enableHiveSupport().getOrCreate()
        java_names.remember(self.spark)
        # Opens the metastore, which takes seconds.
        self.spark.sql("SHOW DATABASES").collect()

    def attach(self) -> None:
        """Reads the stack from the configuration. A runner may be started while the stack is still being deployed."""
        config = json.loads(self.config_path.read_text(encoding="utf-8"))
        if config == self.config:
            return
        if "bucket" not in config:
            raise RuntimeError("the stack is not deployed yet")
        self.config = config
        self.bucket, self.database = config["bucket"], config["database"]
        self.folder = Path(config["instance"]) / "s3" / self.bucket
        self.folder.mkdir(parents=True, exist_ok=True)
        clients = Config(max_pool_connections=16, s3={"addressing_style": "path"})
        session = boto3.Session(botocore_session=session_of_texts())
        self.glue = session.client("glue", config=clients)
        s3 = session.client("s3", config=clients)
        self.mirror = Mirror(s3, self.bucket, self.folder, ["data/"])
        # A separate folder, even for the same bucket: no job writes there.
        scripts = Path(config["instance"]) / "s3" / "scripts"
        scripts.mkdir(parents=True, exist_ok=True)
        self.scripts = Mirror(s3, config["scripts_bucket"], scripts, [config["scripts"] + "/"])
        self.scripts_root = f"s3://{config['scripts_bucket']}/{config['scripts']}/"
        # The tables in the metastore, which outlives this process.
        self.tables_path = Path(config["instance"]) / "spark" / "tables.json"
        self.tables: dict[str, dict[str, Any]] = read_json(self.tables_path)

    @property
    def local_uri(self) -> str:
        return f"file://{self.folder}/"

    def localize(self, text: str) -> str:
        text = text.replace(self.scripts_root, f"file://{self.scripts.folder}/{self.config['scripts']}/")
        return text.replace(f"s3://{self.bucket}/", self.local_uri)

    def refresh(self) -> None:
        """Downloads what has changed in the bucket, and recreates the affected tables."""
        self.scripts.fetch()
        changed = self.mirror.fetch()
        pages = self.glue.get_paginator("get_tables").paginate(DatabaseName=self.database)
        deployed = {table["Name"]: describe(table) for page in pages for table in page["TableList"]}
        root = f"s3://{self.bucket}/"
        stale = [
            table
            for name, table in deployed.items()
            if self.tables.get(name) != table
            or any((root + key).startswith(table["StorageDescriptor"]["Location"]) for key in changed)
        ]
        for statement in catalog.statements(stale, {root: self.local_uri}):
            self.spark.sql(statement)
        self.tables = deployed
        self.tables_path.write_text(json.dumps(deployed), encoding="utf-8")

    def run_job(self, name: str, arguments: dict[str, str]) -> None:
        job = self.glue.get_job(JobName=name)["Job"]
        defaults = job.get("DefaultArguments", {})
        script = self.script(job["Command"]["ScriptLocation"])
        merged = {"--JOB_NAME": name} | defaults | arguments
        argv = [part for key, value in merged.items() for part in (key, self.localize(str(value)))]
        for_good = script.name == FOR_GOOD
        if for_good:
            argv += ["--versions_path", f"s3://{self.bucket}/data"]
        self.refresh()
        try:
            if defaults.get("--job-language") == "scala":
                import scala  # Compiles; few need it.

                jar = scala.compile(script, Path(self.config["instance"]) / "spark" / "scala")
                scala.run(self.spark, jar, defaults.get("--class", "GlueApp"), argv)
            else:
                libraries = [self.script(path) for path in defaults.get("--extra-py-files", "").split(",") if path]
                run_script(script, argv, libraries)
        finally:
            # What was complete when a job failed is uploaded too, as on AWS.
            self.mirror.put_back(for_good)

    def script(self, location: str) -> Path:
        if not location.startswith(self.scripts_root):
            raise RuntimeError(f"{location} is not below {self.scripts_root}")
        return self.scripts.path(f"{self.config['scripts']}/{location.removeprefix(self.scripts_root)}")


def session_of_texts() -> botocore.session.Session:
    """A session whose answers have times as texts. Parsing the time of each object is two thirds of the cost of a listing,
    and nothing here reads it."""
    session = botocore.session.get_session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
    return session


def drop_views(spark: SparkSession) -> None:
    """Drops the session's temporary views. On Glue they end with the job; here they would hide tables of the same
    names."""
    spark._jsparkSession.sessionState().catalog().clearTempTables()


def read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def describe(table: dict[str, Any]) -> dict[str, Any]:
    """A table without the fields that change with every deployment."""
    return {
        name: table.get(name) for name in ("DatabaseName", "Name", "StorageDescriptor", "PartitionKeys", "Parameters")
    }


def run_script(script: Path, argv: list[str], libraries: list[Path]) -> None:
    """Runs a script as `spark-submit` would, in this process. Raises what it raises; `SystemExit` only when it failed.

    A library is a module, or a zip of packages, which take precedence over folders of the same name beside the script.
    """
    zips = [path for path in libraries if path.suffix == ".zip"]
    folders = [path.parent for path in libraries if path not in zips]
    places = [str(place) for place in dict.fromkeys([*zips, script.parent, *folders])]
    before = set(sys.modules)
    sys.path[:0] = places
    # A zip may have changed since the last run.
    importlib.invalidate_caches()
    arguments, sys.argv = sys.argv, [str(script), *argv]
    try:
        for name in [name for library in libraries for name in module_names(library)]:
            # Executors get functions with their code, so that they run the new version once the file changes.
            cloudpickle.register_pickle_by_value(importlib.import_module(name))
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.argv = arguments
        del sys.path[: len(places)]
        # These modules may change before the next run.
        for name in set(sys.modules) - before:
            path = getattr(sys.modules[name], "__file__", None) or ""
            if any(path.startswith(place) for place in places):
                module = sys.modules.pop(name)
                if module.__name__ in cloudpickle.list_registry_pickle_by_value():
                    cloudpickle.unregister_pickle_by_value(module)


def module_names(library: Path) -> list[str]:
    """The modules of a library, packages before their contents."""
    if library.suffix != ".zip":
        return [library.stem]
    with zipfile.ZipFile(library) as archive:
        paths = sorted(name.removesuffix(".py") for name in archive.namelist() if name.endswith(".py"))
    return [path.removesuffix("/__init__").replace("/", ".") for path in paths]


def answer_to(runner: Runner, request: Request) -> dict[str, Any]:
    """Runs the request; its output goes to a separate log."""
    fields = request.fields
    name = fields.get("job") or Path(fields["script"]).stem
    log = runner.config_path.parent.parent / "logs" / f"spark-{name}.log"
    output, started = io.StringIO(), time.monotonic()
    error = ""
    with log.open("a", encoding="utf-8", buffering=1) as written:
        out = output if "script" in fields else Tee([output, written])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(written):
            try:
                runner.attach()
                drop_views(runner.spark)
                if "job" in fields:
                    runner.run_job(fields["job"], fields.get("arguments", {}))
                else:
                    runner.refresh()
                    run_script(Path(fields["script"]), [runner.localize(word) for word in fields.get("args", [])], [])
            except KeyboardInterrupt:
                error = "cancelled"
            except SystemExit as end:
                error = str(end.code)
            except Exception as failure:
                traceback.print_exc()
                error = describe_failure(failure)
    return {
        "ok": not error,
        "output": output.getvalue(),
        "error": error,
        "log": str(log),
        "seconds": time.monotonic() - started,
    }


def describe_failure(failure: Exception) -> str:
    """The error without Java's stack trace, which is in the log."""
    lines = f"{type(failure).__name__}: {failure}".splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(("at ", "... ")))


class Tee(io.TextIOBase):
    """Writes to several files."""

    def __init__(self, files: list[Any]):
        self.files = files

    def write(self, text: str) -> int:
        for file in self.files:
            file.write(text)
        return len(text)


class Server(socketserver.ThreadingTCPServer):
    """Accepts requests while a job runs; the main thread runs them one by one, since PySpark needs it."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, requests: queue.Queue):
        super().__init__(("127.0.0.1", 0), Connection)
        self.requests = requests
        self.token = secrets.token_hex(16)
        self.current: Request | None = None


class Connection(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        fields = self.fields()
        if not secrets.compare_digest(
            str(fields.get("token", "")).encode(errors="replace"), self.server.token.encode()
        ):
            return
        if fields.get("ping"):
            self.reply({"ok": True})
            return
        request = Request(fields)
        self.server.requests.put(request)
        while True:
            with contextlib.suppress(queue.Empty):
                self.reply(request.done.get(timeout=0.2))
                return
            if self.hung_up() and not request.cancelled.is_set():
                request.cancelled.set()
                if self.server.current is request:
                    os.kill(os.getpid(), signal.SIGINT)

    def fields(self) -> dict[str, Any]:
        """The request; None when it is not valid."""
        with contextlib.suppress(ValueError, RecursionError, OSError):
            fields = json.loads(self.line())
            return fields if isinstance(fields, dict) else {}
        return {}

    def line(self) -> bytes:
        """The first line. Raises `TimeoutError` when it is not complete in time, even if parts keep arriving."""
        until, text = time.monotonic() + REQUEST_SECONDS, bytearray()
        while b"\n" not in text and len(text) < MAX_REQUEST_BYTES:
            self.connection.settimeout(max(0.001, until - time.monotonic()))
            if not (more := self.connection.recv(MAX_REQUEST_BYTES - len(text))):
                break
            text += more
        self.connection.settimeout(None)
        return bytes(text.partition(b"\n")[0])

    def reply(self, answer: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self.wfile.write(json.dumps(answer).encode() + b"\n")

    def hung_up(self) -> bool:
        try:
            return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


class Watch(threading.Thread):
    """Ends the process when it is no longer needed."""

    def __init__(self, server: Server, endpoint: str):
        super().__init__(daemon=True)
        self.server, self.endpoint = server, urlparse(endpoint)
        self.last_used = time.monotonic()

    def run(self) -> None:
        misses = 0
        while True:
            time.sleep(WATCH_SECONDS)
            misses = 0 if self.emulator_listens() else misses + 1
            if self.server.current or not self.server.requests.empty():
                self.last_used = time.monotonic()
            if misses >= 3 or time.monotonic() - self.last_used > IDLE_SECONDS:
                # The JVM ends when its standard input closes, which this process owns.
                os.killpg(os.getpgid(0), signal.SIGKILL)

    def emulator_listens(self) -> bool:
        try:
            socket.create_connection((self.endpoint.hostname, self.endpoint.port), timeout=5).close()
            return True
        except OSError:
            return False


def write_address(config: dict[str, Any], server: Server) -> None:
    """Publishes the address, readable only by this user: whoever has the token can run code."""
    path = Path(config["instance"]) / "spark" / "runner.json"
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    address = {
        "port": server.server_address[1],
        "token": server.token,
        "pid": os.getpid(),
        "endpoint": config["endpoint"],
    }
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(address, file)
    partial.replace(path)


def main(argv: list[str]) -> None:
    config_path = Path(argv[1])
    config = json.loads(config_path.read_text(encoding="utf-8"))
    requests: queue.Queue = queue.Queue()
    server = Server(requests)
    Watch(server, config["endpoint"]).start()
    runner = Runner(config_path)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    write_address(config, server)
    while True:
        try:
            request = requests.get()
        except KeyboardInterrupt:
            continue  # For a request that was answered in the meantime.
        if request.cancelled.is_set():
            continue
        if request.fields.get("stop"):
            request.done.put({"ok": True})
            return
        server.current = request
        answer = answer_to(runner, request)
        server.current = None
        request.done.put(answer)
        if not answer["ok"] and not spark_lives(runner.spark):
            time.sleep(1)  # The answer has been sent. The next request starts a new runner.
            os.killpg(os.getpgid(0), signal.SIGKILL)


def spark_lives(spark: SparkSession) -> bool:
    try:
        return not spark.sparkContext._jsc.sc().isStopped()
    except Exception:
        return False


if __name__ == "__main__":
    main(sys.argv)
