"""Django's error reports show neither session keys nor passwords."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.views.debug import ExceptionReporter

from django_multisession.exceptions import StoreUnavailable
from django_multisession.http.error_reports import ExceptionReporterFilter
from django_multisession.middleware import SessionMiddleware
from django_multisession.runtime import reset
from django_multisession.sessions.loading import session_class

MEMORY = "django_multisession.engines.memory"
PASSWORD = "not-a-real-password"
SESSION_KEY = "0123456789abcdefghijklmnopqrstuv"
SECRETS = {
    "sessionid": "default-cookie-value",
    "sessionid.1": "chunk-of-the-default",
    "sessionid_cart": SESSION_KEY,
    "sessionid_cart.2": "chunk-of-the-cart",
}
SETTINGS: dict[str, Any] = {
    "SESSION_ENGINE": "django_multisession.engines.signed_cookies",
    "MULTISESSION": {
        "cart": {
            "ENGINE": "django_multisession.engines.redis",
            "LOCATION": f"redis://:{PASSWORD}@127.0.0.1:1/0",
            "KEYS": ["obviously-fake-key"],
        }
    },
}


@pytest.fixture(params=["text", "html"])
def report(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return what Django reports of a request whose session store is down."""

    def view(http: HttpRequest) -> HttpResponse:
        try:
            http.sessions["cart"]["a"]  # type: ignore[attr-defined]
        except StoreUnavailable:
            reporter = ExceptionReporter(http, *sys.exc_info())
            text = reporter.get_traceback_text() if request.param == "text" else reporter.get_traceback_html()
            return HttpResponse(text)
        raise AssertionError

    with override_settings(DEBUG=False, **SETTINGS):
        http = RequestFactory().get("/")
        http.COOKIES.update(SECRETS, other="shown-as-ever")
        yield SessionMiddleware(view)(http).content.decode()
        session_class("cart").records().store.close()
    reset()  # of the breaker: each report is to be of a server that was asked


# The fixture's frame, and with it the name of the test, is in the report.
@pytest.mark.parametrize("secret", [*SECRETS.values(), PASSWORD, "obviously-fake-key"], ids=range(6))
def test_report_shows_no_secret(report: str, secret: str) -> None:
    assert secret not in report


def test_report_shows_the_rest(report: str) -> None:
    assert "shown-as-ever" in report
    assert "StoreUnavailable" in report


def test_report_hides_the_cookie_that_a_session_had_before() -> None:
    former = {"ENGINE": "django.contrib.sessions.backends.db", "UNTIL": "2099-12-31", "COOKIE": {"NAME": "formerid"}}
    http = RequestFactory().get("/")
    http.COOKIES.update({"formerid": SESSION_KEY, "formerid.1": "chunk", "other": "shown-as-ever"})
    for name in ("default", "cart"):
        described = {"FALLBACK": former} | ({} if name == "default" else {"ENGINE": MEMORY})
        with override_settings(SESSION_ENGINE=MEMORY, MULTISESSION={name: described}):
            shown = ExceptionReporterFilter().get_safe_cookies(http)
        assert SESSION_KEY not in shown.values()
        assert "chunk" not in shown.values()
        assert shown["other"] == "shown-as-ever"


def test_project_s_own_filter_stays() -> None:
    http = RequestFactory().get("/")
    with override_settings(DEFAULT_EXCEPTION_REPORTER_FILTER="project.Filter"):
        SessionMiddleware(lambda _: HttpResponse()).process_request(http)
    assert not hasattr(http, "exception_reporter_filter")
