import functools
import re
import threading
import uuid
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from proxy import Proxy
from support import chromium

PAGES = Path(__file__).resolve().parents[2] / "examples" / "browser"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@pytest.fixture(scope="session")
def browser():
    with chromium.started() as browser:
        yield browser


class Site:
    """Serves the example's files with unique ad ids."""

    def __init__(self):
        self.ads = {}
        site = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self):
                if self.path.split("?")[0] not in ("/", "/index.html"):
                    return super().do_GET()
                page = (PAGES / "index.html").read_text(encoding="utf-8")
                body = UUID.sub(lambda found: site.own_id(found[0]), page).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=PAGES))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def own_id(self, ad_id):
        return self.ads.setdefault(ad_id, str(uuid.uuid4()))

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site():
    site = Site()
    yield site
    site.close()


@pytest.fixture
def proxy(target):
    proxy = Proxy(target.base_url)
    yield proxy
    proxy.close()


@pytest.fixture
def page(browser, site, proxy):
    """The open example page in a window that shows only the first ad."""
    context = browser.new_context(viewport={"width": 1200, "height": 620}, reduced_motion="reduce")
    page = context.new_page()
    page.console = []
    page.on("console", lambda message: page.console.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: page.console.append(f"exception: {error}"))
    page.goto(f"{site.url}/?api={proxy.url}")
    yield page
    context.close()
