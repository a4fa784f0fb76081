"""Starts MiniStack with patches: without waits that slow down every request, and with updates of nested stacks.

    python tools/emulator/start_ministack.py INSTANCE

INSTANCE, the folder of a warehouse, identifies the emulator's process. Runs in the emulator's own environment
(`requirements/emulator.txt`) and is configured by the same variables as `ministack`. It refuses a version of MiniStack
without the functions that it patches.

1. MiniStack serves the Lambda Runtime API with `http.server`, which sends head and body in two segments. With Nagle's algorithm
   the second waits for the acknowledgement of the first, up to 40 ms.
2. After each invocation MiniStack waits up to 50 ms for a line of log. A function that logs nothing always waits that
   long. Everything that it logged before its answer is in its pipe by then, so an empty pipe means that nothing will
   follow.
3. Each call of CloudWatch scans all data points of all metrics for those older than two weeks. Once a minute is enough.
4. In an update of a nested stack MiniStack loses the attributes of unchanged resources, and refuses references to them
   ("Requested attribute Arn does not exist"). The stack still has them.
5. API Gateway unpacks a body with `Content-Encoding: gzip`; MiniStack passes its bytes on as text, which corrupts them.
   A body that cannot be decompressed is passed on unchanged: API Gateway would answer 415.
   https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-make-request-with-compressed-payload.html

For tests, `faults.py` adds faults of Firehose, and `clock.py` shifts the arrival time. Both do nothing unless their variables are set.
"""

from __future__ import annotations

import os
import select
import socketserver
import sys
import time
import zlib
from collections.abc import Awaitable, Callable
from subprocess import Popen
from typing import Any

from ministack import app
from ministack.core import lambda_runtime
from ministack.services import apigateway_v1, cloudformation, cloudwatch, firehose
from ministack.services.cloudformation import provisioners

import clock
import faults

# Functions that are patched below, in the supported version.
WORKER = "ProvidedWorker"
DRAIN = "_drain_stderr_bounded"
EVICT = "_evict_old_metrics"
UPDATE = "_update_resource"
STACKS = "_stacks"
EXECUTE = "handle_execute"

EVICT_SECONDS = 60.0

# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
MAX_PAYLOAD_BYTES = 10 * 1024 * 1024


def send_without_delay() -> None:
    socketserver.StreamRequestHandler.disable_nagle_algorithm = True


def has_output(process: Popen | None) -> bool:
    """Whether a function's pipe has unread output."""
    if process is None or process.stdout is None or process.stdout.closed:
        return False
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    return any(event & select.POLLIN for _, event in poll.poll(0))


def skip_wait_for_output(worker: type) -> None:
    wait_for_lines = getattr(worker, DRAIN)

    def drain(self: Any, *args: Any, **kwargs: Any) -> str:
        # Calls with their own timeout, such as after a failed start, wait. A line between the pipe and the queue, where a
        # thread has it for an instant, is delivered by the next call.
        if not args and not kwargs and self._stderr_queue.empty() and not has_output(self._proc):
            return ""
        return wait_for_lines(self, *args, **kwargs)

    setattr(worker, DRAIN, drain)


def at_most_every(seconds: float, function: Callable[[], None]) -> Callable[[], None]:
    last = float("-inf")

    def call() -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            function()

    return call


def with_known_attributes(update: Callable[..., tuple]) -> Callable[..., tuple]:
    """The update of a resource, with its attributes even where the caller did not pass them."""

    def call(
        kind: str,
        physical_id: str,
        old: dict,
        new: dict,
        stack_name: str,
        logical_id: str | None = None,
        old_attrs: dict | None = None,
    ) -> tuple:
        if old_attrs is None:
            stack = getattr(cloudformation, STACKS).get(stack_name, {})
            old_attrs = stack.get("_resources", {}).get(logical_id, {}).get("Attributes")
        return update(kind, physical_id, old, new, stack_name, logical_id, old_attrs)

    return call


def unpack(packed: bytes) -> bytes | None:
    """The content of all members of a gzip; None if it is incomplete, or larger than API Gateway allows."""
    content = b""
    while packed:
        member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            content += member.decompress(packed, MAX_PAYLOAD_BYTES + 1 - len(content))
        except zlib.error:
            return None
        if not member.eof or len(content) > MAX_PAYLOAD_BYTES:
            return None
        packed = member.unused_data
    return content


def with_unpacked_body(execute: Callable[..., Awaitable[tuple]]) -> Callable[..., Awaitable[tuple]]:
    """The execution of a request to a REST API, whose header stays as it was."""

    async def call(
        api_id: str, stage_name: str, method: str, path: str, headers: dict, body: bytes, query_params: dict
    ) -> tuple:
        if body and headers.get("content-encoding", "").strip().lower() == "gzip":
            unpacked = unpack(body)
            body = body if unpacked is None else unpacked
        return await execute(api_id, stage_name, method, path, headers, body, query_params)

    return call


def main() -> None:
    send_without_delay()
    worker: Any = getattr(lambda_runtime, WORKER, None)
    changed = [
        (worker, DRAIN),
        (cloudwatch, EVICT),
        (provisioners, UPDATE),
        (cloudformation, STACKS),
        (apigateway_v1, EXECUTE),
    ]
    for owner, name in [*changed, (firehose, clock.CLOCK), *((firehose, name) for name in faults.NEEDED)]:
        if not hasattr(owner, name):
            sys.exit(
                f"MiniStack has no {name} where it was: its version has changed, and {__file__} must change with it"
            )
    skip_wait_for_output(worker)
    setattr(cloudwatch, EVICT, at_most_every(EVICT_SECONDS, getattr(cloudwatch, EVICT)))
    setattr(provisioners, UPDATE, with_known_attributes(getattr(provisioners, UPDATE)))
    setattr(apigateway_v1, EXECUTE, with_unpacked_body(getattr(apigateway_v1, EXECUTE)))
    clock.install(firehose, os.environ)
    faults.install(firehose, os.environ)
    # The other arguments only identify the process.
    del sys.argv[1:]
    app.main()


if __name__ == "__main__":
    main()
