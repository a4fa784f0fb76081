"""Pages can be read in a terminal, and all decision records have the same form."""

import re

import pytest

from pages import ROOT, pages

MAX_COLUMNS = 100

# Output and input of programs is not wrapped. Blocks with the language `text` are output.
UNBROKEN = ("text", "mermaid")

# Programs generate these pages from templates and schemas.
DERIVED = ("docs/reference.md", "docs/events.md")


def long_lines(text: str) -> list[str]:
    """Returns lines of prose and code over the limit. Tables and links cannot be wrapped."""
    language, found = None, []
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            language = None if language is not None else line.strip().strip("`")
            continue
        shown = re.sub(r"\]\([^)]*\)|<?https?://\S+", "", line)
        if len(shown) > MAX_COLUMNS and not line.lstrip().startswith("|") and language not in UNBROKEN:
            found.append(line)
    return found


@pytest.mark.parametrize("found", [one for one in pages() if str(one) not in DERIVED], ids=str)
def test_lines_fit_a_terminal(found):
    assert long_lines(found.text) == []


def test_a_long_line_is_found():
    long = "x" * (MAX_COLUMNS + 1)
    text = f"{long}\n| {long} |\n```text\n{long}\n```\n```sh\n{long}\n```\n[a](https://example.com/{long})\n"
    assert long_lines(text) == [long, long]


RECORDS = [one for one in pages() if re.fullmatch(r"docs/decisions/\d{4}-[a-z0-9-]+\.md", str(one))]
SECTIONS = ["Context", "Decision", "Consequences"]


@pytest.mark.parametrize("record", RECORDS, ids=str)
def test_a_decision_has_all_sections(record):
    number = int(record.path.name[:4])
    assert re.match(rf"# {number}\. .+\n\n- \*\*Status:\*\* .+", record.text)
    assert re.search(r"^- \*\*Date:\*\* 20\d\d-\d\d-\d\d$", record.text, re.MULTILINE)
    headings = re.findall(r"^## (.+)$", record.text, re.MULTILINE)
    assert [name for name in headings if name in SECTIONS] == SECTIONS


def test_a_superseded_record_names_its_successor():
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    overtaken = [one for one in RECORDS if "superseded" in one.text.split("## Context")[0].lower()]
    assert overtaken
    for one in overtaken:
        head = one.text.split("## Context")[0]
        assert re.search(r"uperseded by \[decision\s+\d+\]\(\d{4}-[^)]+\)", head), one
        (row,) = [line for line in index.splitlines() if one.path.name in line]
        assert "superseded by" in row.lower()
