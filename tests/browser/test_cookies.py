"""What the browser stores of the sessions' cookies, read from its own jar."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import PATIENCE, launch_options
from tests.browser.visitor import Card, cookie, log_in

SIGNED = "sessionid_signed_cookies"
ENCRYPTED = "sessionid_encrypted_cookies"
TWO_WEEKS = 14 * 86_400
DAY = 86_400
AT_CLOSE = -1
"""What Playwright says of the expiry of a cookie that ends with the browser."""


def stored(page: Page, name: str) -> dict[str, Any]:
    found = cookie(page, name)
    assert found is not None, f"{name} is not in the jar"
    return dict(found)


def expiry(page: Page, name: str) -> float:
    """Return the seconds from now on for which the browser keeps the cookie."""
    expires: float = stored(page, name)["expires"]
    return expires if expires == AT_CLOSE else expires - time.time()


def test_cookie_is_as_the_settings_say(page: Page) -> None:
    Card(page, "default").count()
    kept = stored(page, "sessionid")
    assert (kept["path"], kept["domain"]) == ("/", "127.0.0.1")
    assert (kept["httpOnly"], kept["secure"], kept["sameSite"]) == (True, False, "Lax")
    assert expiry(page, "sessionid") == pytest.approx(TWO_WEEKS, abs=30)


@pytest.mark.parametrize("name", ["default", "signed_cookies", "encrypted_cookies"])
def test_max_age_is_kept_by_every_engine(page: Page, name: str) -> None:
    named = "sessionid" if name == "default" else f"sessionid_{name}"
    Card(page, name).change(MaxAge="86400")
    assert expiry(page, named) == pytest.approx(DAY, abs=30)
    Card(page, name).change(MaxAge="0")
    assert expiry(page, named) == AT_CLOSE
    Card(page, name).count()
    assert expiry(page, named) == AT_CLOSE
    Card(page, name).change(MaxAge="-1")
    assert cookie(page, named) is None
    assert Card(page, name).shown_count() == "0"


@pytest.mark.parametrize("samesite", ["Strict", "Lax"])
def test_samesite_is_kept(page: Page, samesite: str) -> None:
    Card(page, "default").change(SameSite=samesite)
    Card(page, "default").count()
    assert stored(page, "sessionid")["sameSite"] == samesite


def test_httponly_hides_the_cookie_from_scripts_until_it_is_taken_off(page: Page) -> None:
    card = Card(page, "signed_cookies")
    card.count()
    assert SIGNED not in page.evaluate("document.cookie")
    card.change(untick=("HttpOnly",))
    assert stored(page, SIGNED)["httpOnly"] is False
    assert SIGNED in page.evaluate("document.cookie")


def test_samesite_none_without_secure_is_refused_with_the_rule(page: Page) -> None:
    card = Card(page, "default")
    card.count()
    before = stored(page, "sessionid")
    card.change(SameSite="None")
    expect(card.element.get_by_role("alert")).to_contain_text("SameSite=None needs Secure")
    assert stored(page, "sessionid")["value"] == before["value"]


@pytest.mark.parametrize("name", ["default", "encrypted_cookies"])
def test_path_moves_the_cookie_and_leaves_none_behind(page: Page, name: str) -> None:
    named = "sessionid" if name == "default" else f"sessionid_{name}"
    card, narrow = Card(page, name), f"/sessions/{name}/"
    card.count()
    card.change(Path=narrow)
    assert page.url.endswith(narrow)
    assert stored(page, named)["path"] == narrow  # cookie() fails if there are two
    assert card.shown_count() == "1"
    page.goto("/")
    assert card.shown_count() == "0"
    page.goto(narrow)
    card.change(Path="/")
    assert stored(page, named)["path"] == "/"
    page.goto("/")
    assert card.shown_count() == "1"


def test_moved_cookie_is_deleted_where_it_is(page: Page) -> None:
    card = Card(page, "default")
    card.change(Path="/sessions/default/")
    card.press("Clear")
    assert cookie(page, "sessionid") is None


def test_chunked_cookie_grows_and_shrinks(page: Page) -> None:
    card = Card(page, "encrypted_cookies")

    def chunks() -> list[str]:
        return sorted(each["name"] for each in page.context.cookies() if each["name"].startswith(ENCRYPTED))

    card.count()
    assert chunks() == [ENCRYPTED]
    card.press("+2000 bytes")
    card.press("+2000 bytes")
    assert chunks() == [ENCRYPTED, f"{ENCRYPTED}.1"]
    card.press("+2000 bytes")
    card.press("+2000 bytes")
    assert chunks() == [ENCRYPTED, f"{ENCRYPTED}.1", f"{ENCRYPTED}.2"]
    card.press("+2000 bytes")
    expect(card.element.get_by_role("alert")).to_contain_text("ballast")  # too large: the largest key is named
    assert len(chunks()) == 3
    card.press("-2000 bytes")
    card.press("-2000 bytes")
    assert chunks() == [ENCRYPTED, f"{ENCRYPTED}.1"]
    assert card.shown_count() == "1"
    card.press("-2000 bytes")
    card.press("-2000 bytes")
    assert chunks() == [ENCRYPTED]
    card.press("Clear")
    assert chunks() == []


def test_closed_browser_forgets_browser_sessions_and_keeps_the_others(
    browser: Browser, demo: str, tmp_path: Path
) -> None:
    def visit(act: bool) -> dict[str, str]:
        """Start the browser on one and the same profile, and return the counts that the page shows."""
        context = browser.browser_type.launch_persistent_context(tmp_path, base_url=demo, **launch_options())
        try:
            context.set_default_timeout(PATIENCE)
            page = context.pages[0]
            page.goto("/")
            names = ("default", "signed_cookies", "encrypted_cookies")
            if act:
                for name in names:
                    Card(page, name).count()
            return {name: Card(page, name).shown_count() for name in names}
        finally:
            context.close()

    assert visit(act=True) == {"default": "1", "signed_cookies": "1", "encrypted_cookies": "1"}
    # signed_cookies has MAX_AGE 0.
    assert visit(act=False) == {"default": "1", "signed_cookies": "0", "encrypted_cookies": "1"}


def test_host_prefixed_cookie_is_kept_over_tls(secure_page: Page) -> None:
    secure_page.goto("/login")
    log_in(secure_page)
    kept = stored(secure_page, "__Host-sessionid")
    assert (kept["path"], kept["domain"]) == ("/", "127.0.0.1")
    assert (kept["secure"], kept["httpOnly"]) == (True, True)
    secure_page.get_by_role("navigation").get_by_role("button", name="Log out").click()
    expect(secure_page.locator("main")).to_contain_text("You are not logged in.")
    assert cookie(secure_page, "__Host-sessionid") is None


def test_host_prefixed_cookie_refuses_another_path(secure_page: Page) -> None:
    card = Card(secure_page, "default")
    card.change(Path="/sessions/default/")
    expect(card.element.get_by_role("alert")).to_contain_text("__Host-, which needs path '/'")


def test_partitioned_cookie_is_kept_in_its_partition_over_tls(secure_page: Page) -> None:
    card = Card(secure_page, "partitioned")
    card.count()
    kept = stored(secure_page, "__Secure-partitioned")
    assert kept["partitionKey"] == "https://127.0.0.1"
    assert (kept["sameSite"], kept["secure"]) == ("None", True)
    card.press("Clear")
    assert cookie(secure_page, "__Secure-partitioned") is None


def test_partition_left_and_entered_moves_the_cookie(secure_page: Page) -> None:
    card = Card(secure_page, "partitioned")
    card.count()
    card.change(untick=("Partitioned",))
    assert "partitionKey" not in stored(secure_page, "__Secure-partitioned")
    card.change(tick=("Partitioned",))
    assert stored(secure_page, "__Secure-partitioned")["partitionKey"] == "https://127.0.0.1"
    assert card.shown_count() == "1"


def test_samesite_none_is_kept_over_tls(secure_page: Page) -> None:
    Card(secure_page, "default").change(SameSite="None")
    assert stored(secure_page, "__Host-sessionid")["sameSite"] == "None"
