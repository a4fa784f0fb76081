"""Faults of Firehose in the emulator: a batch is delivered twice, in another order, or not at all.

`start_ministack.py` calls `install` when it is given a schedule, as `tools/chaos/schedule.py` describes it:

DATALESS_CHAOS_SCHEDULE  the schedule
DATALESS_CHAOS_LOG       the log of injected faults; may be the proxy's
DATALESS_CHAOS_SEED      the seed, 0 by default

redeliver     The sink gets a batch twice: either one call after the other, or both at the same time, as after
              a call that took too long. The second call's result is stored, once.
reorder       Firehose acknowledges a batch and delays it, so that later ones overtake it. It is kept on disk until
              it is stored: a killed emulator continues with it, as the service would. An empty folder `LOG.held` means
              that nothing is delayed.
sink-refused  Firehose cannot call the sink, gives up, and sets the records aside below the error prefix, as the service documents it:
              https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-failure-handling.html

The emulator delivers each record separately, so its batches have one record.
"""

from __future__ import annotations

import base64
import collections
import contextvars
import json
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "chaos"))

from schedule import IN_FIREHOSE, REDELIVER, REORDER, SINK_REFUSED, Draw, Log, Schedule

SCHEDULE = "DATALESS_CHAOS_SCHEDULE"
LOG = "DATALESS_CHAOS_LOG"
SEED = "DATALESS_CHAOS_SEED"

# Functions that are called or replaced, in the supported version.
DELIVER = "_deliver_records_to_s3"
PROCESS = "_apply_lambda_processors"
PUT_OBJECT = "_put_s3_object"
PREFIX = "_evaluate_prefix"
ARRIVAL = "_arrival_time"
STREAMS = "_streams"
NEEDED = (DELIVER, PROCESS, PUT_OBJECT, PREFIX, ARRIVAL, STREAMS)

# The error of a sink without free concurrency.
REFUSAL = ("Lambda.InvokeLimitExceeded", "The Lambda concurrency limit is exceeded.")

# https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-failure-handling.html
USUAL_RETRIES = 3
LOOK_SECONDS = 0.05


class Firehose:
    """Firehose of the emulator, with faults."""

    def __init__(self, module: Any, schedule: Schedule, log: Log, held: Path):
        self._module = module
        self._schedule = schedule
        self._log = log
        self._held = held
        self._counts: collections.Counter[tuple[str, tuple[str, ...]]] = collections.Counter()
        self._counting = threading.Lock()
        self._deliver: Callable = getattr(module, DELIVER)
        self._process: Callable = getattr(module, PROCESS)

    def install(self) -> None:
        self._held.mkdir(parents=True, exist_ok=True)
        setattr(self._module, DELIVER, self.deliver)
        setattr(self._module, PROCESS, self.process)
        threading.Thread(target=self.deliver_held_batches, daemon=True).start()

    def draw(self, name: str, kinds: tuple[str, ...]) -> tuple[Draw | None, int]:
        # The number is that of the batch in its stream: the order of other streams does not matter.
        with self._counting:
            self._counts[name, kinds] += 1
            number = self._counts[name, kinds]
        draw = self._schedule.draw("lambda", f"{name}/{number}", kinds) or self._schedule.draw(
            "firehose", f"{name}/{number}", kinds
        )
        return draw, number

    def note(self, draw: Draw, number: int, stream: dict, records: list, forwarded: bool, **more: Any) -> None:
        ids = [record_id for record_id, _ in records]
        self._log.write(
            draw.at,
            fault=draw.fault,
            target="lambda",
            operation=stream["name"],
            request=number,
            forwarded=forwarded,
            records=[],
            ids=ids,
            **more,
        )

    def deliver(self, stream: dict, dest: dict, records: list) -> None:
        draw, number = self.draw(stream["name"], (REORDER, SINK_REFUSED))
        if draw is None:
            self._deliver(stream, dest, records)
        elif draw.fault == SINK_REFUSED:
            # It is logged after it is stored: what is not in the log was not set aside.
            key = self.set_aside(stream, dest, records)
            self.note(draw, number, stream, records, forwarded=False, key=key)
        else:
            due = time.time() + draw.random.uniform(0, draw.delay)
            self.hold(stream, dest, records, due)
            self.note(draw, number, stream, records, forwarded=True, due=round(due, 3))

    def process(self, stream: dict, dest: dict, records: list, *args: Any, **kwargs: Any) -> list:
        draw, number = self.draw(stream["name"], (REDELIVER,))
        if draw is None:
            return self._process(stream, dest, records, *args, **kwargs)
        beside = draw.random.random() < 0.5
        self.note(draw, number, stream, records, forwarded=True, instance="another" if beside else "any")
        if not beside:
            self._process(stream, dest, records)
            return self._process(stream, dest, records, *args, **kwargs)
        # An instance takes one call at a time, so two concurrent calls reach two instances.
        context = contextvars.copy_context()
        first = threading.Thread(target=context.run, args=(self._process, stream, dest, records))
        first.start()
        try:
            return self._process(stream, dest, records, *args, **kwargs)
        finally:
            first.join()

    def set_aside(self, stream: dict, dest: dict, records: list) -> str:
        config = dest["config"]
        arrival = getattr(self._module, ARRIVAL)(config)
        now = int(self._module.time.time() * 1000)
        function, retries = sink(config)
        lines = [
            json.dumps(
                {
                    "attemptsMade": retries + 1,
                    "arrivalTimestamp": now,
                    "errorCode": REFUSAL[0],
                    "errorMessage": REFUSAL[1],
                    "attemptEndingTimestamp": now,
                    "rawData": base64.b64encode(data).decode(),
                    "lambdaArn": function,
                }
            )
            for _, data in records
        ]
        prefix = getattr(self._module, PREFIX)(config["ErrorOutputPrefix"], arrival, error_type="processing-failed")
        key = f"{prefix}{stream['name']}-{stream.get('version', 1)}-{now}-{records[0][0]}"
        bucket = config["BucketARN"].rpartition(":")[2]
        getattr(self._module, PUT_OBJECT)(bucket, key, ("\n".join(lines) + "\n").encode())
        return key

    def hold(self, stream: dict, dest: dict, records: list, due: float) -> None:
        held = {
            "stream": stream["name"],
            "destination": stream["destinations"].index(dest),
            "records": [[record_id, base64.b64encode(data).decode()] for record_id, data in records],
        }
        name = f"{due:.3f}-{records[0][0]}"
        unfinished = self._held / f".{name}"
        unfinished.write_text(json.dumps(held), encoding="utf-8")
        unfinished.rename(self._held / f"{name}.json")

    def deliver_held_batches(self) -> None:
        wait_until_open(int(os.environ.get("GATEWAY_PORT", "4566")))
        while True:
            time.sleep(LOOK_SECONDS)
            for path in sorted(self._held.glob("*.json"), key=lambda path: float(path.name.partition("-")[0])):
                if float(path.name.partition("-")[0]) > time.time():
                    break
                try:
                    self.deliver_held(path)
                except Exception:
                    # It stays on disk and is retried.
                    traceback.print_exc()

    def deliver_held(self, path: Path) -> None:
        held = json.loads(path.read_text(encoding="utf-8"))
        stream = getattr(self._module, STREAMS)[held["stream"]]
        records = [(record_id, base64.b64decode(data)) for record_id, data in held["records"]]
        self._deliver(stream, stream["destinations"][held["destination"]], records)
        path.unlink()


def sink(config: dict) -> tuple[str, int]:
    """The function that a destination calls, and how often Firehose tries again."""
    [processor] = config["ProcessingConfiguration"]["Processors"]
    parameters = {parameter["ParameterName"]: parameter["ParameterValue"] for parameter in processor["Parameters"]}
    return parameters["LambdaArn"], int(parameters.get("NumberOfRetries", USUAL_RETRIES))


def wait_until_open(port: int) -> None:
    """Until the emulator listens. By then it has loaded its state of an earlier run."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(LOOK_SECONDS)


def install(module: ModuleType, environment: Mapping[str, str]) -> None:
    """Faults of the schedule that the environment names, if it names one."""
    if not (path := environment.get(SCHEDULE)):
        return
    log = Path(environment[LOG])
    schedule = Schedule(Path(path), int(environment.get(SEED, "0")), IN_FIREHOSE)
    Firehose(module, schedule, Log(log), Path(f"{log}.held")).install()
