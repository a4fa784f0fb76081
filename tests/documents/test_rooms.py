"""docs/ARCHITECTURE.md, README.md and docs/troubleshooting.md agree with the code."""

import re
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from pages import ROOT, SPAN, page

# Dependencies of a crate's build. The map does not list dependencies of tests.
KINDS = ("dependencies", "build-dependencies")

ARCHITECTURE = page(ROOT / "docs" / "ARCHITECTURE.md").text
TROUBLESHOOTING = page(ROOT / "docs" / "troubleshooting.md").text


def manifests() -> dict[str, dict]:
    paths = [*ROOT.glob("crates/*/Cargo.toml"), ROOT / "load-generator" / "Cargo.toml"]
    found = (tomllib.loads(path.read_text(encoding="utf-8")) for path in paths)
    return {manifest["package"]["name"]: manifest for manifest in found}


def test_the_table_of_crates_matches_the_manifests():
    section = ARCHITECTURE.split("### Crates\n")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")
    ]
    table = {SPAN.findall(name)[0]: set(SPAN.findall(uses)) for name, uses, _ in rows}
    found = manifests()
    own = [
        # The crate of a new event type does not need a row.
        (
            re.sub("^capture-.+", "capture-<type>", name),
            {used for kind in KINDS for used in manifest.get(kind, {})} & found.keys(),
        )
        for name, manifest in found.items()
    ]
    assert {name for name, _ in own} == table.keys()
    assert [(name, uses) for name, uses in own if uses != table[name]] == []


COMMAND_LINE = ROOT / "crates" / "dataless" / "src"
# A `use` of another part of the crate, on one or more lines.
USE = re.compile(r"^\s*(?:pub )?use crate::([^;]+);", re.MULTILINE)


def imported(file: Path) -> set[Path]:
    """Returns the files of the command line crate that a file imports with `crate::`, except in its tests."""
    found = set()
    code = file.read_text(encoding="utf-8").split("\n#[cfg(test)]\nmod tests {")[0]
    for path in USE.findall(code):
        prefix, *names = [part.strip() for part in re.split(r"[{},]", path)]
        for name in names or [""]:
            words = [word for word in f"{prefix}{name}".split("::") if word.isidentifier()]
            # The module is the longest part of the path that exists. The rest are names in the module.
            for length in range(len(words), 0, -1):
                module = COMMAND_LINE.joinpath(*words[:length])
                candidates = [module.with_name(f"{module.name}.rs"), module / "mod.rs"]
                if existing := [each for each in candidates if each.exists()]:
                    found.add(existing[0])
                    break
    return found - {file}


def test_imports_of_the_command_line_go_in_one_direction():
    graph = {file: imported(file) for file in COMMAND_LINE.rglob("*.rs")}
    assert graph[COMMAND_LINE / "local" / "warehouse.rs"] >= {
        COMMAND_LINE / "local" / f"{name}.rs" for name in ("emulator", "spark", "deploy", "delivery", "stack")
    }
    # If there is a cycle, this raises a CycleError that lists the files.
    TopologicalSorter(graph).prepare()
    upward = [
        (file.relative_to(COMMAND_LINE), other.relative_to(COMMAND_LINE))
        for file in (COMMAND_LINE / "local").glob("*.rs")
        for other in graph[file]
        if other.relative_to(COMMAND_LINE).parts[0] in ("commands", "cli", "cli.rs")
    ]
    assert upward == []


def test_every_nested_stack_is_on_the_map():
    section = ARCHITECTURE.split("### Nested stacks\n")[1].split("\n## ")[0]
    named = {span for span in SPAN.findall(section) if span.endswith(".yaml")}
    assert named == {path.name for path in (ROOT / "stacks").glob("*.yaml")}


def test_folders_on_the_map_exist():
    section = ARCHITECTURE.split("## Rooms\n")[1].split("### ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = {name for cell in cells for name in SPAN.findall(cell)}
    assert len(named) > 15 and [name for name in named if not (ROOT / name).exists()] == []


def test_the_readme_has_the_rust_version_of_the_manifest():
    version = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["package"]["rust-version"]
    readme = page(ROOT / "README.md").text
    assert f"badge/rust-{version}%2B-" in readme and f"Rust ({version} or later)" in readme


def source() -> str:
    """Returns the source code of all messages as one line. Joins strings that continue on the next line."""
    patterns = ("crates/*/src/**/*.rs", "glue/*.py", "glue/lake/*.py", "glue/local/*.py", "api.yaml", "stacks/*.yaml")
    text = "\n".join(path.read_text(encoding="utf-8") for pattern in patterns for path in sorted(ROOT.glob(pattern)))
    text = re.sub(r"\\\n\s*", "", text)
    text = re.sub(r"\{[^{}\n]*\}", "…", text)
    return " ".join(text.split())


def messages() -> list[str]:
    """Returns the messages in the first column of the tables of Dataless's own messages."""
    own = TROUBLESHOOTING.split("## By message\n")[1].split("### Deploying to AWS")[0]
    rows = [
        line
        for line in own.splitlines()
        if line.startswith("| ") and not line.startswith(("| ---", "| message", "| code"))
    ]
    return [span for row in rows for span in SPAN.findall(row.split("|")[1])]


SOURCE = source()


@pytest.mark.parametrize("message", messages())
def test_a_message_exists_in_the_code(message):
    parts = [part.strip() for part in message.split("…") if len(part.strip()) > 3]
    assert parts, message
    assert [part for part in parts if part not in SOURCE] == []


def test_messages_are_found():
    assert len(messages()) > 40 and "no such message anywhere" not in SOURCE
