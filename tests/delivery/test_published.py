"""Exactly the approved files are deployed: builds cannot write a deployed stack's files, and templates name object
versions."""

import hashlib
import io
import json
import subprocess
import sys
import zipfile

import boto3
import pytest
import yaml
from moto import mock_aws

import codebuild
import pin
from rights import granting
from templates import ROOT, read

STAGES = read(ROOT / "build.yaml")["Resources"]["Pipeline"]["Properties"]["Stages"]
BUCKET = "<ArtifactBucket.Arn>"


def actions():
    """Returns the actions after the build by name, in the order in which they run."""
    deploy = [action["Fn::If"][1] if "Fn::If" in action else action for action in STAGES[2]["Actions"]]
    return {action["Name"]: action for action in sorted(deploy, key=lambda action: action["RunOrder"])}


def test_a_build_cannot_write_files_of_a_deployed_stack():
    for key in ("scripts/1/glue/etl.py", "delivery-dataless/Source/1", "delivery-dataless/1"):
        assert granting("s3:PutObject", f"{BUCKET}/{key}", "BuildRole") == [], key
    for key in ("packages/1", "cache/1", "delivery-dataless/Build/1"):
        assert granting("s3:PutObject", f"{BUCKET}/{key}", "BuildRole"), key
        for action in ("s3:DeleteObject", "s3:DeleteObjectVersion"):
            assert granting(action, f"{BUCKET}/{key}", "BuildRole") == [], key
    assert granting("s3:PutObject", f"{BUCKET}/scripts/1/glue/etl.py", "PipelineRole")
    assert granting("s3:PutObject", f"{BUCKET}/packages/1", "PipelineRole") == []


def test_no_action_after_the_approval_reads_the_build():
    found = actions()
    assert found["PublishScripts"]["RunOrder"] < found["Approve"]["RunOrder"] < found["ExecuteChangeSet"]["RunOrder"]
    for name, action in found.items():
        assert ("InputArtifacts" in action) == (action["RunOrder"] < found["Approve"]["RunOrder"]), name


def test_scripts_are_published_where_the_stack_reads_them():
    configuration = actions()["PublishScripts"]["Configuration"]
    assert configuration["Extract"] == "true" and configuration["BucketName"] == {"Ref": "ArtifactBucket"}
    # Each execution has its own prefix. A build cannot choose it.
    assert configuration["ObjectKey"] == "scripts/#{codepipeline.PipelineExecutionId}"
    (variable,) = json.loads(STAGES[1]["Actions"][0]["Configuration"]["EnvironmentVariables"])
    assert variable["value"] == "#{codepipeline.PipelineExecutionId}"
    spec = (ROOT / "buildspec.yml").read_text(encoding="utf-8")
    assert f"SCRIPTS_PREFIX=scripts/${variable['name']}" in spec and '--set "ScriptsPrefix=$SCRIPTS_PREFIX"' in spec
    assert "s3 sync" not in spec and "s3 cp" not in spec


def test_every_script_of_a_job_is_published(tmp_path):
    spec = yaml.safe_load((ROOT / "buildspec.yml").read_text(encoding="utf-8"))
    (copy,) = [one for one in spec["phases"]["build"]["commands"] if one.startswith("tar ")]
    (pack,) = [one for one in spec["phases"]["build"]["commands"] if "lake_zip.py" in one]
    base = tmp_path / spec["artifacts"]["base-directory"]
    base.mkdir(parents=True)
    for name in ("events", "glue", "pipeline", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = subprocess.run(["bash", "-c", copy.replace("--create", "--create --dereference")], cwd=tmp_path)
    assert done.returncode == 0
    pack = pack.replace(".dataless/tools/delivery/bin/python", sys.executable)
    assert subprocess.run(["bash", "-c", pack], cwd=tmp_path).returncode == 0
    for name in ("configuration.json", "packaged.yaml"):
        (base / name).write_text("{}")
    names = {str(path.relative_to(base)) for path in codebuild.artifacts(spec, tmp_path)}
    assert {
        "configuration.json",
        "packaged.yaml",
        "glue/etl.py",
        "glue/lake.zip",
        "glue/sql/events.sql",
        "glue/scala/etl.scala",
        "events/clicks.json",
        "pipeline/hive/advertising/query.hql",
    } <= names
    assert not [name for name in names if "/tests/" in name or name.endswith(".pyc")]


# --- versions -------------------------------------------------------------------------------------------------------


@pytest.fixture
def s3(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="builds")
        client.put_bucket_versioning(Bucket="builds", VersioningConfiguration={"Status": "Enabled"})
        yield client


def zipped(content):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("bootstrap", content)
    return archive.getvalue()


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


# The name that SAM gives to a folder with only this file.
FUNCTION = md5(b"bootstrap" + md5(b"the function").encode())
FILES = {
    f"packages/{FUNCTION}": zipped(b"the function"),
    f"packages/{md5(b'the states')}": b"the states",
    f"packages/{md5(b'a: stack')}.template": b"a: stack",
    f"packages/{md5(b'the api')}": b"the api",
}
TEMPLATE = f"""Resources:
  Function:
    Properties:
      CodeUri: s3://builds/packages/{FUNCTION}
      Handler: bootstrap
  States:
    Properties:
      DefinitionUri:
        Bucket: builds
        Key: packages/{md5(b"the states")}
      Tracing: true
  Stack:
    Properties:
      TemplateURL: https://s3.us-east-1.amazonaws.com/builds/packages/{md5(b"a: stack")}.template
  Api:
    Properties:
      Location: s3://builds/packages/{md5(b"the api")}
  Job:
    Properties:
      ScriptLocation:
        Fn::Sub: s3://${{Bucket}}/glue/etl.py
"""


@pytest.fixture
def uploaded(s3):
    return {key: s3.put_object(Bucket="builds", Key=key, Body=content)["VersionId"] for key, content in FILES.items()}


def test_references_are_pinned_to_object_versions(s3, uploaded):
    resources = yaml.safe_load(pin.pin(TEMPLATE, s3))["Resources"]
    function, states, stack, _api = FILES
    assert resources["Function"]["Properties"]["CodeUri"] == {
        "Bucket": "builds",
        "Key": function,
        "Version": uploaded[function],
    }
    assert resources["Function"]["Properties"]["Handler"] == "bootstrap"
    assert resources["States"]["Properties"]["DefinitionUri"] == {
        "Bucket": "builds",
        "Key": states,
        "Version": uploaded[states],
    }
    url = f"https://s3.us-east-1.amazonaws.com/builds/{stack}?versionId={uploaded[stack]}"
    assert resources["Stack"]["Properties"]["TemplateURL"] == url
    untouched = yaml.safe_load(TEMPLATE)["Resources"]
    assert resources["Api"] == untouched["Api"] and resources["Job"] == untouched["Job"]


@pytest.mark.parametrize("key", FILES)
def test_a_build_that_was_overwritten_is_refused(s3, uploaded, key):
    s3.put_object(Bucket="builds", Key=key, Body=zipped(b"another function") if key.endswith(FUNCTION) else b"another")
    with pytest.raises(pin.PinningError, match=f"s3://builds/{key}: its content is that of"):
        pin.pin(TEMPLATE, s3)


def test_a_bucket_without_versions_is_refused(s3):
    s3.create_bucket(Bucket="other")
    s3.put_object(Bucket="other", Key=f"packages/{md5(b'a')}", Body=b"a")
    with pytest.raises(pin.PinningError, match="the bucket keeps no versions"):
        pin.pin(f"      CodeUri: s3://other/packages/{md5(b'a')}\n", s3)


# Other forms of the same references, which another version of `sam package` might write.
CODE, STATES, NESTED, API = FILES
UNKNOWN = {
    "Function.CodeUri": f'Function: {{CodeUri: "s3://builds/{CODE}"}}',
    "Function.CodeUri of parts": f"Function: {{CodeUri: {{Bucket: builds, Key: {CODE}}}}}",
    "Function.CodeUri of a folder": "Function: {CodeUri: crates/capture}",
    "States.DefinitionUri": f"States: {{DefinitionUri: s3://builds/{STATES}}}",
    "States.DefinitionUri of parts": f"States: {{DefinitionUri: {{Key: {STATES}, Bucket: builds}}}}",
    "Stack.TemplateURL": f'Stack: {{TemplateURL: "https://s3.us-east-1.amazonaws.com/builds/{NESTED}"}}',
    "Stack.TemplateURL of another version": f"Stack: {{TemplateURL: 'https://builds.s3.amazonaws.com/{NESTED}?versionId='}}",
    "Api.Fn::Transform": f"Api: {{Fn::Transform: {{Name: AWS::Include, Parameters: {{Location: 's3://builds/{API}'}}}}}}",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_reference_is_refused(s3, uploaded, name):
    with pytest.raises(pin.PinningError, match=f"Resources.{name.split()[0]}: "):
        pin.pin(f"Resources:\n  {UNKNOWN[name]}\n", s3)


def test_a_verified_include_is_accepted(s3, uploaded):
    template = f"Body:\n  Fn::Transform:\n    Name: AWS::Include\n    Parameters:\n      Location: s3://builds/{API}\n"
    assert pin.pin(template, s3) == template


def test_a_template_that_cannot_be_pinned_fails_the_build_unchanged(s3, uploaded, tmp_path, monkeypatch, capsys):
    path = tmp_path / "packaged.yaml"
    path.write_text(template := f"Resources:\n  {UNKNOWN['Function.CodeUri']}\n")
    monkeypatch.setattr(pin.sys, "argv", ["pin.py", str(path)])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert pin.main() == 1
    assert "Resources.Function.CodeUri" in capsys.readouterr().err and path.read_text() == template


INNER = f"""Resources:
  States:
    Properties:
      DefinitionS3Location:
        Bucket: builds
        Key: {STATES}
  Stack:
    Properties:
      TemplateURL: https://s3.us-east-1.amazonaws.com/builds/{NESTED}
"""


def nested(template):
    """Returns a template with the given one as its nested template, and the key of the nested template."""
    key = f"packages/{md5(template.encode())}.template"
    return (
        f"Resources:\n  Child:\n    Properties:\n      TemplateURL: https://s3.us-east-1.amazonaws.com/builds/{key}\n",
        key,
    )


def test_references_of_a_nested_template_are_pinned_too(s3, uploaded):
    template, key = nested(INNER)
    s3.put_object(Bucket="builds", Key=key, Body=INNER.encode())
    url = yaml.safe_load(pin.pin(template, s3))["Resources"]["Child"]["Properties"]["TemplateURL"]
    own, version = url.removeprefix("https://s3.us-east-1.amazonaws.com/builds/").split("?versionId=")
    child = s3.get_object(Bucket="builds", Key=own, VersionId=version)["Body"].read()
    assert own == f"packages/{md5(child)}.template" != key
    resources = yaml.safe_load(child)["Resources"]
    assert resources["States"]["Properties"]["DefinitionS3Location"] == {
        "Bucket": "builds",
        "Key": STATES,
        "Version": uploaded[STATES],
    }
    assert resources["Stack"]["Properties"]["TemplateURL"].endswith(f"{NESTED}?versionId={uploaded[NESTED]}")


@pytest.mark.parametrize("key", [STATES, NESTED])
def test_an_overwritten_file_of_a_nested_template_is_refused(s3, uploaded, key):
    template, child = nested(INNER)
    s3.put_object(Bucket="builds", Key=child, Body=INNER.encode())
    s3.put_object(Bucket="builds", Key=key, Body=b"another")
    with pytest.raises(pin.PinningError, match=f"s3://builds/{key}: its content is that of"):
        pin.pin(template, s3)


def test_an_unknown_reference_in_a_nested_template_is_refused(s3, uploaded):
    inner = f"Resources:\n  States: {{DefinitionS3Location: {{Key: {STATES}, Bucket: builds}}}}\n"
    template, key = nested(inner)
    s3.put_object(Bucket="builds", Key=key, Body=inner.encode())
    with pytest.raises(pin.PinningError, match=r"Resources\.States\.DefinitionS3Location: "):
        pin.pin(template, s3)


def test_no_nested_template_has_functions():
    """Versions, checks and rollbacks exist only for functions of the root template."""
    for path in (ROOT / "stacks").glob("*.yaml"):
        types = {one["Type"] for one in read(path)["Resources"].values()}
        assert not {one for one in types if one.startswith("AWS::Serverless::") or one == "AWS::Lambda::Function"}
