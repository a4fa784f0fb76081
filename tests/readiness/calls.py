"""Finds the AWS calls in code. Searches the syntax tree of Python, and the text of Rust for methods of SDK clients.

From the modules next to a job, only functions that the job uses directly or indirectly count.
"""

from __future__ import annotations

import ast
import functools
import json
import re
from pathlib import Path

import botocore.session
from botocore import xform_name

# IAM actions whose names differ from the names of their API operations.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
ACTIONS = {
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:HeadObject": "s3:GetObject",
    "s3:DeleteObjects": "s3:DeleteObject",
    # https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html
    "lambda:Invoke": "lambda:InvokeFunction",
}
# Actions that need an additional permission for requests with a version id.
VERSIONED = {"s3:GetObject": "s3:GetObjectVersion", "s3:DeleteObject": "s3:DeleteObjectVersion"}


@functools.cache
def operations(service: str) -> dict[str, str]:
    """Returns the operations of a service by method name, which is the same in Python and Rust."""
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name): f"{service}:{name}" for name in model.operation_names}


def actions(found: set[str], has_versions: bool) -> set[str]:
    named = {ACTIONS.get(one, one) for one in found}
    return named | {VERSIONED[one] for one in named & set(VERSIONED)} if has_versions else named


# --- Python ---


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def defined(path: Path) -> dict[str, ast.AST]:
    """Returns the top-level functions and classes of a module by name. A nested function is part of the outer one."""
    return {one.name: one for one in tree(path).body if isinstance(one, (ast.FunctionDef, ast.ClassDef))}


def imports(path: Path, root: Path) -> dict[str, tuple[Path, str | None]]:
    """Returns the imports of modules below the root, by local name: (file, imported name or None for the module)."""
    found: dict[str, tuple[Path, str | None]] = {}
    for one in ast.walk(tree(path)):
        if isinstance(one, ast.Import):
            found |= {name.name: (root / f"{name.name}.py", None) for name in one.names}
        elif isinstance(one, ast.ImportFrom) and one.module:
            module = root.joinpath(*one.module.split("."))
            for name in one.names:
                inner = module / f"{name.name}.py"
                found[name.name] = (inner, None) if inner.exists() else (module.with_suffix(".py"), name.name)
    return {name: target for name, target in found.items() if target[0].exists()}


def reached(script: Path) -> dict[Path, list[ast.AST]]:
    """Returns the whole script, and the definitions in neighboring modules that it uses directly or indirectly."""
    found: dict[Path, list[ast.AST]] = {script: [tree(script)]}
    left: list[tuple[Path, ast.AST]] = [(script, tree(script))]
    seen = set()
    while left:
        path, part = left.pop()
        imported = imports(path, script.parent)
        own = {} if path == script else defined(path)
        for one in ast.walk(part):
            target = None
            if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name):
                neighbour, inner = imported.get(one.value.id, (script, None))
                if inner is None and neighbour not in (path, script):
                    target = (neighbour, defined(neighbour).get(one.attr))
            elif isinstance(one, ast.Name) and one.id in own:
                target = (path, own[one.id])
            elif isinstance(one, ast.Name) and imported.get(one.id, (script, None))[1]:
                neighbour, inner = imported[one.id]
                target = (neighbour, defined(neighbour).get(inner))
            if target and target[1] is not None and (target[0], target[1].name) not in seen:
                seen.add((target[0], target[1].name))
                found.setdefault(target[0], []).append(target[1])
                left.append(target)
    return found


def strings(part: ast.AST) -> set[str]:
    return {one.value for one in ast.walk(part) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def services(path: Path) -> set[str]:
    found = set()
    for one in ast.walk(tree(path)):
        if (
            isinstance(one, ast.Call)
            and isinstance(one.func, ast.Attribute)
            and one.func.attr in ("client", "resource")
        ):
            found |= {argument.value for argument in one.args[:1] if isinstance(argument, ast.Constant)}
    return found


def of_python(script: Path) -> set[str]:
    found, has_versions = set(), False
    modules = reached(script)
    # A module can create a client and pass it to another module.
    known = {name: one for path in modules for service in services(path) for name, one in operations(service).items()}
    for parts in modules.values():
        for part in parts:
            called = {
                one.func.attr
                for one in ast.walk(part)
                if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute)
            }
            # `get_paginator` takes the operation as a string.
            found |= {known[name] for name in (called | strings(part)) & set(known)}
            has_versions |= "VersionId" in strings(part)
    return actions(found, has_versions)


# --- Rust ---

SDKS = {
    "cloudwatch": "cloudwatch",
    "codedeploy": "codedeploy",
    "dynamodb": "dynamodb",
    "firehose": "firehose",
    "lambda": "lambda",
    "s3": "s3",
}


def of_rust(folder: Path) -> set[str]:
    text = "\n".join(path.read_text(encoding="utf-8").split("#[cfg(test)]")[0] for path in sorted(folder.rglob("*.rs")))
    found = set()
    for sdk in set(re.findall(r"\baws_sdk_([a-z0-9]+)\b", text)):
        known = operations(SDKS[sdk])
        found |= {known[name] for name in re.findall(r"\.\s*([a-z_]+)\(\)", text) if name in known}
    return actions(found, False)


# --- Amazon States Language ---


def integrations(path: Path, substitutions: dict[str, str]) -> set[str]:
    """Returns the service integrations that a state machine calls, such as `sns:publish`."""
    text = re.sub(r"\$\{(\w+)\}", lambda match: substitutions.get(match[1], match[0]), path.read_text(encoding="utf-8"))
    found = set()

    def walk(part):
        if isinstance(part, dict):
            if part.get("Type") == "Task":
                found.add(part["Resource"].removeprefix("arn:aws:states:::"))
            for one in part.values():
                walk(one)
        elif isinstance(part, list):
            for one in part:
                walk(one)

    walk(json.loads(text))
    return found


def of(path: Path) -> set[str]:
    return of_rust(path) if path.is_dir() else of_python(path)
