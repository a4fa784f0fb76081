"""A configuration that cannot be deployed is refused before a deployment starts. The message says what to do."""

import json
import re
import subprocess
import sys

import pytest

import configuration
import templates
from templates import ROOT

PROGRAM = ROOT / "tools" / "delivery" / "configuration.py"

TEMPLATE = """
Parameters:
  Size: { Type: String, AllowedValues: [small, large], Default: small }
  Switch: { Type: String, AllowedValues: ["true", "false"], Default: "true" }
  Days: { Type: Number, MinValue: 1, MaxValue: 30, Default: 3 }
  Share: { Type: Number, MinValue: 0.1, MaxValue: 1, Default: 0.5 }
  Prefix: { Type: String, AllowedPattern: "[a-z/]+", ConstraintDescription: Lower case letters and slashes., Default: a }
  Name: { Type: String, MinLength: 3, MaxLength: 5, Default: "" }
  Password: { Type: String, NoEcho: true, Default: "" }
  Bucket: { Type: String }
Resources: {}
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "template.yaml").write_text(TEMPLATE)

    def run(*arguments):
        command = [sys.executable, str(PROGRAM), "--template", "template.yaml", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return run


@pytest.fixture
def check(run, tmp_path):
    def check(configuration, *arguments):
        text = configuration if isinstance(configuration, str) else json.dumps(configuration)
        (tmp_path / "main.json").write_text(text)
        return run("--configuration", "main.json", *arguments)

    return check


BUCKET = ("--set", "Bucket=builds")


def test_values_of_the_file_and_the_build_are_merged(check, tmp_path):
    done = check(
        {"Parameters": {"Size": "large", "Days": 7, "Share": 0.25}, "Tags": {"team": "ads", "branch": "own"}},
        *BUCKET, "--set", "Prefix=scripts/a", "--tag", "branch=main", "--tag", "application=dataless", "--output", "out/c.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "c.json").read_text()) == {
        "Parameters": {"Size": "large", "Days": "7", "Share": "0.25", "Bucket": "builds", "Prefix": "scripts/a"},
        "Tags": {"team": "ads", "branch": "own", "application": "dataless"},
    }


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ("", "main.json:1:1: not JSON"),
        ('{"Parameters": {"Size" "large"}}', "main.json:1:24: not JSON"),
        ("[]", 'it must be an object such as {"Parameters": {}}'),
        ("{}", '"Parameters" is missing'),
        ({"parameters": {}}, "parameters is not known; expected Parameters and Tags; did you mean Parameters?"),
        ({"Parameters": ["Size=large"]}, "Parameters must be an object"),
        ('{"Parameters": {"Size": "small", "Size": "large"}}', "Size is given more than once"),
        ({"Parameters": {"Sise": "large"}}, "Sise: the template has no such parameter; did you mean Size?"),
        ({"Parameters": {"Size": "Large"}}, "Size: 'Large' is not one of 'small', 'large'; did you mean large?"),
        ({"Parameters": {"Switch": True}}, 'Switch: true must be text: write "true"'),
        ({"Parameters": {"Size": ["large"]}}, "join the items of a list with commas"),
        ({"Parameters": {"Size": None}}, "Size: null must be text or a number"),
        ({"Parameters": {"Days": "soon"}}, "Days: 'soon' is not a number"),
        ({"Parameters": {"Days": 0}}, "Days: 0 is below 1"),
        ({"Parameters": {"Days": "31"}}, "Days: 31 is above 30"),
        ({"Parameters": {"Share": "1.01"}}, "Share: 1.01 is above 1"),
        ({"Parameters": {"Prefix": "A"}}, "Prefix: 'A' does not fit: Lower case letters and slashes."),
        # The pattern must match the whole value.
        ({"Parameters": {"Prefix": "a b"}}, "Prefix: 'a b' does not fit"),
        ({"Parameters": {"Name": "ab"}}, "Name: 'ab' has 2 characters, not 3 to 5"),
        ({"Parameters": {"Name": "a" * 4097}}, "has over 4096 bytes"),
        ({"Parameters": {"Bucket": "mine"}}, "Bucket: the build sets it"),
        ({"Parameters": {}, "Tags": {"aws:team": "ads"}}, "keys that begin with aws: belong to AWS"),
        ({"Parameters": {}, "Tags": {"team": 1}}, "Tags: team: 1 must be text"),
    ],
)
def test_an_invalid_configuration_is_refused(check, tmp_path, configuration, message):
    done = check(configuration, *BUCKET, "--output", "out.json")
    assert done.returncode == 1 and message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.json").exists()


def test_the_error_for_a_missing_file_says_what_to_write(run):
    done = run("--configuration", "config/feature.json", *BUCKET)
    assert done.returncode == 1
    assert done.stderr.startswith('config/feature.json does not exist. Create it with {"Parameters": {}}')


def test_all_problems_are_reported_at_once(check):
    done = check({"Parameters": {"Size": "x", "Days": 0, "Nope": "y"}}, "--stack-name", "Dataless")
    # The three parameters, the missing Bucket, and the stack name.
    assert len(done.stderr.splitlines()) == 5


def test_a_secret_in_a_committed_file_is_refused_and_not_repeated(check):
    done = check({"Parameters": {"Password": "hunter2"}}, *BUCKET)
    assert done.returncode == 1 and "it is a secret" in done.stderr and "hunter2" not in done.stderr
    assert check({"Parameters": {"Password": "{{resolve:secretsmanager:redshift}}"}}, *BUCKET).returncode == 0


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("dataless-main", True),
        ("a" * 23, True),
        ("a" * 24, False),
        ("Dataless-main", False),
        ("1st", False),
        ("a-", False),
    ],
)
def test_stack_names_must_fit_glue_and_firehose(check, name, fits):
    done = check({"Parameters": {}}, *BUCKET, "--stack-name", name)
    assert (done.returncode == 0) == fits


@pytest.mark.parametrize("overrides", ['"Days=31 Size=large"', '["Days=31", "Size=large"]'])
def test_samconfig_is_checked_the_same_way(run, tmp_path, overrides):
    (tmp_path / "samconfig.toml").write_text(f"[prod.deploy.parameters]\nparameter_overrides = {overrides}\n")
    done = run("--samconfig", "samconfig.toml", "--environment", "prod", *BUCKET)
    assert done.returncode == 1 and done.stderr == "samconfig.toml: Days: 31 is above 30\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[default", "not TOML"),
        ("[production.deploy.parameters]", "there is no environment default"),
        ('[default.deploy.parameters]\nparameter_overrides = "Days"', "is not of the form Name=Value"),
    ],
)
def test_a_malformed_samconfig_is_refused(run, tmp_path, text, message):
    (tmp_path / "samconfig.toml").write_text(text)
    done = run("--samconfig", "samconfig.toml", *BUCKET)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.json")), ids=lambda path: path.name)
def test_configurations_of_the_repository_fit_the_template(path):
    done = subprocess.run([sys.executable, PROGRAM, "--configuration", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # The file name is a branch name that build.yaml accepts.
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?", path.stem)


def test_samconfig_of_the_repository_fits_the_template():
    done = subprocess.run(
        [sys.executable, PROGRAM, "--samconfig", ROOT / "samconfig.toml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


# Each kind of malformed configuration for the repository's template, as shown in docs/delivery.md.
MALFORMED = [
    '{"Parameters": {"LookbackDays" 5}}',
    "[]",
    "{}",
    '{"Parameter": {}}',
    '{"Parameters": []}',
    '{"Parameters": {"LookbackDays": 3, "LookbackDays": 5}}',
    '{"Parameters": {"LookBackDay": 5}}',
    '{"Parameters": {"ETLLanguage": "Python"}}',
    '{"Parameters": {"LookbackDays": 31}}',
    '{"Parameters": {"LookbackDays": "three"}}',
    '{"Parameters": {"RequireTrafficApiKey": true}}',
    '{"Parameters": {"AllowedOrigins": ["https://www.example.com"]}}',
    '{"Parameters": {"KmsKeyArn": "alias/mine"}}',
    '{"Parameters": {"RedshiftPassword": "hunter2"}}',
    '{"Parameters": {"Architecture": "arm64"}}',
    '{"Parameters": {}, "Tags": {"aws:team": "ads"}}',
    '{"Parameters": {}, "Tags": {"team": 1}}',
]


def message(folder, text):
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config" / "main.json").write_text(text)
    command = [sys.executable, PROGRAM, "--configuration", "config/main.json", "--set", "Architecture=arm64"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1
    return done.stderr.strip()


def test_the_guide_shows_the_message_of_each_kind(tmp_path):
    guide = (ROOT / "docs" / "delivery.md").read_text(encoding="utf-8")
    for text in MALFORMED:
        assert f"{text}\n{message(tmp_path, text)}\n" in guide


def test_no_generated_name_is_truncated():
    longest = 0
    for path in (ROOT / "template.yaml", ROOT / "build.yaml"):
        resources = templates.read(path)["Resources"]
        kinds = ("AWS::Serverless::Function", "AWS::IAM::Role")
        longest = max([longest, *(len(name) for name, one in resources.items() if one["Type"] in kinds)])
    assert configuration.MAX_STACK_NAME + len("-") + longest + len("-1ABCDEFGHIJ2K") <= 64
