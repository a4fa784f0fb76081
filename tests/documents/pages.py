"""Reads the Markdown pages of the repository: text, code blocks, headings and links."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PATTERNS = (
    "*.md", "docs/**/*.md", "crates/*/README.md", "load-generator/README.md", "tests/README.md", "glue/bench/README.md",
    "examples/*/README.md",
)  # fmt: skip

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
LINK = re.compile(r"(?<!\\)\[[^\]]*\]\(([^)\s]+)\)")
ATTRIBUTE = re.compile(r"\b(?:src|srcset|href)=\"([^\"]+)\"")
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    language: str
    text: str


@dataclass(frozen=True)
class Page:
    path: Path
    text: str

    def __str__(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    def blocks(self) -> list[Block]:
        return [Block(language, text) for _, language, text in FENCE.findall(self.text)]

    def prose(self) -> str:
        """Returns the text without code blocks."""
        return FENCE.sub("", self.text)

    def spans(self) -> list[str]:
        """Returns the inline code in the prose."""
        return [" ".join(span.split()) for span in SPAN.findall(self.prose())]

    def links(self) -> list[str]:
        return LINK.findall(SPAN.sub("", self.prose())) + LINK.findall(self.prose()) + ATTRIBUTE.findall(self.prose())

    def anchors(self) -> set[str]:
        """Returns the anchors that GitHub generates from the headings."""
        found: set[str] = set()
        for heading in HEADING.findall(self.prose()):
            shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
            slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
            found.add(slug if slug not in found else f"{slug}-1")
        return found


@cache
def page(path: Path) -> Page:
    return Page(path, path.read_text(encoding="utf-8"))


@cache
def pages() -> tuple[Page, ...]:
    paths = {path for pattern in PATTERNS for path in ROOT.glob(pattern)}
    return tuple(page(path) for path in sorted(paths))
