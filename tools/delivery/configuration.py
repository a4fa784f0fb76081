"""Checks the parameters of a deployment against the template, before anything is deployed.

    python3 tools/delivery/configuration.py --configuration config/main.json
    python3 tools/delivery/configuration.py --samconfig samconfig.toml

A configuration is an object with "Parameters", and "Tags" for the stack if wanted. The build adds parameters of its own with
--set, and writes the whole with --output, in the form that CodePipeline's CloudFormation action takes.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/continuous-delivery-codepipeline-cfn-artifacts.html

Exit status: 0 when all is well; 1 with one line for each problem; 2 for a wrong command line.
"""

import argparse
import difflib
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import templates

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MAX_VALUE_BYTES = 4096

# https://docs.aws.amazon.com/tag-editor/latest/userguide/tagging.html
MAX_TAGS, MAX_TAG_KEY, MAX_TAG_VALUE = 50, 128, 256

# Names of roles and functions have 64 characters: the stack's, the logical id, 13 random ones, two hyphens. Where that does not
# fit CloudFormation cuts the stack's name, and the policies of build.yaml, which match by it, would no longer apply.
# The longest logical id has 26 characters; names in nested stacks are cut at their ends.
MAX_STACK_NAME = 64 - 13 - 2 - 26

SECTIONS = ("Parameters", "Tags")


class Invalid(Exception):
    """The file as a whole can't be read; the message says why and what to do."""


def read_configuration(path: Path) -> dict[str, dict]:
    """The file's sections, each an object, empty when it is not there."""
    text = read_text(path, 'Create it with {"Parameters": {}}; every branch that is delivered has a file of its own.')
    try:
        configuration = json.loads(text, object_pairs_hook=without_repeats)
    except json.JSONDecodeError as error:
        raise Invalid(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from None
    except Invalid as error:
        raise Invalid(f"{path}: {error}") from None
    if not isinstance(configuration, dict):
        raise Invalid(f'{path}: it must be an object such as {{"Parameters": {{}}}}')
    for section, content in configuration.items():
        if section not in SECTIONS:
            raise Invalid(
                f"{path}: {section} is not known; expected {' and '.join(SECTIONS)}{did_you_mean(section, SECTIONS)}"
            )
        if not isinstance(content, dict):
            raise Invalid(f"{path}: {section} must be an object, of names and values")
    if "Parameters" not in configuration:
        raise Invalid(f'{path}: "Parameters" is missing; {{"Parameters": {{}}}} takes every default')
    return {section: configuration.get(section, {}) for section in SECTIONS}


def read_samconfig(path: Path, environment: str) -> dict[str, str]:
    """The parameters that `sam deploy --config-env <environment>` would pass."""
    try:
        config = tomllib.loads(read_text(path, "It is written by sam deploy --guided, or by hand."))
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"{path}: not TOML: {error}") from None
    if environment not in config:
        raise Invalid(f"{path}: there is no environment {environment}{did_you_mean(environment, config)}")
    given: dict[str, str] = {}
    for command in ("global", "deploy"):
        overrides = config[environment].get(command, {}).get("parameters", {}).get("parameter_overrides", [])
        for override in shlex.split(overrides) if isinstance(overrides, str) else overrides:
            name, equals, value = str(override).partition("=")
            if not equals or name == "ParameterKey":
                raise Invalid(f"{path}: parameter_overrides: {override!r} is not of the form Name=Value")
            given[name] = value
    return given


def read_text(path: Path, hint: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Invalid(f"{path} does not exist. {hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} cannot be read: {error}") from None


def without_repeats(pairs: list[tuple]) -> dict:
    names = [name for name, _ in pairs]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise Invalid(f"{', '.join(repeated)} is given more than once")
    return dict(pairs)


def check(declared: dict[str, dict], given: dict, from_build: dict[str, str]) -> list[str]:
    """Problems of the given parameters and those of the build, by the template's declarations."""
    problems = [f"{name}: the build sets it; leave it out of the configuration" for name in given if name in from_build]
    for name, value in (given | from_build).items():
        if name not in declared:
            problems.append(f"{name}: the template has no such parameter{did_you_mean(name, declared)}")
        else:
            problems += [f"{name}: {problem}" for problem in check_value(declared[name], value)]
    needed = [name for name, one in declared.items() if "Default" not in one and name not in given | from_build]
    return problems + [f"{name}: it has no default, so it must be given" for name in needed]


def check_value(parameter: dict, value: object) -> list[str]:
    """Problems of a value that CloudFormation would report during the deployment."""
    if isinstance(value, bool):
        return [f'{json.dumps(value)} must be text: write "{json.dumps(value)}"']
    if not isinstance(value, str | int | float):
        return [f"{json.dumps(value)} must be text or a number; join the items of a list with commas"]
    text = str(value)
    secret = parameter.get("NoEcho") in (True, "true")
    shown = "the value" if secret else repr(text)
    if secret and text and not re.fullmatch(r"\{\{resolve:(secretsmanager|ssm-secure):.+\}\}", text):
        return ["it is a secret, and this file is committed; give {{resolve:secretsmanager:<name>}} instead"]
    if len(text.encode()) > MAX_VALUE_BYTES:
        return [f"{shown[:20]}… has over {MAX_VALUE_BYTES} bytes"]
    allowed = [as_text(one) for one in parameter.get("AllowedValues", [])]
    if allowed and text not in allowed:
        return [f"{shown} is not one of {', '.join(map(repr, allowed))}{did_you_mean(text, allowed)}"]
    if parameter["Type"] == "Number":
        return check_number(parameter, text)
    if (pattern := parameter.get("AllowedPattern")) and not re.fullmatch(pattern, text):
        return [f"{shown} does not fit: {parameter.get('ConstraintDescription', pattern)}"]
    if not int(parameter.get("MinLength", 0)) <= len(text) <= int(parameter.get("MaxLength", MAX_VALUE_BYTES)):
        return [
            f"{shown} has {len(text)} characters, not {parameter.get('MinLength', 0)} to {parameter.get('MaxLength', MAX_VALUE_BYTES)}"
        ]
    return []


def check_number(parameter: dict, text: str) -> list[str]:
    if not re.fullmatch(r"-?\d+(\.\d+)?", text):
        return [f"{text!r} is not a number"]
    if "MinValue" in parameter and float(text) < float(parameter["MinValue"]):
        return [f"{text} is below {parameter['MinValue']}"]
    if "MaxValue" in parameter and float(text) > float(parameter["MaxValue"]):
        return [f"{text} is above {parameter['MaxValue']}"]
    return []


def check_tags(tags: dict) -> list[str]:
    problems = [] if len(tags) <= MAX_TAGS else [f"Tags: {len(tags)} are given, {MAX_TAGS} are allowed"]
    for key, value in tags.items():
        if not isinstance(value, str):
            problems.append(f"Tags: {key}: {json.dumps(value)} must be text")
        elif not 1 <= len(key) <= MAX_TAG_KEY or len(value) > MAX_TAG_VALUE:
            problems.append(f"Tags: {key}: a key has 1 to {MAX_TAG_KEY} characters, a value up to {MAX_TAG_VALUE}")
        elif key.lower().startswith("aws:"):
            problems.append(f"Tags: {key}: keys that begin with aws: belong to AWS")
    return problems


def check_stack_name(name: str) -> list[str]:
    if re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name) and len(name) <= MAX_STACK_NAME:
        return []
    return [
        f"the stack's name {name!r} must begin with a letter and have up to {MAX_STACK_NAME} lower case letters, digits and hyphens"
    ]


def as_text(value: object) -> str:
    """An allowed value as CloudFormation compares it."""
    return json.dumps(value) if isinstance(value, bool) else str(value)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word.lower(), [one.lower() for one in known], n=1)
    return next((f"; did you mean {one}?" for one in known if [one.lower()] == close), "")


def assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form Name=Value")
    return name, value


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks the parameters of a deployment against the template.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--configuration", type=Path, metavar="FILE", help="parameters and tags as JSON: config/<branch>.json"
    )
    source.add_argument("--samconfig", type=Path, metavar="FILE", help="check the parameters in samconfig.toml instead")
    parser.add_argument("--environment", default="default", help="the environment in samconfig.toml (default: default)")
    parser.add_argument("--template", type=Path, default=templates.ROOT / "template.yaml", metavar="FILE")
    parser.add_argument("--stack-name", metavar="NAME", help="the stack to deploy, whose name is checked too")
    parser.add_argument(
        "--set", type=assignment, action="append", default=[], metavar="NAME=VALUE", help="a parameter of the build"
    )
    parser.add_argument(
        "--tag", type=assignment, action="append", default=[], metavar="KEY=VALUE", help="a tag, unless the file has it"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write what CodePipeline takes")
    arguments = parser.parse_args()

    from_build = dict(arguments.set)
    try:
        if arguments.samconfig:
            path, given, tags = arguments.samconfig, read_samconfig(arguments.samconfig, arguments.environment), {}
        else:
            path = arguments.configuration
            given, tags = read_configuration(path).values()
        declared = templates.read(arguments.template)["Parameters"]
    except Invalid as error:
        print(error, file=sys.stderr)
        return 1

    tags = dict(arguments.tag) | tags
    problems = [f"{path}: {problem}" for problem in check(declared, given, from_build) + check_tags(tags)]
    problems += check_stack_name(arguments.stack_name) if arguments.stack_name else []
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return 1
    parameters = {name: str(value) for name, value in (given | from_build).items()}
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(
            json.dumps({"Parameters": parameters, "Tags": tags}, indent=2) + "\n", encoding="utf-8"
        )
    print(f"{path}: {len(parameters)} of {len(declared)} parameters are given and fit the template")
    return 0


if __name__ == "__main__":
    sys.exit(main())
