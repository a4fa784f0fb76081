"""Each claim in docs/aws-readiness.md names a check, and each check exists."""

import re

from templates import ROOT

PAGE = (ROOT / "docs/aws-readiness.md").read_text(encoding="utf-8")
ROWS = [
    row
    for row in re.findall(r"^\| (.+) \|$", PAGE.split("## The first deployment")[0], re.MULTILINE)
    if not row.startswith("claim |")
]


def checks():
    """Yields (row, file, test or None) for each check in a row. `::test` alone belongs to the file before it."""
    for row in ROWS:
        named = [name.partition("::") for name in re.findall(r"`([\w/.]*\.py(?:::\w+)?|::\w+)`", row.split(" | ")[1])]
        file = None
        for path, _, test in named:
            file = path or file
            yield row, file, test or None


def test_every_claim_has_a_check():
    without = set(ROWS) - {row for row, _, _ in checks()}
    assert len(ROWS) > 25
    assert [row for row in without if "cargo dataless demo --delivered" not in row] == []


def test_every_named_check_exists():
    for row, file, test in checks():
        path = ROOT / file if file.startswith("glue/") else ROOT / "tests" / file
        assert path.is_file(), row
        assert test is None or f"def {test}(" in path.read_text(encoding="utf-8"), row
