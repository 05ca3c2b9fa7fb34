"""Fixtures of the browser tests: a browser, the demo on a Redis of its own, and the demo behind TLS."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from django_multisession.testing.servers.base import free_port
from django_multisession.testing.servers.redis import RedisServer
from tests.browser import certificate
from tests.browser.chromium import PATIENCE, absent, chromium
from tests.system.demo import demo_process, environment, prepare, process

NAMED = '{"signed_cookies": null, "encrypted_cookies": null}'

ALWAYS = {
    "test_login_profile_and_logout",
    "test_sessions_do_not_see_each_other",
    "test_path_moves_the_cookie_and_leaves_none_behind",
    "test_chunked_cookie_grows_and_shrinks",
    "test_host_prefixed_cookie_is_kept_over_tls",
    "test_signing_out_the_other_device_ends_it_there",
}
"""What only a browser can show of cookies, and a login; the others are for the night."""


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.slow)
    if getattr(item, "originalname", item.name) not in ALWAYS:
        item.add_marker(pytest.mark.nightly)


# Of the package and no longer: while Playwright runs, its event loop does, and nobody else could run one.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    reason = absent()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"CI skips nothing: {reason}", pytrace=False)
    if reason:
        pytest.skip(reason)
    with chromium() as started:
        yield started


@pytest.fixture(scope="package")
def redis() -> Iterator[RedisServer]:
    """A server that a crash takes nothing from."""
    reason = RedisServer.available()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"CI skips nothing: {reason}", pytrace=False)
    if reason:
        pytest.skip(reason)
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture(scope="package")
def demo(browser: Browser, redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the demo: the default session on Redis, and one in each kind of cookie."""
    directory = tmp_path_factory.mktemp("demo")
    variables = environment("redis", directory, redis.location) | {"MULTISESSION_NAMED": NAMED}
    variables["MULTISESSION_TIMEOUT"] = "2"  # seconds: one test waits for it
    with demo_process(variables, directory) as address:
        yield address


@pytest.fixture(scope="package")
def secure_demo(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the demo behind TLS, with cookies that need it."""
    directory = tmp_path_factory.mktemp("secure")
    pem, port = certificate.make(directory), free_port()
    variables = environment("db", directory, None)
    variables["DJANGO_SETTINGS_MODULE"] = "tests.browser.secure_settings"
    prepare(variables)
    address = f"https://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tests.browser.tls", str(port), str(pem)]
    with process(command, variables, address, directory / "log"):
        yield address


@pytest.fixture
def context(browser: Browser, demo: str) -> Iterator[BrowserContext]:
    """A visitor with an empty cookie jar."""
    context = browser.new_context(base_url=demo)
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """The visitor on the start page."""
    page = context.new_page()
    page.goto("/")
    return page


@pytest.fixture
def secure_page(browser: Browser, secure_demo: str) -> Iterator[Page]:
    """A visitor on the start page of the demo behind TLS, whose certificate nobody has signed."""
    context = browser.new_context(base_url=secure_demo, ignore_https_errors=True)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto("/")
    yield page
    context.close()
