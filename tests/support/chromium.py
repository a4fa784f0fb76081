"""Starts Chromium for the tests that need a browser."""

import contextlib
import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find() -> str:
    """Returns the path in DATALESS_CHROMIUM, or the path of a Chromium on the PATH."""
    given = os.environ.get("DATALESS_CHROMIUM")
    found = given or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:
        pytest.fail(
            "no Chromium: install one (Debian: apt-get install chromium) or name it in DATALESS_CHROMIUM", pytrace=False
        )
    return found


@contextlib.contextmanager
def started() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find(),
            headless=True,
            # Chromium's sandbox does not work for root.
            chromium_sandbox=os.geteuid() != 0,
            args=FLAGS,
        )
        yield browser
        browser.close()
