"""The arguments that the script of a job asks for: those that it gives to Glue's getResolvedOptions or to argparse, and no other text."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import calls


class NotRead(Exception):
    """The list of names is written in a way that is not known here."""


def assigned(function: ast.AST) -> dict[str, list[ast.expr]]:
    """By name, what a function gives to it, or lets it go through in a loop."""
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
    """The texts of a list, with the lists that it is made of."""
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
    """etl.scala reads all pairs into `given`, and takes from there what it knows."""
    return set(re.findall(r'\bgiven(?:\.getOrElse)?\("(\w+)"', text))


@functools.cache
def of(script: Path) -> frozenset[str]:
    """Those of the modules beside it that it reaches count too."""
    if script.suffix != ".py":
        return frozenset(of_scala(script.read_text(encoding="utf-8")))
    return frozenset(of_python([part for parts in calls.reached(script).values() for part in parts]))
