"""A proxy between the functions and AWS, or an emulator, that injects faults.

    python tools/chaos/proxy.py --listen PORT --upstream http://127.0.0.1:PORT --schedule FILE --log FILE [--seed S]

Runs in its own environment (`requirements/chaos.txt`) and listens on the loopback interface only. `schedule.py`
describes FILE; its times count from the moment that FILE.start is written. Each injected fault is a line of the log:

    {"at": 12.3, "time": "2026-11-20T12:00:00.000Z", "fault": "partial-batch", "target": "firehose", "operation": "PutRecordBatch",
     "request": 17, "forwarded": true, "records": [0, 3]}

`request` counts the calls of an operation from 1. `forwarded` is whether AWS got the call, or a part of it. `records`
are the indices of refused entries of a batch. The log also has a line with the fault `upstream-gone` for each call that
failed on its own behind the proxy: then `forwarded` is whether it may have arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import dataclasses
import json
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import yarl
from aiohttp import web

import batches
import services
from schedule import (
    CUT,
    ERROR_500,
    LATE_ANSWER,
    LOST_ANSWER,
    ON_THE_WAY,
    PARTIAL_BATCH,
    THROTTLE,
    TRUNCATE,
    Draw,
    Log,
    Schedule,
    ScheduleError,
)

UPSTREAM_GONE = "upstream-gone"

# Headers of one connection, which are not forwarded.
# https://www.rfc-editor.org/rfc/rfc9110#name-connection
OF_THE_CONNECTION = {
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
}
# The client adds these unless it is configured otherwise.
ADDED_BY_CLIENT = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

# Less than the 5 seconds after which the emulator closes an idle connection: a call must not race with that.
KEEP_ALIVE_SECONDS = 2.0
# A function's call may take 15 minutes at most.
UPSTREAM_SECONDS = 900


@dataclasses.dataclass(frozen=True)
class Request:
    """A complete request."""

    connection: web.Request
    call: services.Call | None
    # Its number among the calls of its operation.
    number: int
    body: bytes


class Proxy:
    def __init__(self, upstream: str, schedule: Schedule, log: Log):
        self._upstream = upstream.rstrip("/")
        self._schedule = schedule
        self._log = log
        self._counts: collections.Counter[tuple[str, str]] = collections.Counter()

    async def session(self, app: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS)
        timeout = aiohttp.ClientTimeout(total=UPSTREAM_SECONDS)
        # Answers pass unchanged: they are not decompressed, and cookies are not shared between callers.
        options = {"auto_decompress": False, "cookie_jar": aiohttp.DummyCookieJar(), "trust_env": False}
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, **options) as self._client:
            yield

    async def handle(self, connection: web.Request) -> web.StreamResponse:
        try:
            body = await connection.read()
        except (ConnectionError, aiohttp.ClientError):
            # The caller disconnected in the middle of its request.
            return hung_up(connection)
        headers = {name.lower(): value for name, value in connection.headers.items()}
        call = services.identify(connection.method, connection.raw_path, headers, body)
        number = 0
        if call is not None:
            self._counts[call.target, call.operation] += 1
            number = self._counts[call.target, call.operation]
        request = Request(connection, call, number, body)
        try:
            if call and (draw := self._schedule.draw(call.target, f"{call.operation}/{number}")):
                return await self.inject(draw, request, call)
            return await self.passed_on(request)
        except aiohttp.ClientError as error:
            forwarded = not isinstance(error, aiohttp.ClientConnectorError)
            self.note(self._schedule.now(), UPSTREAM_GONE, request, forwarded=forwarded)
            return hung_up(connection)

    async def inject(self, draw: Draw, request: Request, call: services.Call) -> web.StreamResponse:
        def note(forwarded: bool, records: list[int] | None = None) -> None:
            self.note(draw.at, draw.fault, request, forwarded=forwarded, records=records)

        match draw.fault:
            case fault if fault in (THROTTLE, ERROR_500):
                note(False)
                failure = services.throttled(call, draw.random) if fault == THROTTLE else services.failed(call)
                return web.Response(status=failure.status, headers=failure.headers, body=failure.body)
            case fault if fault == CUT:
                note(False)
                return cut(request.connection)
            case fault if fault == PARTIAL_BATCH:
                return await self.accept_partially(draw, request, call, note)
        answer = await self.ask(request)
        note(True)
        if draw.fault == LATE_ANSWER:
            await asyncio.sleep(draw.delay)
            return await sent(request.connection, answer)
        if draw.fault == TRUNCATE:
            return await truncated(request.connection, answer)
        assert draw.fault == LOST_ANSWER, draw.fault
        return hung_up(request.connection)

    async def accept_partially(
        self, draw: Draw, request: Request, call: services.Call, note: Callable[[bool, list[int] | None], None]
    ) -> web.StreamResponse:
        part = batches.split(call, request.body, draw.random)
        if part is None:
            return await self.passed_on(request)
        rest = part.forwarded
        if rest is None:
            note(False, part.refused)
            return web.Response(body=part.answer(None), headers={"content-type": call.content_type})
        answer = await self.ask(request, rest)
        note(True, part.refused)
        if answer.status != 200:
            return await sent(request.connection, answer)
        # The checksum of the partial answer does not fit the whole answer.
        headers = [
            (name, value) for name, value in answer.headers if name.lower() not in ("content-length", "x-amz-crc32")
        ]
        return await sent(
            request.connection, dataclasses.replace(answer, headers=headers, body=part.answer(answer.body))
        )

    async def passed_on(self, request: Request) -> web.StreamResponse:
        return await sent(request.connection, await self.ask(request))

    async def ask(self, request: Request, body: bytes | None = None) -> Forwarded:
        connection = request.connection
        headers = [
            (name, value)
            for name, value in connection.headers.items()
            if name.lower() not in OF_THE_CONNECTION | {"content-length"}
        ]
        # As the caller wrote it: an object's name may have characters that must stay encoded.
        url = yarl.URL(self._upstream + connection.raw_path, encoded=True)
        data = request.body if body is None else body
        async with self._client.request(
            connection.method,
            url,
            headers=headers,
            data=data or None,
            allow_redirects=False,
            skip_auto_headers=ADDED_BY_CLIENT,
        ) as answer:
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in OF_THE_CONNECTION]
            return Forwarded(answer.status, answer.reason, kept, await answer.read())

    def note(
        self, at: float | None, fault: str, request: Request, forwarded: bool, records: list[int] | None = None
    ) -> None:
        call = request.call
        self._log.write(
            at,
            fault=fault,
            target=call and call.target,
            operation=call.operation if call else f"{request.connection.method} {request.connection.path}",
            request=request.number,
            forwarded=forwarded,
            records=records or [],
        )


@dataclasses.dataclass(frozen=True)
class Forwarded:
    """The answer to what was forwarded."""

    status: int
    reason: str | None
    headers: list[tuple[str, str]]
    body: bytes


def response(answer: Forwarded) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    for name, value in answer.headers:
        response.headers.add(name, value)
    return response


async def sent(connection: web.Request, answer: Forwarded) -> web.StreamResponse:
    whole = response(answer)
    # The answer to HEAD has the length of a body that it does not have.
    if connection.method != "HEAD" and answer.status not in (204, 304):
        whole.headers["Content-Length"] = str(len(answer.body))
    try:
        await whole.prepare(connection)
        if connection.method != "HEAD" and answer.body:
            await whole.write(answer.body)
        await whole.write_eof()
    except (ConnectionError, aiohttp.ClientError):
        # The caller has disconnected.
        return hung_up(connection)
    return whole


async def truncated(connection: web.Request, answer: Forwarded) -> web.StreamResponse:
    """The first half of the answer's body, after headers for the whole body. Without a body, half of the headers."""
    body = b"" if connection.method == "HEAD" else answer.body
    lines = [f"{name}: {value}" for name, value in answer.headers if name.lower() != "content-length"]
    lines = [f"HTTP/1.1 {answer.status} {answer.reason}", *lines, f"Content-Length: {len(body)}", "", ""]
    head = "\r\n".join(lines).encode()
    transport = connection.transport
    if transport is not None:
        transport.write(head + body[: len(body) // 2] if body else head[: len(head) // 2])
    return hung_up(connection)


def hung_up(connection: web.Request) -> web.StreamResponse:
    """Closes the connection after sending what was written."""
    if connection.transport is not None:
        connection.transport.close()
    return web.Response(status=502)


def cut(connection: web.Request) -> web.StreamResponse:
    """Resets the connection."""
    transport = connection.transport
    if transport is not None:
        # Closing without lingering resets the connection, whatever is still in the buffers.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=502)


def main() -> int:
    options = argparse.ArgumentParser(description="Injects faults between the functions and AWS.")
    options.add_argument("--listen", required=True, type=int, metavar="PORT", help="on 127.0.0.1; 0 takes a free one")
    options.add_argument("--upstream", required=True, metavar="URL")
    options.add_argument("--schedule", required=True, type=Path, metavar="FILE")
    options.add_argument("--log", required=True, type=Path, metavar="FILE")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    try:
        schedule = Schedule(given.schedule, given.seed, ON_THE_WAY)
        proxy = Proxy(given.upstream, schedule, Log(given.log))
        listener = socket.create_server(("127.0.0.1", given.listen), backlog=1024)
    except (ScheduleError, OSError) as error:
        print(f"proxy: {error}", file=sys.stderr)
        return 2
    # Bodies of any size: the services have their own limits.
    app = web.Application(client_max_size=0)
    app.cleanup_ctx.append(proxy.session)
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    print(json.dumps({"listening": listener.getsockname()[1]}), flush=True)
    web.run_app(
        app, sock=listener, print=None, access_log=None, shutdown_timeout=1.0, keepalive_timeout=75.0, backlog=1024
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
