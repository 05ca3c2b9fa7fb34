"""Error reports without session keys and passwords, also those that Django mails to the admins (decisions.md, D18)."""

from collections.abc import Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter

from ..conf import entry, names
from ..cookies import cookie_options

_PASSWORDS = ("@", "://", "password=")


class ExceptionReporterFilter(SafeExceptionReporterFilter):
    """Django's filter, which knows of one session cookie, and of secrets by the names of settings only."""

    def cleanse_setting(self, key: Any, value: Any) -> Any:
        if _is_session_cookie(key) or (key == "LOCATION" and any(mark in str(value) for mark in _PASSWORDS)):
            return self.cleansed_substitute
        return super().cleanse_setting(key, value)

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: FrameType) -> Any:
        # Session keys, secrets and connection parameters are locals all over this package.
        if tb_frame.f_globals.get("__name__", "").startswith("django_multisession"):
            return [(name, self.cleansed_substitute) for name in tb_frame.f_locals]
        return super().get_traceback_frame_variables(request, tb_frame)


def _is_session_cookie(key: Any) -> bool:
    base, _, number = str(key).rpartition(".")
    name = base if number.isdecimal() else key
    return name in _cookie_names()


def _cookie_names() -> Iterator[str]:
    for session in names():
        yield cookie_options(session).name
        with suppress(ImproperlyConfigured):  # an entry that is wrong opens no session
            fallback = entry(session).fallback
            if fallback is not None and "NAME" in fallback.entry.cookie:
                yield fallback.entry.cookie["NAME"]  # under which it still comes, with a key that is in use
