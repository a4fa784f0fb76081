"""Makes the pictures of both dashboards in docs/images.

    cargo dataless dashboard --port 8088 &
    .dataless/tools/tests/bin/python tools/realtime/screenshots.py --url http://127.0.0.1:8088/

Chromium is taken from DATALESS_CHROMIUM or the PATH.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
MAX_BYTES = 300_000

# What to show: the file, the place of its dashboard in the page's list, the range, the colours, the height (0: all of it).
PICTURES = [
    ("real-time-advertising.png", 0, "-PT15M", "light", 0),
    ("ops.png", 1, "-PT15M", "light", 1700),
    ("ops-dark.png", 1, "-PT15M", "dark", 900),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True, help="where `cargo dataless dashboard` serves")
    options = parser.parse_args()
    chromium = os.environ.get("DATALESS_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        raise SystemExit("no Chromium: install one or name it in DATALESS_CHROMIUM")
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, chromium_sandbox=os.geteuid() != 0)
        for name, place, reach, colours, height in PICTURES:
            page = browser.new_page(viewport={"width": 1400, "height": height or 900}, color_scheme=colours)
            page.goto(options.url)
            page.wait_for_selector("main[aria-busy=false]")
            page.locator("#dashboards a").nth(place).click()
            page.locator("#dashboards li").nth(place).locator("[aria-current]").wait_for()
            page.get_by_label("Range").select_option(reach)
            page.wait_for_timeout(2500)
            path = IMAGES / name
            page.screenshot(path=path, full_page=not height)
            page.close()
            if path.stat().st_size > MAX_BYTES:
                raise SystemExit(f"{path} has {path.stat().st_size} bytes, more than {MAX_BYTES}")
            print(path.relative_to(IMAGES.parents[1]), path.stat().st_size, "bytes")
        browser.close()


if __name__ == "__main__":
    main()
