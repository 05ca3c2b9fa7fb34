"""Error reports without session keys and passwords, also those that Django mails to the admins (decisions.md, D18)."""

from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter

from ..conf import names
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
    return any(cookie_options(session).name == name for session in names())
