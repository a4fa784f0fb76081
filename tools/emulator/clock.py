"""Shifts the arrival time, by which Firehose in the emulator names the partitions of raw events.

DATALESS_CLOCK_OFFSET  a file with seconds to add to the clock, such as -3600 or 86400.5. It may change, or appear, at
any time; without it the clock is not shifted

Only the time of arrival changes. Functions, jobs and all other services keep the machine's clock.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from time import struct_time
from types import ModuleType
from typing import Any

OFFSET = "DATALESS_CLOCK_OFFSET"
# Where Firehose reads the time, in the supported version.
CLOCK = "time"


class ShiftedClock:
    """The module `time`, with a shifted clock."""

    def __init__(self, file: Path):
        self._file = file
        self._offset = 0.0

    def _shift(self) -> float:
        try:
            self._offset = float(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self._offset = 0.0
        except ValueError:
            # It is being written: the previous offset stays in effect.
            pass
        return self._offset

    def time(self) -> float:
        return time.time() + self._shift()

    def gmtime(self, seconds: float | None = None) -> struct_time:
        return time.gmtime(self.time() if seconds is None else seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def install(module: ModuleType, environment: Mapping[str, str]) -> None:
    """Sets the clock of Firehose by the file that the environment names, if it names one."""
    if path := environment.get(OFFSET):
        setattr(module, CLOCK, ShiftedClock(Path(path)))
