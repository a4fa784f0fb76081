"""Runs the commands after `sam deploy` in the README's manual deployment. They upload all scripts of the jobs."""

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import boto3

from pasted import Shell, blocks_of

ROOT = Path(__file__).resolve().parents[2]
(DEPLOYMENT,) = [
    block for block in blocks_of(ROOT / "README.md", "## On AWS")["## On AWS"] if block.startswith("sam build\n")
]

# `cargo dataless demo --delivered` builds and deploys with sam.
NOT_HERE = "sam build\nsam deploy                        # asks before it changes anything\n"


def test_scripts_are_uploaded_to_the_locations_of_the_jobs(warehouse, tmp_path):
    listed = subprocess.run(
        ["git", "ls-files", "glue", "pipeline", "tools/delivery/lake_zip.py"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    stack = os.environ["DATALESS_STACK"]
    assert DEPLOYMENT.startswith(NOT_HERE) and DEPLOYMENT.count("--stack-name warehouse ") == 1
    commands = DEPLOYMENT.removeprefix(NOT_HERE).replace("--stack-name warehouse ", f"--stack-name {stack} ")
    tools = Path(os.environ["DATALESS_SPARK_PYTHON"]).parent
    shell = Shell(tmp_path, f"cd {tmp_path}", PATH=f"{tools}:{os.environ['PATH']}")
    started = datetime.now(UTC).replace(microsecond=0)
    shell.paste(commands)
    shell.close()
    looked_for = set()
    for job in boto3.client("glue").get_jobs()["Jobs"]:
        if job["Name"].startswith(f"{stack}-"):
            arguments = job["DefaultArguments"]
            files = [job["Command"]["ScriptLocation"], *arguments.get("--extra-py-files", "").split(",")]
            looked_for |= {file for file in files if file}
    assert len(looked_for) > 5 and any(file.endswith("/glue/lake.zip") for file in looked_for)
    for file in looked_for:
        bucket, _, key = file.removeprefix("s3://").partition("/")
        assert warehouse.s3.head_object(Bucket=bucket, Key=key)["LastModified"] >= started, file
