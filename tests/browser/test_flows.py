"""What a visitor does with the demo's pages."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from django_multisession.testing.servers.redis import RedisServer
from testproject.management.commands.demouser import NAME, PASSWORD
from tests.browser.chromium import PATIENCE
from tests.browser.visitor import Card, log_in

AGAIN = "Back in a moment"


def test_login_profile_and_logout(page: Page) -> None:
    assert page.goto("/profile").status == 401  # type: ignore[union-attr]  # None is for the same page
    page.locator("main").get_by_role("link", name="Log in").click()
    log_in(page)
    expect(page.get_by_role("heading", level=1)).to_have_text(NAME)
    page.goto("/")
    expect(Card(page, "default").element).to_contain_text("logged in")
    page.get_by_role("navigation").get_by_role("button", name="Log out").click()
    expect(page.locator("main")).to_contain_text("You are not logged in.")
    assert page.goto("/profile").status == 401  # type: ignore[union-attr]  # a page, and no anchor


def test_login_by_keyboard_alone(page: Page) -> None:
    page.goto("/login")
    expect(page.get_by_label("User name")).to_be_focused()
    for text in (NAME, PASSWORD):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(NAME)


def test_skip_link_leads_to_the_content(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_sessions_do_not_see_each_other(page: Page) -> None:
    for name, count in (("default", 1), ("signed_cookies", 2)):
        for _ in range(count):
            Card(page, name).count()
    counts = {name: Card(page, name).shown_count() for name in ("default", "signed_cookies", "encrypted_cookies")}
    assert counts == {"default": "1", "signed_cookies": "2", "encrypted_cookies": "0"}
    Card(page, "signed_cookies").press("Clear")
    assert Card(page, "signed_cookies").shown_count() == "0"
    assert Card(page, "default").shown_count() == "1"


def test_login_leaves_the_other_sessions_alone(page: Page) -> None:
    Card(page, "signed_cookies").count()
    page.goto("/login")
    log_in(page)
    page.get_by_role("navigation").get_by_role("button", name="Log out").click()
    assert Card(page, "signed_cookies").shown_count() == "1"


def test_flash_is_shown_once(page: Page) -> None:
    card = Card(page, "default")
    card.element.get_by_label("Flash").fill("For one page")
    card.press("Leave")
    expect(card.element.get_by_role("status").first).to_have_text("For one page")
    page.reload()
    expect(card.element.get_by_text("For one page")).to_have_count(0)


def test_remaining_time_counts_down(page: Page) -> None:
    card = Card(page, "default")
    card.count()
    card.press("End in 10 s")
    time = card.element.locator("time")
    expect(time).to_have_text(re.compile(r"^(10|9) s$"))
    expect(time).to_have_text(re.compile(r"^[5-8] s$"), timeout=PATIENCE)


def test_session_that_has_ended_looks_ended(page: Page) -> None:
    page.clock.install()
    page.goto("/login")
    log_in(page)
    page.goto("/")
    card = Card(page, "default")
    card.count()
    card.press("End in 10 s")
    expect(page.locator("main")).to_contain_text("You are logged in")
    page.clock.fast_forward(11_000)
    expect(card.element).to_contain_text("It has ended")
    expect(card.element.locator("output")).to_have_text("0")
    expect(card.element.locator(".badge")).to_have_text("ended")
    for gone in ("You are logged in", "What is in it"):
        expect(page.locator("main").get_by_text(gone).first).to_be_hidden()
    expect(page.get_by_role("button", name="Log out")).to_have_count(0)
    expect(Card(page, "signed_cookies").element.locator(".badge")).not_to_have_text("ended")


def test_pages_work_without_javascript_and_fit_a_phone(browser: Browser, demo: str) -> None:
    phone = {"width": 360, "height": 740}
    context = browser.new_context(
        base_url=demo,
        java_script_enabled=False,
        viewport=phone,  # type: ignore[arg-type]  # a TypedDict
    )
    try:
        page = context.new_page()
        page.goto("/")
        Card(page, "default").count()
        assert Card(page, "default").shown_count() == "1"
        expect(Card(page, "default").element.locator("time")).to_have_text(re.compile("^(14 days|13 days 23 h)$"))
        for path in ("/", "/login", "/get", "/profile", "/sessions/encrypted_cookies/"):
            page.goto(path)
            box = page.locator("body").bounding_box()
            assert box is not None
            assert box["width"] <= phone["width"]
    finally:
        context.close()


@pytest.mark.parametrize("outage", ["killed", "hung"])
def test_outage_is_a_503_page_and_the_user_is_still_logged_in_after_it(
    page: Page, redis: RedisServer, outage: str
) -> None:
    page.goto("/login")
    log_in(page)
    cookies = page.context.cookies()
    stop, restore = {"killed": (redis.kill, redis.restart), "hung": (redis.pause, redis.resume)}[outage]
    stop()
    try:
        response = page.goto("/profile")
        assert response is not None
        assert response.status == 503
        assert response.headers["retry-after"]
        expect(page.get_by_role("heading", level=1)).to_have_text(AGAIN)
        assert page.context.cookies() == cookies
    finally:
        restore()
    # The circuit breaker lets one probe a second through.
    for _ in range(20):
        page.wait_for_timeout(250)
        page.reload()
        if page.get_by_role("heading", level=1).inner_text() != AGAIN:
            break
    expect(page.get_by_role("heading", level=1)).to_have_text(NAME)
