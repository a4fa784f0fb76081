"""A connection to the local runner without its token gets no data, and blocks nothing."""

import json
import queue
import socket
import threading

import pytest

import runner


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(runner, "REQUEST_SECONDS", 1.0)
    server = runner.Server(queue.Queue())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def connect(server):
    return socket.create_connection(server.server_address, timeout=60)


def answer(connection):
    """Everything until the runner closes the connection."""
    try:
        return b"".join(iter(lambda: connection.recv(65536), b""))
    except ConnectionResetError:
        return b""


def assert_answers(server):
    with connect(server) as connection:
        connection.sendall(json.dumps({"token": server.token, "ping": True}).encode() + b"\n")
        assert json.loads(answer(connection)) == {"ok": True}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        b"[]",
        b'"token"',
        b"{}",
        b'{"token": "another", "ping": true}',
        b'{"token": "\xc3\xbc", "ping": true}',
        b'{"token": "\\ud800", "ping": true}',
        b'{"token": ["a"]}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_without_the_token_nothing_is_answered(server, line, capfd):
    with connect(server) as connection:
        connection.sendall(line + b"\n")
        assert answer(connection) == b""
    assert_answers(server)
    assert server.requests.empty()
    assert "Traceback" not in capfd.readouterr().err


def test_a_line_without_end_is_not_read_to_its_end(server):
    with connect(server) as connection, pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
        for _ in range(200):
            connection.sendall(b"x" * 1_000_000)
    assert_answers(server)


def test_a_request_that_comes_drop_by_drop_is_given_up(server):
    with connect(server) as connection:
        connection.settimeout(0.1)
        # The runner waits one second: what is sent later meets a closed connection.
        for _ in range(600):
            try:
                connection.sendall(b" ")
                if connection.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                break
        else:
            raise AssertionError("it is still waited for")
    assert_answers(server)


def test_silent_connections_block_no_others(server):
    silent = [connect(server) for _ in range(50)]
    assert_answers(server)
    for connection in silent:
        assert answer(connection) == b""
        connection.close()
