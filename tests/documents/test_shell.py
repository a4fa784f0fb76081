"""bash can parse every block of shell commands in a document."""

import re
import subprocess

import pytest

from pages import pages

# Placeholders that a reader replaces.
PLACEHOLDER = re.compile(r"<[A-Za-z][\w -]*>")

BLOCKS = [(str(page), block.text) for page in pages() for block in page.blocks() if block.language == "sh"]


def problem(text: str) -> str:
    parsed = subprocess.run(["bash", "-n"], input=PLACEHOLDER.sub("x", text), capture_output=True, text=True)
    return parsed.stderr if parsed.returncode else ""


@pytest.mark.parametrize(("page", "text"), BLOCKS, ids=[page for page, _ in BLOCKS])
def test_commands_are_valid_shell(page, text):
    assert problem(text) == ""


def test_invalid_shell_is_found():
    assert len(BLOCKS) > 60
    assert problem("aws s3 ls <DataLakeBucket>\n") == ""
    assert "unexpected" in problem("for x in a b; echo $x; done\n")
