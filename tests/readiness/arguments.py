"""Finds the arguments that a job's script reads with Glue's getResolvedOptions or with argparse."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import calls


class NotRead(Exception):
    """The list of names has a form that this module does not support."""


def assigned(function: ast.AST) -> dict[str, list[ast.expr]]:
    """Returns the values assigned to each variable of a function. For a loop variable, returns the iterable."""
    found: dict[str, list[ast.expr]] = {}
    for one in ast.walk(function):
        targets, value = {
            ast.Assign: lambda one: (one.targets, one.value),
            ast.AugAssign: lambda one: ([one.target], one.value),
            ast.For: lambda one: ([one.target], one.iter),
            ast.comprehension: lambda one: ([one.target], one.iter),
        }.get(type(one), lambda one: ([], None))(one)
        for target in targets:
            if isinstance(target, ast.Name):
                found.setdefault(target.id, []).append(value)
    return found


def names(part: ast.expr, known: dict[str, list[ast.expr]]) -> set[str]:
    """Returns the strings in a list expression, including the strings of the lists that it is built from."""
    match part:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.Name(id=name) if name in known:
            return set().union(*(names(one, known) for one in known[name]))
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return set().union(*(names(one, known) for one in parts))
        case ast.Starred(value=one) | ast.ListComp(elt=one):
            return names(one, known)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return names(left, known) | names(right, known)
        case ast.JoinedStr(values=[ast.Constant(value="--"), ast.FormattedValue(value=one)]):
            return {f"--{name}" for name in names(one, known)}
    raise NotRead(ast.unparse(part))


def of_python(parts: list[ast.AST]) -> set[str]:
    found = set()
    for function in (one for part in parts for one in ast.walk(part) if isinstance(one, ast.FunctionDef)):
        known = assigned(function)
        for call in (one for one in ast.walk(function) if isinstance(one, ast.Call)):
            match call.func:
                case ast.Name(id="getResolvedOptions"):
                    found |= names(call.args[1], known)
                case ast.Attribute(attr="add_argument"):
                    found |= {name.removeprefix("--") for one in call.args for name in names(one, known)}
    return found


def of_scala(text: str) -> set[str]:
    """Returns the arguments that etl.scala looks up in `given`, its map of all arguments."""
    return set(re.findall(r'\bgiven(?:\.getOrElse)?\("(\w+)"', text))


@functools.cache
def of(script: Path) -> frozenset[str]:
    """Returns the arguments that the script reads itself or through functions of neighboring modules."""
    if script.suffix != ".py":
        return frozenset(of_scala(script.read_text(encoding="utf-8")))
    return frozenset(of_python([part for parts in calls.reached(script).values() for part in parts]))
