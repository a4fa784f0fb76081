"""Checks that a printed command can be run: no placeholder, no comment, and only options of its program."""

import functools
import itertools
import json
import shlex

import botocore.session
from botocore import xform_name
from botocore.model import OperationModel

import doctor

SESSION = botocore.session.get_session()

# https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-options.html
GLOBAL = {"--region", "--profile", "--query", "--output"}

# Commands that are not an operation of a service, with the options that are used here.
# https://docs.aws.amazon.com/cli/latest/reference/cloudformation/deploy/
# https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-cli-command-reference-sam-deploy.html
OTHERS = {
    ("aws", "cloudformation", "deploy"): {"--template-file", "--stack-name", "--capabilities", "--parameter-overrides"},
    ("aws", "configure"): set(),
    ("aws", "sso", "login"): set(),
    ("sam", "deploy"): {"--stack-name"},
    ("cargo", "dataless", "doctor"): {option for action in doctor.parser()._actions for option in action.option_strings}
    | {"--aws"},
}


@functools.cache
def operation(service: str, command: str) -> OperationModel:
    model = SESSION.get_service_model(service)
    by_command = {xform_name(name, "-"): name for name in model.operation_names}
    return model.operation_model(by_command[command])


def words_of(command: str) -> list[str]:
    """Splits a command as a shell does. Redirections, pipes and comments are separate words."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    return list(lexer)


def check(command: str) -> None:
    words = words_of(command)
    assert not [word for word in words if set(word) <= set("();<>|&#")] and "…" not in command, command
    options = [word for word in words if word.startswith("--")]
    assert len(options) == len(set(options)), command
    for start, known in OTHERS.items():
        if tuple(words[: len(start)]) == start:
            assert set(options) <= known | GLOBAL, command
            return
    program, service, name, *_ = words
    assert program == "aws", command
    if name == "wait":
        waiters = {xform_name(one, "-") for one in SESSION.get_waiter_model(service).waiter_names}
        assert words[3] in waiters and words[4] == "--stack-name", command
        return
    request = operation(service, name).input_shape
    by_option = {f"--{xform_name(member, '-')}": shape for member, shape in request.members.items()}
    # A boolean member that is true is an option without a value.
    assert set(options) <= by_option.keys() | GLOBAL, command
    assert {f"--{xform_name(member, '-')}" for member in request.required_members} <= set(options), command
    for option, value in itertools.pairwise(words):
        if value.startswith("{"):
            assert set(json.loads(value)) <= set(by_option[option].members), command
