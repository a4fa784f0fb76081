"""A proxy between the page and the API. It records requests, and can delay them or answer in place of the API.

If the client hangs up during the delay, the request never reaches the API, as on a slow network.
"""

import json
import select
import socket
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# The headers that the proxy forwards, in each direction.
REQUEST_HEADERS = ("Content-Type", "Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers")
RESPONSE_HEADERS = ("Content-Type", "Retry-After", "Vary")


@dataclass(frozen=True)
class Passed:
    method: str
    path: str
    headers: dict
    body: bytes
    gave_up: bool

    @property
    def events(self):
        return json.loads(self.body)[self.path.strip("/")]


def handler(proxy):
    """Returns a request handler that forwards requests to the proxy's API and records them in `proxy.passed`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_OPTIONS(self):
            self.forward(b"")

        def do_POST(self):
            self.forward(self.rfile.read(int(self.headers["Content-Length"])))

        def forward(self, body):
            gave_up = self.wait(proxy.seconds)
            proxy.passed.append(Passed(self.command, self.path, dict(self.headers), body, gave_up))
            if gave_up:
                self.close_connection = True
                return
            status, headers, answer = proxy.answers.pop(0) if proxy.answers else self.ask(body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def wait(self, seconds):
            """Whether the client hung up in the meantime."""
            ends = time.monotonic() + seconds
            while (left := ends - time.monotonic()) > 0:
                readable, _, _ = select.select([self.connection], [], [], left)
                if readable and not self.connection.recv(1, socket.MSG_PEEK):
                    return True
            return False

        def ask(self, body):
            headers = {name: self.headers[name] for name in REQUEST_HEADERS if name in self.headers}
            request = urllib.request.Request(
                proxy.base_url + self.path, data=body or None, headers=headers, method=self.command
            )
            try:
                response = urllib.request.urlopen(request, timeout=30)
            except urllib.error.HTTPError as error:
                response = error
            with response:
                kept = {
                    name: value
                    for name, value in response.headers.items()
                    if name in RESPONSE_HEADERS or name.lower().startswith("access-control-")
                }
                return response.status, kept, response.read()

        def log_message(self, *_):
            pass

    return Handler


class Proxy:
    def __init__(self, base_url):
        self.base_url = base_url
        self.passed = []
        self.seconds = 0.0
        # Responses to send in place of the API's, in order: (status, headers, body).
        self.answers = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def sent(self, route):
        """Returns the POST requests to a route, except those that the client aborted."""
        return [
            passed
            for passed in list(self.passed)
            if passed.path == f"/{route}" and passed.method == "POST" and not passed.gave_up
        ]
