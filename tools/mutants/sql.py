"""Changes the SQL of the jobs by one word at a time, and reports the changes that no test notices.

    .dataless/tools/spark/bin/python tools/mutants/sql.py FILE... [--only TEXT] [--list] [--limit N]
        [--tests TEST...] [--baseline skip]

FILE is a file below pipeline/hive/ or glue/sql/. Each changed file is put in place of the original in a copy of the
checkout, and the tests of its folder (TESTS) run until the first that fails, all in one process and one Spark session.
Prints a line for each change: caught, by which test, or MISSED; then the share that was caught. Exit status 1 when one
was missed. Changes that make no difference (EQUIVALENT) are not made.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# What a copy needs to run the tests.
COPIED = ("events", "glue", "pipeline", "stacks", "tools", "template.yaml", "tests/support", "pytest.ini", "Cargo.toml")
# The tests of a folder's SQL, those first that notice most.
TESTS = {
    "pipeline/hive": ["glue/tests/test_hive.py"],
    "glue/sql": [
        "glue/tests/test_etl.py::test_the_nasty_input_ends_where_its_labels_say_however_often_it_runs",
        "glue/tests/test_scala.py::test_columns_of_every_type_end_the_same",
        "glue/tests/test_etl.py",
        "glue/tests/test_third_type.py",
        "glue/tests/test_clicks.py",
        "glue/tests/test_concurrent.py",
    ],
}
CHANGES = (
    (r" >= ", " > "), (r" <= ", " < "), (r" < ", " <= "), (r" > ", " >= "), (r" = ", " <> "), (r" <> ", " = "),
    (r"\bAND\b", "OR"), (r"\bOR\b", "AND"), (r"\bIS NOT NULL\b", "IS NULL"), (r"\bIS NULL\b", "IS NOT NULL"), (r"\bNOT (?!NULL)", ""),
    (r"\bmin\(", "max("), (r"\bmax\(", "min("), (r"\bLEFT (OUTER )?JOIN\b", "JOIN"), (r"\bLEFT SEMI JOIN\b", "LEFT ANTI JOIN"),
    (r"\bDISTINCT ", ""), (r"\bfirst_value\(", "last_value("), (r" \+ ", " - "), (r" - ", " + "), (r"\blower\(", "upper("),
    (r"(?<![\w'{])\d+(?![\w}])", lambda found: str(int(found[0]) + 1)), (r"\bcount\(\*\)", "(count(*) + 1)"), (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"), (r"'(kept|repeat|late|open|rejected|early|blank|malformed)'", "'another'"), (r"-count\(", "count("),
    (r"\bELSE (?=')", "ELSE 'x' || "), (r"\btrim\(", "(")
)  # fmt: skip
# Changes that make no difference, by their file, a part of the line, and the new text, with the reason.
EQUIVALENT = {
    ("glue/sql/fates.sql", "WHEN first_day < '{{open_before}}'", "<="): (
        "events of the day itself go through open.sql too, which finds for them what fates.sql knows"
    ),
    ("glue/sql/events.sql", "octet_length(line) > 309", ">="): "a line with 309 digits has a name and braces too",
    ("glue/sql/events.sql", "octet_length(line) > 309", "310"): "likewise",
    ("glue/sql/events.sql", "octet_length(line) > 309", "OR"): "more lines are searched for odd numbers, in vain",
}


@dataclass(frozen=True)
class Mutant:
    file: str
    line: int
    before: str
    after: str
    text: str
    source: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.before.strip()} -> {self.after.strip() or 'nothing'}"


def mutants(file: str, text: str) -> Iterator[Mutant]:
    """Every change of the file, except in comments."""
    comments = [found.span() for found in re.finditer(r"^\s*--.*$", text, re.MULTILINE)]
    for pattern, replacement in CHANGES:
        for found in re.finditer(pattern, text):
            if any(start <= found.start() < end for start, end in comments):
                continue
            after = replacement(found) if callable(replacement) else replacement
            line = text.count("\n", 0, found.start()) + 1
            changed = text[: found.start()] + after + text[found.end() :]
            yield Mutant(file, line, found[0], after, changed, text.splitlines()[line - 1])


def is_equivalent(mutant: Mutant) -> bool:
    return any(
        file == mutant.file and part in mutant.source and after == mutant.after.strip()
        for file, part, after in EQUIVALENT
    )


class FirstFailure:
    """A plugin that remembers which test failed."""

    def __init__(self) -> None:
        self.name = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid.split("/")[-1]


def copy_checkout(folder: Path) -> None:
    for name in COPIED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
        else:
            shutil.copy(source, target)


def run(tests: list[str]) -> str:
    """The first test that fails; blank when none does."""
    import pytest

    failure = FirstFailure()
    status = pytest.main(
        ["-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no", "-c", "pytest.ini", *tests],
        [failure],
    )
    return failure.name or ("" if status == 0 else f"pytest ended with {status}")


def quietly(tests: list[str]) -> str:
    """`run` with its output discarded, including the JVM's."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        return run(tests)
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--only", default="", metavar="TEXT", help="only changes whose line of the report has this")
    parser.add_argument("--list", action="store_true", help="print the changes and end")
    parser.add_argument("--tests", nargs="+", metavar="TEST", help="these tests instead of those of the folder")
    parser.add_argument(
        "--baseline", choices=["run", "skip"], default="run", help="run the tests without a change first"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="N changes only, evenly spread")
    options = parser.parse_args()
    files = [str(Path(file).resolve().relative_to(ROOT)) for file in options.files]
    found = [
        one
        for file in files
        for one in mutants(file, (ROOT / file).read_text(encoding="utf-8"))
        if options.only in str(one) and not is_equivalent(one)
    ]
    if options.limit and len(found) > options.limit:
        found = [found[number * len(found) // options.limit] for number in range(options.limit)]
    if options.list:
        print(*found, sep="\n")
        return 0
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy_checkout(Path(folder))
        os.chdir(folder)
        from pyspark.sql import SparkSession

        # The next run's fixture reuses the session.
        SparkSession.stop = lambda self: None  # type: ignore[method-assign]
        by_folder = {name: options.tests or tests for name, tests in TESTS.items()}
        used = [tests for name, tests in by_folder.items() if any(file.startswith(name) for file in files)]
        for tests in used if options.baseline == "run" else []:
            if fault := quietly(tests):
                sys.exit(f"the tests fail without a change: {fault}")
        for number, mutant in enumerate(found, 1):
            tests = next(tests for name, tests in by_folder.items() if mutant.file.startswith(name))
            path = Path(mutant.file)
            original = path.read_text(encoding="utf-8")
            path.write_text(mutant.text, encoding="utf-8")
            fault = quietly(tests)
            path.write_text(original, encoding="utf-8")
            missed += not fault
            print(f"{number}/{len(found)} {mutant}: {f'caught by {fault}' if fault else 'MISSED'}", flush=True)
    print(f"{len(found) - missed} of {len(found)} caught, {(len(found) - missed) / max(len(found), 1):.1%}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
