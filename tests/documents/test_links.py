"""Every relative link points to a file in the repository, and every anchor to a heading in that file."""

import pytest

from pages import ROOT, Page, page, pages


def broken(found: Page) -> list[str]:
    wrong = []
    for link in found.links():
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = (found.path.parent / name).resolve() if name else found.path
        if not target.exists() or (anchor and anchor not in page(target).anchors()):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("found", pages(), ids=str)
def test_link_targets_exist(found):
    assert broken(found) == []


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "here.md").write_text("# One\n\n## A name, and more\n", encoding="utf-8")
    text = '[a](here.md#a-name-and-more) [b](here.md#another) [c](gone.md) [d](#one) <img src="gone.png">\n\n# One\n'
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    assert broken(Page(path, text)) == ["here.md#another", "gone.md", "here.md#another", "gone.md", "gone.png"]


def test_every_document_is_in_the_index():
    index = page(ROOT / "docs" / "README.md")
    listed = {(index.path.parent / link.partition("#")[0]).resolve() for link in index.links()}
    missing = [one for one in pages() if one.path.parent == ROOT / "docs" and one.path not in listed | {index.path}]
    assert [str(one) for one in missing] == []


def test_every_decision_is_in_its_index():
    index = page(ROOT / "docs" / "decisions" / "README.md")
    records = sorted(
        one.path.name for one in pages() if one.path.parent == index.path.parent and one.path != index.path
    )
    assert len(records) > 10
    assert sorted({link for link in index.links() if link.startswith("00")}) == records
