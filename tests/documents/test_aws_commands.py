"""Every `aws` command in a document exists in the AWS CLI, with the options used."""

import functools
import itertools
import json
import re
import shlex

import botocore.session
import jmespath
import pytest
from botocore import xform_name

from pages import Page, pages

SESSION = botocore.session.get_session()

# https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-options.html and cli-usage-pagination.html
GLOBAL = {"--region", "--profile", "--query", "--output", "--max-items"}

# Commands that are not an operation of a service, with the options that the documents use.
# https://docs.aws.amazon.com/cli/latest/reference/
OTHERS = {
    ("s3", "sync"): {"--delete"},
    ("s3", "ls"): {"--recursive", "--human-readable", "--summarize"},
    ("cloudformation", "deploy"): {"--template-file", "--stack-name", "--capabilities", "--parameter-overrides"},
    ("logs", "tail"): {"--since", "--log-stream-name-prefix"},
    ("ssm", "start-session"): {"--target"},
}

COMMAND = re.compile(r"(?<![\w./!-])aws +(?=[a-z0-9-]+ +[a-z])")


def unquoted_end(text: str) -> int:
    """Returns where the command at the start of the text ends: at a newline, a pipe or the end of its parentheses."""
    quote, depth = "", 0
    for place, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            # This can also be the closing quote around the command, as in "$(aws …)".
            quote = char
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth < 0:
                return place
        elif char in "\n|;&#" and depth == 0:
            return place
    return len(text)


def commands(page: Page) -> list[list[str]]:
    texts = [block.text for block in page.blocks() if block.language == "sh"] + page.spans()
    found = []
    for text in texts:
        text = re.sub(r"\\\n\s*", " ", text)
        for match in COMMAND.finditer(text):
            # Replace placeholders such as <that> by words.
            rest = re.sub(r"<([\w ]+)>", lambda name: name[1].replace(" ", "-"), text[match.end() :])
            command = rest[: unquoted_end(rest)]
            try:
                found.append(shlex.split(command))
            except ValueError as error:
                raise ValueError(f"{page}: {error}: aws {command}") from error
    return [words for words in found if "…" not in " ".join(words)]


def model_of(service: str) -> str:
    return {"s3api": "s3"}.get(service, service)


@functools.cache
def operations(service: str) -> dict[str, str]:
    return {xform_name(name, "-"): name for name in SESSION.get_service_model(model_of(service)).operation_names}


def check(words: list[str]) -> None:
    service, name, *rest = words
    options = [word for word in rest if word.startswith("--")]
    assert len(options) == len(set(options)), words
    for option, value in itertools.pairwise(rest):
        if option == "--query":
            jmespath.compile(value)
    if (service, name) in OTHERS:
        assert set(options) <= OTHERS[service, name] | GLOBAL, words
        return
    if name == "wait":
        waiters = {xform_name(one, "-") for one in SESSION.get_waiter_model(service).waiter_names}
        assert rest[0] in waiters, words
        return
    assert name in operations(service), words
    if not options:
        return
    request = SESSION.get_service_model(model_of(service)).operation_model(operations(service)[name]).input_shape
    by_option = {f"--{xform_name(member, '-')}": shape for member, shape in request.members.items()}
    assert set(options) <= by_option.keys() | GLOBAL, words
    assert {f"--{xform_name(member, '-')}" for member in request.required_members} <= set(options), words
    for option, value in itertools.pairwise(rest):
        if value.startswith("{") and by_option[option].type_name in ("structure", "map"):
            given = json.loads(re.sub(r"\$\w+|<\w+>", "x", value))
            assert by_option[option].type_name == "map" or set(given) <= set(by_option[option].members), words


ALL = [(str(page), words) for page in pages() for words in commands(page)]


@pytest.mark.parametrize(("page", "words"), ALL, ids=[f"{page}: {' '.join(words[:2])}" for page, words in ALL])
def test_a_command_exists_in_the_aws_cli(page, words):
    check(words)


def test_commands_are_found():
    assert len(ALL) > 60
    assert {"README.md", "docs/delivery.md", "docs/self-guided-demo.md", "docs/redshift.md"} <= {
        page for page, _ in ALL
    }


@pytest.mark.parametrize(
    "command",
    [
        "glue start-job-runs --job-name x",
        "glue start-job-run --jobname x",
        "glue start-job-run --arguments '{}'",
        "s3 sync a b --dryrun-please",
        "cloudformation wait stack-gone --stack-name x",
        "cloudformation describe-stacks --query 'Stacks[0].Outputs[?OutputKey==x'",
    ],
)
def test_a_wrong_command_is_refused(command):
    with pytest.raises((AssertionError, KeyError, jmespath.exceptions.ParseError)):
        check(shlex.split(command))
