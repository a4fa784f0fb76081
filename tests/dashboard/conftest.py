"""Chromium on the page that the command serves."""

import os
import shutil

import boto3
import pytest
from playwright.sync_api import sync_playwright

from served import Served


@pytest.fixture(scope="session")
def cloudwatch():
    return boto3.client("cloudwatch")


@pytest.fixture(scope="session")
def browser():
    given = os.environ.get("DATALESS_CHROMIUM")
    found = given or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:
        pytest.fail("no Chromium: install one or name it in DATALESS_CHROMIUM", pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found,
            headless=True,
            # Chromium's sandbox does not work for root.
            chromium_sandbox=os.geteuid() != 0,
            args=["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def served():
    served = Served()
    yield served
    if served.process.poll() is None:
        served.interrupt()


@pytest.fixture
def page(browser, served):
    """The page, open. What goes wrong in it, and what it asks others for, fails the test."""
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
