"""Pins a packaged template to what its build uploaded, so that what is approved is what is executed.

    .dataless/tools/sam/bin/python tools/delivery/pin.py .dataless/delivery/packaged.yaml

CloudFormation fetches code, state machines and nested templates when a change set is executed, which may be long after
it was made. `sam package` names objects by their content, but S3 does not enforce that: a later build may write
something else under the same name. So each object is compared with its name, and the template gets the version that was
compared. A nested template with objects is pinned in the same way, and uploaded under the name of its new content.
Files of AWS::Include are fetched when the change set is created, so they are only compared. Anything that this program
does not recognise is an error.

Exit status: 0 when all is pinned; 1 with a line for each object that is not what its name says, or is not pinned.
https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-functioncode.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-overview.html
"""

import argparse
import hashlib
import io
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import yaml

import templates

# As `sam package` writes them.
CODE = re.compile(r"^( *CodeUri:) s3://([^/\s]+)/(\S+)$", re.MULTILINE)
DEFINITION = re.compile(
    r"^( *)((?:DefinitionUri|DefinitionS3Location):\n *Bucket: )(\S+)\n( *Key: )(\S+)$", re.MULTILINE
)
# https://s3.<Region>.amazonaws.com/<bucket>/<key>
NESTED = re.compile(r"^( *TemplateURL:) (https?://[^/\s]+)/([^/\s]+)/([^\s?]+)$", re.MULTILINE)
FETCHED_LATE = ("CodeUri", "DefinitionUri", "DefinitionS3Location", "TemplateURL")
INCLUDED = re.compile(r"^( *Location:) s3://([^/\s]+)/(\S+)$", re.MULTILINE)


class PinningError(Exception):
    """An object's content does not match its name, or the template may get another object."""


def digest(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def name_of(content: bytes) -> str:
    """The name that `sam package` gives it: by its bytes, or by the files in a zipped folder.

    https://github.com/aws/aws-sam-cli/blob/develop/samcli/lib/utils/hash.py
    """
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return digest(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = sorted(one.filename for one in archive.infolist() if not one.is_dir())
        return digest(b"".join(name.encode() + digest(archive.read(name)).encode() for name in names))


def checked(s3: Any, bucket: str, key: str) -> tuple[str, bytes]:
    """The version of an object, and its content, which was compared with its name."""
    found = s3.get_object(Bucket=bucket, Key=key)
    name, content = key.rsplit("/", 1)[-1].split(".")[0], found["Body"].read()
    if (own := name_of(content)) != name:
        raise PinningError(
            f"s3://{bucket}/{key}: its content is that of {own}; delete this version of it, and build again"
        )
    return version_of(found, bucket, key), content


def version_of(answer: dict, bucket: str, key: str) -> str:
    if answer.get("VersionId", "null") == "null":
        raise PinningError(f"s3://{bucket}/{key}: the bucket keeps no versions")
    return answer["VersionId"]


def pinned_child(s3: Any, bucket: str, key: str) -> tuple[str, str]:
    """Key and version of a nested template whose objects are pinned."""
    version, content = checked(s3, bucket, key)
    pinned = pin(content.decode(), s3).encode()
    if pinned == content:
        return key, version
    own = "/".join([*key.split("/")[:-1], f"{digest(pinned)}.template"])
    return own, version_of(s3.put_object(Bucket=bucket, Key=own, Body=pinned), bucket, own)


def named(value: Any, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Each field below this with its path and its name."""
    fields = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, field in fields:
        yield f"{path}{name}", str(name), field
        yield from named(field, f"{path}{name}.")


def has_version(field: Any) -> bool:
    if isinstance(field, dict):
        return all(field.get(name) for name in ("Bucket", "Key", "Version"))
    return isinstance(field, str) and bool(parse_qs(urlsplit(field).query).get("versionId"))


def check_pinned(pinned: str, compared: set[tuple[str, str]]) -> None:
    """Raises for what no pattern has matched: `sam package` may change how it writes a template."""
    problems = []
    for path, name, field in named(yaml.load(pinned, templates.TemplateLoader)):
        if name in FETCHED_LATE and not has_version(field):
            problems.append(f"{path}: {field} has no version")
        if name == "Fn::Transform" and field.get("Name") == "AWS::Include":
            bucket, _, key = str(field["Parameters"]["Location"]).removeprefix("s3://").partition("/")
            if (bucket, key) not in compared:
                problems.append(f"{path}: its content was not compared with its name")
    if problems:
        raise PinningError("\n".join(problems))


def pin(template: str, s3: Any) -> str:
    """The template, with a version for each object that CloudFormation fetches late."""
    problems, versions = [], {}

    def version(bucket: str, key: str) -> str:
        if (bucket, key) not in versions:
            try:
                versions[bucket, key], _ = checked(s3, bucket, key)
            except PinningError as error:
                problems.append(str(error))
                versions[bucket, key] = ""
        return versions[bucket, key]

    def code(found: re.Match) -> str:
        field, bucket, key = found.groups()
        return f'{field} {{ Bucket: {bucket}, Key: {key}, Version: "{version(bucket, key)}" }}'

    def definition(found: re.Match) -> str:
        indent, head, bucket, field, key = found.groups()
        return f'{indent}{head}{bucket}\n{field}{key}\n{indent}  Version: "{version(bucket, key)}"'

    def nested(found: re.Match) -> str:
        field, host, bucket, key = found.groups()
        try:
            key, own = pinned_child(s3, bucket, key)
        except PinningError as error:
            problems.append(str(error))
            return found[0]
        return f"{field} {host}/{bucket}/{key}?versionId={own}"

    pinned = NESTED.sub(nested, DEFINITION.sub(definition, CODE.sub(code, template)))
    for found in INCLUDED.finditer(template):
        version(*found.groups()[1:])
    if problems:
        raise PinningError("\n".join(problems))
    check_pinned(pinned, set(versions))
    return pinned


def main() -> int:
    parser = argparse.ArgumentParser(description="Pins a packaged template to what its build uploaded.")
    parser.add_argument("template", type=Path)
    path = parser.parse_args().template
    try:
        pinned = pin(path.read_text(encoding="utf-8"), boto3.client("s3"))
    except PinningError as error:
        print(error, file=sys.stderr)
        return 1
    path.write_text(pinned, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
