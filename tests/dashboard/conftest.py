"""Fixtures for Chromium on the page that the command serves."""

import boto3
import pytest

from served import Served
from support import chromium


@pytest.fixture(scope="session")
def cloudwatch():
    return boto3.client("cloudwatch")


@pytest.fixture(scope="session")
def browser():
    with chromium.started() as browser:
        yield browser


@pytest.fixture(scope="session")
def served():
    served = Served()
    yield served
    if served.process.poll() is None:
        served.interrupt()


@pytest.fixture
def page(browser, served):
    """Yields the open page. Errors in the page and requests to other hosts fail the test."""
    context = browser.new_context(viewport={"width": 1600, "height": 1000}, reduced_motion="reduce")
    page = context.new_page()
    wrong = []
    page.on("console", lambda message: message.type in ("error", "warning") and wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: request.url.startswith(served.url) or wrong.append(f"asked {request.url}"))
    page.goto(served.url)
    page.wait_for_selector("main[aria-busy=false]")
    yield page
    context.close()
    assert wrong == []
