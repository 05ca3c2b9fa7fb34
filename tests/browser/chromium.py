"""Chromium as the tests and scripts/screenshots start it: the machine's own, headless, and silent on the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from django_multisession.testing.servers.base import find_program

FLAGS = [
    "--no-sandbox",  # needs more than containers grant
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 10_000
"""Milliseconds to wait for a page or an element."""


def absent() -> str | None:
    """Return why there is no browser here, None if there is one."""
    return None if _program() else "chromium: neither chromium nor chromium-browser is on the PATH"


def launch_options() -> dict[str, Any]:
    """Return what Playwright's launch methods need to start it."""
    return {"executable_path": _program(), "args": FLAGS, "headless": True}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser until the end of the block.

    Until then this thread has a running event loop, Playwright's: Django's ORM and asyncio.run() refuse to work.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**launch_options())
        yield browser
        browser.close()


def _program() -> str | None:
    return find_program("chromium", "chromium-browser")
