"""Finds the runner of Glue jobs that serves a local warehouse, or starts it; prints its address.

    python glue/local/launch.py CONFIG.json

CONFIG: root (the repository), instance (the warehouse's folder), endpoint and region (of the emulator);
expected_raw_bytes while there is no stack; once it is deployed, bucket, database, scripts_bucket and scripts (the
bucket of the scripts, and their prefix in it). Prints one JSON object: {"port": …, "token": …, "pid": …}. It may be
called concurrently; one runner starts. `runner.py` describes what it serves.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

# Time limit of Spark's first answer.
START_LIMIT_SECONDS = 180

# Up to this much raw data a job is over before the JVM's second compiler pays for itself. On two cores that compiler
# would take more of the processors than the job. Without it the JVM has 48 MB for compiled code, too little for Spark.
SMALL_DATA_BYTES = 32 * 1024 * 1024
SHORT_LIVED_JVM = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC"
# With more data nobody waits for an answer: what counts is that garbage collection takes little CPU.
LARGE_DATA_JVM = "-XX:+UseParallelGC"

# The variables that a runner inherits.
INHERITED = ("HOME", "JAVA_HOME", "LOGNAME", "PATH", "USER")


def main(argv: list[str]) -> None:
    config_path = Path(argv[1])
    config = json.loads(config_path.read_text(encoding="utf-8"))
    print(json.dumps(launch(config_path, config)))


def launch(config_path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The address of a runner that answers. Raises `RuntimeError` when none can be started."""
    folder = Path(config["instance"]) / "spark"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "runner.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        address = read_address(folder)
        if address and address["endpoint"] == config["endpoint"] and answers(address):
            return address
        return start(config_path, config, folder)


def start(config_path: Path, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    log = Path(config["instance"]) / "logs" / "spark.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    address_path = folder / "runner.json"
    address_path.unlink(missing_ok=True)
    with log.open("ab") as output:
        runner = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("runner.py"), config_path],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env=environment(config, folder),
            # It outlives the process that started it.
            start_new_session=True,
        )
    # For a caller that must end it before it has an address.
    (folder / "runner.pid").write_text(str(runner.pid), encoding="utf-8")
    deadline = time.monotonic() + START_LIMIT_SECONDS
    while time.monotonic() < deadline:
        if runner.poll() is not None:
            raise RuntimeError(f"Spark ended as it started ({runner.returncode}); its log is {log}")
        address = read_address(folder)
        if address and answers(address):
            return address
        time.sleep(0.05)
    runner.kill()
    raise RuntimeError(f"Spark does not answer after {START_LIMIT_SECONDS} s; its log is {log}")


def environment(config: dict[str, Any], folder: Path) -> dict[str, str]:
    """The runner's environment: it points to the emulator, without the user's settings for an account, a proxy, Python,
    Java, Hadoop or Spark."""
    inherited = {name: value for name, value in os.environ.items() if name in INHERITED}
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    settings = {
        "spark.sql.warehouse.dir": folder / "warehouse",
        "spark.local.dir": temporary,
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={folder / 'metastore'};create=true",
        "spark.driver.extraJavaOptions": " ".join(
            [
                SHORT_LIVED_JVM if raw_bytes(config) <= SMALL_DATA_BYTES else LARGE_DATA_JVM,
                quote(f"-Dderby.stream.error.file={folder / 'derby.log'}"),
                quote(f"-Djava.io.tmpdir={temporary}"),
            ]
        ),
    }
    arguments = ["--properties-file", f"{config['root']}/glue/local/spark-defaults.conf"]
    for name, value in settings.items():
        arguments += ["--conf", f"{name}={value}"]
    return inherited | {
        "AWS_ENDPOINT_URL": config["endpoint"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": config["region"],
        "AWS_DEFAULT_REGION": config["region"],
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        # The JVM encodes file names by it.
        "LC_ALL": "C.UTF-8",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", "")]),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYSPARK_SUBMIT_ARGS": " ".join(quote(argument) for argument in [*arguments, "pyspark-shell"]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SPARK_CONF_DIR": str(folder),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "TMPDIR": str(temporary),
        "TZ": "UTC",
    }


def quote(argument: str) -> str:
    """An argument as PySpark splits them, and Spark Java's options: double quotes hold a word together."""
    return '"' + argument.replace("\\", "\\\\").replace('"', '\\"') + '"'


def raw_bytes(config: dict[str, Any]) -> int:
    """The size of the raw zone, by the first page of its listing. Without the SDK, which may not be installed yet."""
    if "bucket" not in config:
        return config["expected_raw_bytes"]
    url = f"{config['endpoint']}/{config['bucket']}?list-type=2&prefix=data/raw/"
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=30) as answer:
        found = ElementTree.fromstring(answer.read())
    return sum(int(size.text or 0) for size in found.iter() if size.tag.endswith("}Size") or size.tag == "Size")


def read_address(folder: Path) -> dict[str, Any] | None:
    try:
        return json.loads((folder / "runner.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def answers(address: dict[str, Any]) -> bool:
    try:
        return call(address, {"ping": True}, timeout=10)["ok"]
    except OSError:
        return False


def call(address: dict[str, Any], request: dict[str, Any], timeout: float | None = None) -> dict[str, Any]:
    """Sends a request and waits for its answer. Raises `OSError` when there is none."""
    with socket.create_connection(("127.0.0.1", address["port"]), timeout=timeout) as connection:
        connection.sendall(json.dumps(request | {"token": address["token"]}).encode() + b"\n")
        with connection.makefile("rb") as answers:
            line = answers.readline()
    if not line:
        raise ConnectionError("the runner of Glue jobs ended before it answered")
    return json.loads(line)


if __name__ == "__main__":
    main(sys.argv)
