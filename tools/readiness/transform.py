"""Runs the transforms of a template as CloudFormation does: AWS::Include, AWS::LanguageExtensions, AWS::Serverless.

For the Python of `.dataless/tools/sam`, which has AWS's own code for both: a port of the language extensions, and the
SAM translator that the service runs. Reads requests from standard input, one JSON object per line: `path`, `parameters`
(all of them) and `pseudo`. Answers each with a line: the processed `template`, the `source` with its includes, or an
`error`.
"""

import contextlib
import itertools
import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "delivery"))

from samcli.lib.cfn_language_extensions import api as extensions
from samcli.lib.cfn_language_extensions.models import PseudoParameterValues
from samtranslator.model import apigateway
from samtranslator.parser.parser import Parser
from samtranslator.sdk.parameter import SamParameterValues
from samtranslator.translator.translator import Translator

from templates import read

LANGUAGE_EXTENSIONS, SERVERLESS = "AWS::LanguageExtensions", "AWS::Serverless-2016-10-31"

# What `sam package` writes in place of a path on the disk.
PACKAGED = {
    "AWS::Serverless::Function": ("CodeUri", "s3://builds/packages/0123456789abcdef0123456789abcdef"),
    "AWS::StepFunctions::StateMachine": (
        "DefinitionS3Location",
        {"Bucket": "builds", "Key": "packages/0123456789abcdef0123456789abcdef"},
    ),
}


def included(part: Any, folder: Path) -> Any:
    """The part with the files of AWS::Include in place of the transform."""
    if isinstance(part, list):
        return [included(one, folder) for one in part]
    if not isinstance(part, dict):
        return part
    if list(part) == ["Fn::Transform"] and part["Fn::Transform"]["Name"] == "AWS::Include":
        return included(read(folder / part["Fn::Transform"]["Parameters"]["Location"]), folder)
    return {key: included(one, folder) for key, one in part.items()}


def transforms(template: dict[str, Any]) -> list[str]:
    named = template.get("Transform", [])
    return [named] if isinstance(named, str) else named


def packaged(template: dict[str, Any]) -> None:
    for resource in template["Resources"].values():
        if resource["Type"] in PACKAGED:
            key, value = PACKAGED[resource["Type"]]
            resource["Properties"][key] = value


class Substitution(extensions.FnSubResolver):
    """The port drops Fn::Sub where it leaves a placeholder of a resource; the service keeps it."""

    def resolve(self, value: Any) -> Any:
        text, given = self._parse_args(self.get_function_args(value))
        known = self._resolve_variable_map(given)
        resolved = {}
        for name in re.findall(r"\$\{([^!}][^}]*)\}", text):
            found = self._resolve_variable(name, known)
            if found is not None and not isinstance(found, dict):
                resolved[name] = self._value_to_string(found)
        left = {name: one for name, one in known.items() if isinstance(one, dict)}
        kept = [name for name in re.findall(r"\$\{([^!}][^}]*)\}", text) if name not in resolved]
        text = re.sub(r"\$\{([^!}][^}]*)\}", lambda match: resolved.get(match[1], match[0]), text)
        if not kept:
            return text.replace("${!", "${")
        return {"Fn::Sub": [text, left] if left else text}


class JsonString(extensions.FnToJsonStringResolver):
    """Turns values that are known later into an outer Fn::Sub, as the service does: they are inserted as they are, not
    as JSON.

    https://github.com/aws-cloudformation/cloudformation-language-discussion/issues/103
    """

    def resolve(self, value: Any) -> Any:
        later: dict[str, Any] = {}

        def marked(part: Any) -> Any:
            if isinstance(part, list):
                return [marked(one) for one in part]
            if not isinstance(part, dict):
                return part.replace("${", "${!") if isinstance(part, str) else part
            if len(part) == 1 and next(iter(part)).startswith(("Fn::", "Ref")):
                name = f"Later{len(later)}"
                later[name] = part
                return f"${{{name}}}"
            return {key: marked(one) for key, one in part.items()}

        text = super().resolve(value)
        with_marks = json.dumps(marked(json.loads(text)), separators=(",", ":"))
        return {"Fn::Sub": [with_marks, later]} if later else text


extensions.FnSubResolver, extensions.FnToJsonStringResolver = Substitution, JsonString


def expanded(source: dict[str, Any], parameters: dict[str, Any], pseudo: dict[str, str]) -> dict[str, Any]:
    values = {key.removeprefix("AWS::"): value for key, value in pseudo.items()}
    known = PseudoParameterValues(
        region=values["Region"], account_id=values["AccountId"], stack_name=values["StackName"], stack_id=values["StackId"],
        partition=values["Partition"], url_suffix=values["URLSuffix"],
    )  # fmt: skip
    return extensions.process_template(source, parameters, known)


class Clock:
    """The translator names a deployment of an API by the second, so each call returns another one."""

    def __init__(self) -> None:
        self.seconds = itertools.count(1_800_000_000, 60)

    def time(self) -> int:
        return next(self.seconds)


apigateway.time = Clock()


def translated(template: dict[str, Any], parameters: dict[str, Any], pseudo: dict[str, str]) -> dict[str, Any]:
    # The names of AWS's managed policies are not used: the templates give ARNs.
    values = SamParameterValues({**parameters, **pseudo}).parameter_values
    return Translator({}, Parser()).translate(template, values)


def processed(path: Path, parameters: dict[str, Any], pseudo: dict[str, str]) -> dict[str, Any]:
    source = included(read(path), path.parent)
    template = json.loads(json.dumps(source))
    packaged(template)
    names = transforms(template)
    if unknown := set(names) - {LANGUAGE_EXTENSIONS, SERVERLESS}:
        raise ValueError(f"{path.name} names transforms that are not known here: {sorted(unknown)}")
    # In the order in which the template names them; AWS::Include was first, being inside the template.
    for name in names:
        template = (expanded if name == LANGUAGE_EXTENSIONS else translated)(template, parameters, pseudo)
    template.pop("Transform", None)
    return {"source": source, "template": template}


def main() -> None:
    logging.disable(logging.CRITICAL)
    answers = sys.stdout
    for line in sys.stdin:
        request = json.loads(line)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                answer = processed(Path(request["path"]), request["parameters"], request["pseudo"])
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {getattr(error, 'message', error)}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
