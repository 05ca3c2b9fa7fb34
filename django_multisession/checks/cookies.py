"""Check the cookies of all sessions together: their names, and their size in a header."""

import itertools
from importlib import import_module

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from ..conf import DEFAULT, entry, names
from ..cookies import MAX_SIZE, chunk_names, cookie_options
from .found import Found, entry_of, error, in_cookies, sessions, warning


def nginx_needs(cookies: int) -> str:
    """Return nginx's settings that let so many full cookies pass, in both directions; tested with nginx 1.22."""
    size = f"{max(4 * cookies + 4, 16)}k"  # 4k for the other headers
    return f"proxy_buffer_size {size}; proxy_buffers 8 {size}; large_client_header_buffers 4 {size};"


def check_names() -> Found:
    """Check that no session's cookie has the name of another session's, or of one of Django's own cookies."""
    cookies: dict[str, str] = {}
    for name in names():
        try:
            cookies[name] = cookie_options(name).name
        except ImproperlyConfigured:
            continue  # reported by check_sessions()
    for other, name in itertools.combinations(cookies, 2):
        cookie, taken = cookies[name], cookies[other]
        if cookie in chunk_names(taken) or taken in chunk_names(cookie):
            yield error(
                "E007",
                f"The sessions {other!r} and {name!r} have the cookies {taken!r} and {cookie!r}, and would end each "
                "other: a cookie and its chunks belong to one session.",
                f"Set {_setting_of_name(name)} to another name.",
            )
    taken_by = _djangos()
    for name, cookie in cookies.items():
        if cookie in taken_by:
            yield error(
                "E011",
                f"The cookie of session {name!r} is named {cookie!r}, as is that of {taken_by[cookie]}: they would "
                "overwrite each other.",
                f"Set {_setting_of_name(name)} to another name.",
            )


def _setting_of_name(session: str) -> str:
    return "SESSION_COOKIE_NAME" if session == DEFAULT else f"{entry_of(session)}['COOKIE']['NAME']"


def _djangos() -> dict[str, str]:
    """Return the names of Django's own cookies, with what each is for."""
    found = {settings.LANGUAGE_COOKIE_NAME: "the language (LANGUAGE_COOKIE_NAME)"}
    if not settings.CSRF_USE_SESSIONS:
        found[settings.CSRF_COOKIE_NAME] = "the CSRF protection (CSRF_COOKIE_NAME)"
    storage = "django.contrib.messages.storage.cookie"
    if "django.contrib.messages" in settings.INSTALLED_APPS:
        found[import_module(storage).CookieStorage.cookie_name] = "django.contrib.messages"
    return found


def check_sizes(allowed: int = 1) -> Found:
    """Check that the cookies of cookie engines are ``allowed`` at most; those of sessions on servers are short."""
    chunks = {name: entry(name).chunks for name, session in sessions() if in_cookies(session)}
    count = sum(chunks.values())
    if count > allowed:
        yield warning(
            "W003",
            f"The cookies of {', '.join(map(repr, chunks))} together can take {count * MAX_SIZE} bytes. By default, "
            "nginx answers 502 to the visitor once a response sets 3.8 kB of cookies (proxy_buffer_size is 4k), and "
            "gunicorn (limit_request_field_size, 8,190 bytes) and nginx (large_client_header_buffers, 8k) answer 4xx "
            "to every request that brings more back: the visitor cannot even log out.",
            f"Keep such sessions small and few. nginx needs: {nginx_needs(count)} gunicorn needs: "
            f"limit_request_field_size = {(count + 1) * MAX_SIZE}.",
        )
