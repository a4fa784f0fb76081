"""Runs the shell blocks of a page in one shell. The tests paste one block after the other, as a reader does."""

import os
import re
import subprocess
from pathlib import Path

END = "--- end of the block ---"

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks_of(page: Path, sections: str) -> dict[str, list[str]]:
    """Returns the shell blocks by heading, for each heading that matches the pattern."""
    _, *rest = re.split(rf"^({sections})$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {heading: BLOCK.findall(text) for heading, text in zip(rest[::2], rest[1::2], strict=True)}


class Shell:
    """A bash process that exits at the first failed command."""

    def __init__(self, folder: Path, prelude: str, **variables: str):
        self.script, self.log = folder / "block.sh", folder / "stderr.txt"
        self.bash = subprocess.Popen(
            ["bash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            env=os.environ | variables,
            text=True,
        )
        self.paste(f"set -euo pipefail\n{prelude}")

    def paste(self, commands: str) -> str:
        """Runs the commands and returns their output."""
        self.script.write_text(commands, encoding="utf-8")
        self.bash.stdin.write(f"source {self.script} </dev/null\nprintf '\\n%s\\n' '{END}'\n")
        self.bash.stdin.flush()
        printed = []
        for line in self.bash.stdout:
            if line.rstrip("\n") == END:
                return "".join(printed).strip()
            printed.append(line)
        raise AssertionError(f"{commands}\n{''.join(printed)}\n{self.log.read_text(encoding='utf-8')}")

    def close(self) -> None:
        self.bash.stdin.close()
        self.bash.wait()
        self.bash.stdout.close()
