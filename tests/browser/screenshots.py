"""Make the screenshots that the docs show: ``python -m tests.browser.screenshots DIRECTORY``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from testproject.servers import every_server
from tests.browser.chromium import absent, chromium
from tests.browser.visitor import Card, log_in
from tests.system.demo import demo_process, environment

SHOTS: dict[str, dict[str, Any]] = {
    "demo-light.png": {
        "viewport": {"width": 1240, "height": 1375},
        "device_scale_factor": 0.62,  # as wide as the docs' column
        "color_scheme": "light",
    },
    "demo-dark-phone.png": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
}
LARGEST = 150_000
"""Bytes of a picture: it stays in the repository for ever."""
COUNTS = {"default": 3, "redis": 2, "memcached": 5, "mongodb": 1, "postgresql": 4, "signed_cookies": 2}


def main(directory: str) -> None:
    """Serve the demo, visit it as somebody might, and write the pictures."""
    reason = absent()
    if reason:
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as temporary, every_server() as servers, chromium() as browser:
        variables = environment("db", Path(temporary), None) | servers
        with demo_process(variables, Path(temporary)) as address:
            for name, look in SHOTS.items():
                picture = _visit(browser, address, look)
                if len(picture) > LARGEST:
                    sys.exit(f"{name} has {len(picture)} bytes; at most {LARGEST} may be.")
                (Path(directory) / name).write_bytes(picture)


def _visit(browser: Browser, address: str, look: dict[str, Any]) -> bytes:
    # Without JavaScript no time counts down meanwhile.
    context = browser.new_context(base_url=address, java_script_enabled=False, **look)
    try:
        page = context.new_page()
        page.goto("/login")
        log_in(page)
        page.goto("/")
        present = [name for name in COUNTS if page.locator(f"article#{name}").count()]
        for name in present:
            for _ in range(COUNTS[name]):
                Card(page, name).count()
        for _ in range(2):
            Card(page, "encrypted_cookies").press("+2000 bytes")
        context.request.post(f"/sessions/{present[1]}/flash", data={"text": "Shown once, then gone."})
        page.goto("/get")
        page.goto("/")
        return page.screenshot()
    finally:
        context.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
