"""Runs buildspec.yml as CodeBuild does for the project in build.yaml: phase by phase, all commands in one shell, and
the artifacts to S3.

    python3 tools/delivery/codebuild.py --project dataless --artifact s3://BUCKET/KEY.zip BRANCH=main WAREHOUSE_STACK=... ...

NAME=VALUE are variables: all that build.yaml's project sets, and overrides of those in buildspec.yml. The environment
selects AWS or an emulator, as for any AWS tool. The working directory is the source. Exit status: that of the first
failed command.
https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
import uuid
import zipfile
from pathlib import Path

import boto3
import yaml
from botocore.config import Config

import templates

PHASES = ("install", "pre_build", "build", "post_build")


class Unknown(Exception):
    """The file uses a feature that this program lacks."""


def read(path: Path) -> dict:
    """The build specification. Refuses features that CodeBuild has and this program lacks."""
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    known = {
        "": {"version", "env", "phases", "artifacts", "cache"},
        "env": {"shell", "variables"},
        "phases": set(PHASES),
        "artifacts": {"base-directory", "files"},
    }
    known |= {f"phases/{phase}": {"on-failure", "runtime-versions", "commands"} for phase in PHASES}
    for place, names in known.items():
        part = spec
        for step in place.split("/") if place else []:
            part = part.get(step, {})
        if unknown := set(part) - names:
            raise Unknown(f"{path}: {place or 'the file'} has {', '.join(sorted(unknown))}, which is not run here")
    if spec["version"] != 0.2 or spec["env"]["shell"] != "bash":
        raise Unknown(f"{path}: only version 0.2 with bash is run here, where all commands share one shell")
    if any(phase["on-failure"] != "ABORT" for phase in spec["phases"].values()):
        raise Unknown(f"{path}: a phase goes on after a failure, which is not done here")
    return spec


def project_variables() -> set[str]:
    """The variables that the project in build.yaml sets."""
    project = templates.read(templates.ROOT / "build.yaml")["Resources"]["BuildProject"]["Properties"]
    return {variable["Name"] for variable in project["Environment"]["EnvironmentVariables"]}


def action_variables() -> dict[str, str]:
    """What the pipeline's action sets, with the pipeline's own variables in it."""
    (action,) = (
        action
        for stage in templates.read(templates.ROOT / "build.yaml")["Resources"]["Pipeline"]["Properties"]["Stages"]
        for action in stage["Actions"]
        if action.get("Name") == "Build"
    )
    execution = str(uuid.uuid4())
    variables = json.loads(action["Configuration"]["EnvironmentVariables"])
    return {one["name"]: one["value"].replace("#{codepipeline.PipelineExecutionId}", execution) for one in variables}


def codebuild_variables(project: str, source: Path) -> dict[str, str]:
    """What CodeBuild itself sets. https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-env-vars.html"""
    build = str(uuid.uuid4())
    region = os.environ["AWS_DEFAULT_REGION"]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=source).stdout.strip()
    return {
        "CI": "true",
        "CODEBUILD_BUILD_ARN": f"arn:aws:codebuild:{region}:000000000000:build/{project}:{build}",
        "CODEBUILD_BUILD_ID": f"{project}:{build}",
        "CODEBUILD_BUILD_NUMBER": "1",
        "CODEBUILD_BUILD_SUCCEEDING": "1",
        "CODEBUILD_INITIATOR": f"codepipeline/delivery-{project}",
        "CODEBUILD_LOG_PATH": build,
        "CODEBUILD_RESOLVED_SOURCE_VERSION": commit,
        "CODEBUILD_SOURCE_VERSION": f"arn:aws:s3:::builds/delivery-{project}/Source/1.zip",
        "CODEBUILD_SRC_DIR": str(source),
        "CODEBUILD_START_TIME": str(int(time.time() * 1000)),
    }


def script(spec: dict) -> str:
    """One script of all commands, which stops at the first failure, as every phase requires."""
    lines = []
    for name in PHASES:
        for command in spec["phases"].get(name, {}).get("commands", []):
            said = f"[{name}] {command}"
            lines += [
                f"printf '%s\\n' {shlex.quote(said)}",
                f"eval {shlex.quote(command)}",
                f"status=$?; [ $status -eq 0 ] || {{ echo '[{name}] failed with exit status' $status; exit $status; }}",
            ]
    return "\n".join(lines)


def artifacts(spec: dict, source: Path) -> list[Path]:
    """The build's artifacts."""
    base = source / spec["artifacts"]["base-directory"]
    found = {pattern: [one for one in base.glob(pattern) if one.is_file()] for pattern in spec["artifacts"]["files"]}
    if missing := [pattern for pattern, files in found.items() if not files]:
        raise FileNotFoundError(f"{base} has no {', '.join(missing)}")
    return sorted({one for files in found.values() for one in files})


def upload(spec: dict, source: Path, url: str) -> None:
    """Puts the artifacts into S3, as one ZIP file."""
    base = source / spec["artifacts"]["base-directory"]
    path = base / "artifact.zip"
    files = artifacts(spec, source)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in files:
            archive.write(one, one.relative_to(base))
    bucket, _, key = url.removeprefix("s3://").partition("/")
    boto3.client("s3", config=Config(s3={"addressing_style": "path"})).upload_file(str(path), bucket, key)
    path.unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs buildspec.yml as CodeBuild does.")
    parser.add_argument("--project", required=True, help="name of the project, that of build.yaml's stack")
    parser.add_argument("--artifact", required=True, metavar="S3_URL", help="where the artifacts go")
    parser.add_argument("variables", nargs="*", metavar="NAME=VALUE")
    arguments = parser.parse_args()
    given = dict(variable.split("=", 1) for variable in arguments.variables)
    source = Path.cwd()
    try:
        spec = read(source / "buildspec.yml")
    except Unknown as error:
        print(error, file=sys.stderr)
        return 2
    own = spec["env"]["variables"]
    if project_variables() - set(given) or set(given) - project_variables() - set(own):
        parser.error(
            f"give {', '.join(sorted(project_variables()))}, and of {', '.join(sorted(own))} what should differ"
        )
    # What the project or its starter sets comes before what the file sets.
    environment = os.environ | codebuild_variables(arguments.project, source) | action_variables() | own | given
    status = subprocess.run(["bash", "-c", script(spec)], cwd=source, env=environment).returncode
    if status == 0:
        upload(spec, source, arguments.artifact)
    return status


if __name__ == "__main__":
    sys.exit(main())
