"""The schedule of faults: read, checked, drawn from; and the log of what was injected.

A schedule is a JSON list of periods:

    {"at": 10, "seconds": 5, "fault": "throttle", "share": 0.5, "target": "firehose"}

`at` counts from the moment that the file `SCHEDULE.start` was written. So a process that is restarted during a run
continues the schedule. The proxy and the emulator share one schedule: each injects the faults that it can.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import os
import random
import time
from pathlib import Path
from typing import Any

# Faults of the proxy.
THROTTLE = "throttle"
ERROR_500 = "error-500"
PARTIAL_BATCH = "partial-batch"
LOST_ANSWER = "lost-answer"
LATE_ANSWER = "late-answer"
CUT = "cut"
TRUNCATE = "truncate"
ON_THE_WAY = (THROTTLE, ERROR_500, PARTIAL_BATCH, LOST_ANSWER, LATE_ANSWER, CUT, TRUNCATE)

# Faults of Firehose in the emulator.
REDELIVER = "redeliver"
REORDER = "reorder"
SINK_REFUSED = "sink-refused"
IN_FIREHOSE = (REDELIVER, REORDER, SINK_REFUSED)

KINDS = ON_THE_WAY + IN_FIREHOSE
ANY = "any"
TARGETS = ("firehose", "dynamodb", "cloudwatch", "s3", "lambda", ANY)

# Services that answer for each entry of a batch.
BATCH_TARGETS = ("firehose", "dynamodb", ANY)

# A function aborts an attempt after 3 seconds (ATTEMPT_TIMEOUT in crates/lambda-support/src/sdk.rs).
LATE_SECONDS = 4.0
# How long a record may be delayed so that others overtake it.
REORDER_SECONDS = 2.0


class ScheduleError(Exception):
    """An invalid schedule."""


@dataclasses.dataclass(frozen=True)
class Period:
    at: float
    seconds: float
    fault: str
    share: float
    target: str
    # The delay of an answer, or the longest delay of a record.
    delay: float

    def is_active(self, at: float) -> bool:
        return self.at <= at < self.at + self.seconds


def number(value: Any, name: str, lowest: float, highest: float = math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
        between = f"of at least {lowest:g}" if highest == math.inf else f"from {lowest:g} to {highest:g}"
        raise ScheduleError(f'"{name}" must be a number {between}, not {json.dumps(value)}')
    return float(value)


def one_of(value: Any, name: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ScheduleError(f'"{name}" must be one of {", ".join(choices)}, not {json.dumps(value)}')
    return value


def period(entry: Any) -> Period:
    if not isinstance(entry, dict):
        raise ScheduleError(f"a period must be an object, not {json.dumps(entry)}")
    required, optional = {"at", "seconds", "fault", "share", "target"}, {"delay"}
    if missing := sorted(required - entry.keys()):
        raise ScheduleError(f'"{missing[0]}" is missing')
    if unknown := sorted(entry.keys() - required - optional):
        raise ScheduleError(f'"{unknown[0]}" is not known')
    fault = one_of(entry["fault"], "fault", KINDS)
    target = one_of(entry["target"], "target", BATCH_TARGETS if fault == PARTIAL_BATCH else TARGETS)
    usual = REORDER_SECONDS if fault == REORDER else LATE_SECONDS
    return Period(
        at=number(entry["at"], "at", 0),
        seconds=number(entry["seconds"], "seconds", 0),
        fault=fault,
        share=number(entry["share"], "share", 0, 1),
        target=target,
        delay=number(entry.get("delay", usual), "delay", 0),
    )


def read(path: Path) -> list[Period]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScheduleError(f"failed to read the schedule {path}: {error.strerror}") from error
    except ValueError as error:
        raise ScheduleError(f"the schedule {path} is not JSON: {error}") from error
    if not isinstance(entries, list):
        raise ScheduleError(f"the schedule {path} must be a list of periods")
    periods = []
    for at, entry in enumerate(entries):
        try:
            periods.append(period(entry))
        except ScheduleError as error:
            raise ScheduleError(f"period {at} of the schedule {path}: {error}") from error
    return periods


@dataclasses.dataclass(frozen=True)
class Draw:
    """A fault for a request, and the source of its random choices."""

    fault: str
    delay: float
    at: float
    random: random.Random


class Schedule:
    """Returns the fault for a request, if any.

    The choice depends on the seed, the period and the number of the request among those of its target and operation. So
    a repeated run hits the same requests if their order is the same.
    """

    def __init__(self, path: Path, seed: int, kinds: tuple[str, ...]):
        self._periods = [(index, entry) for index, entry in enumerate(read(path)) if entry.fault in kinds]
        self._seed = seed
        self._mark = Path(f"{path}.start")
        self._started: float | None = None

    def now(self) -> float | None:
        """Seconds since the start of the run, or None before it."""
        if self._started is None:
            try:
                self._started = self._mark.stat().st_mtime
            except OSError:
                return None
        return max(0.0, time.time() - self._started)

    def draw(self, target: str, request: str, kinds: tuple[str, ...] = KINDS) -> Draw | None:
        at = self.now()
        if at is None:
            return None
        for index, entry in self._periods:
            if entry.fault not in kinds or entry.target not in (target, ANY) or not entry.is_active(at):
                continue
            chance = random.Random(f"{self._seed}/{index}/{target}/{request}")
            if chance.random() < entry.share:
                return Draw(entry.fault, entry.delay, at, chance)
        return None


class Log:
    """One line of JSON for each injected fault. Processes may share a file: each line is appended by one call."""

    def __init__(self, path: Path):
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, at: float | None, **fields: Any) -> None:
        time_now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"at": None if at is None else round(at, 3), "time": time_now, **fields}
        os.write(self._file, (json.dumps(line) + "\n").encode())
