"""Keep session keys and passwords out of error reports, and of Django's mails to the admins (decisions.md, D18)."""

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
    """Django's filter, extended: that knows one session cookie only, and secrets only by the names of settings."""

    def cleanse_setting(self, key: Any, value: Any) -> Any:
        if _is_session_cookie(key) or (key == "LOCATION" and any(mark in str(value) for mark in _PASSWORDS)):
            return self.cleansed_substitute
        return super().cleanse_setting(key, value)

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: FrameType) -> Any:
        # Throughout this package, local variables hold session keys, secrets and connection parameters.
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
        with suppress(ImproperlyConfigured):  # with a wrong entry no session is opened
            fallback = entry(session).fallback
            if fallback is not None and "NAME" in fallback.entry.cookie:
                yield fallback.entry.cookie["NAME"]  # under which it still comes, with a key that is in use
