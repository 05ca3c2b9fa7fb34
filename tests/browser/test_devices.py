"""The page of devices, in two browsers of one user at once."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.browser.chromium import PATIENCE
from tests.browser.visitor import log_in

PHONE = {"width": 360, "height": 740}
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.1 Mobile/15E148 Safari/604.1"
)


@pytest.fixture
def other(browser: Browser, demo: str) -> Iterator[Page]:
    """The same user on a phone, without JavaScript."""
    context: BrowserContext = browser.new_context(
        base_url=demo,
        java_script_enabled=False,
        user_agent=IPHONE,
        viewport=PHONE,  # type: ignore[arg-type]  # a TypedDict
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto("/login")
    log_in(page)
    yield page
    context.close()


def devices(page: Page) -> Page:
    """Go to the page of devices by way of the profile, with nobody else logged in."""
    page.goto("/login")
    log_in(page)
    page.get_by_role("link", name="Your devices").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your devices")
    return page


def status(page: Page) -> int:
    response = page.goto("/profile")
    assert response is not None
    return response.status


def test_signing_out_the_other_device_ends_it_there(page: Page, other: Page) -> None:
    devices(page)
    phone = page.locator(".device", has_text="Safari on iPhone").first
    expect(phone).to_contain_text("127.0.0.1")
    expect(page.locator(".device.current")).to_contain_text(re.compile("Chrom.*This device", re.DOTALL))
    assert status(other) == 200
    phone.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("status")).to_have_text("1 device was signed out.")
    assert status(other) == 401
    assert status(page) == 200


def test_signing_out_all_others_asks_once_and_leaves_this_one(page: Page, other: Page) -> None:
    other.get_by_role("link", name="Your devices").click()
    devices(page)
    page.get_by_role("link", name="Sign out all other devices").click()
    page.get_by_role("link", name="Back").click()
    assert status(other) == 200
    page.goto("/devices/others")
    page.get_by_role("button", name="Sign them out").click()
    expect(page.get_by_role("status")).to_contain_text("signed out")
    expect(page.locator(".device")).to_have_count(1)
    assert status(other) == 401
    assert status(page) == 200


def test_signing_out_this_device_leads_to_the_login(other: Page) -> None:
    other.get_by_role("link", name="Your devices").click()
    other.locator(".device.current").get_by_role("button", name="Sign out").click()
    expect(other).to_have_url(re.compile("/login"))
    assert status(other) == 401


def test_devices_fit_a_phone(page: Page, other: Page) -> None:
    devices(page)
    for path in ("/devices/", "/devices/others"):
        other.goto(path)
        expect(other.get_by_role("heading", level=1)).to_be_visible()
        box = other.locator("body").bounding_box()
        assert box is not None
        assert box["width"] <= PHONE["width"]
        buttons = [each.bounding_box() for each in other.locator("main button").all()]
        assert buttons
        assert all(button and button["height"] >= 40 for button in buttons)  # pixels, for a thumb


def test_page_of_devices_violates_no_strict_policy(page: Page) -> None:
    devices(page)
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if message.type == "error" else None)
    policy = "default-src 'none'; style-src 'self'; form-action 'self'; img-src data:"
    page.route("**/devices/", lambda route: _with_policy(route, policy))
    page.goto("/devices/")
    assert page.locator(".multisession").evaluate("element => getComputedStyle(element).maxWidth") != "none"
    assert [text for text in refused if "demo.js" not in text] == []


def _with_policy(route: Route, policy: str) -> None:
    response = route.fetch()
    headers = {**response.headers, "content-security-policy": policy}
    route.fulfill(response=response, headers=headers)
