"""What visitors click, in their words."""

from __future__ import annotations

from playwright.sync_api import Cookie, Page

from testproject.management.commands.demouser import NAME, PASSWORD


def log_in(page: Page) -> None:
    """Fill in the form of the login page and send it."""
    page.get_by_label("User name").fill(NAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main").get_by_role("button", name="Log in").click()


def cookie(page: Page, name: str) -> Cookie | None:
    """Return a cookie from the browser's jar, whatever its path; None if there is none of the name."""
    found = [cookie for cookie in page.context.cookies() if cookie["name"] == name]
    assert len(found) <= 1, f"{name} is there {len(found)} times"
    return found[0] if found else None


class Card:
    """The card of one session on a page."""

    def __init__(self, page: Page, name: str) -> None:
        self.element = page.locator(f"article#{name}")
        self._page = page

    def press(self, button: str) -> None:
        """Press the button, and wait for the page that comes of it."""
        with self._page.expect_navigation():
            self.element.get_by_role("button", name=button, exact=True).click()

    def count(self) -> None:
        self.press("Count one more")

    def shown_count(self) -> str:
        return self.element.locator("output").inner_text()

    def change(self, *, tick: tuple[str, ...] = (), untick: tuple[str, ...] = (), **choices: str) -> None:
        """Change options of the cookie; choices are SameSite, MaxAge and Path."""
        self.element.get_by_text("Change its cookie").click()
        for label, value in choices.items():
            self.element.get_by_label({"MaxAge": "Max-Age"}.get(label, label)).select_option(value)
        for label in tick:
            self.element.get_by_role("checkbox", name=label).check()
        for label in untick:
            self.element.get_by_role("checkbox", name=label).uncheck()
        self.press("Change")
