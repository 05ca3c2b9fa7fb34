"""Errors for code that overrides or calls methods of Django's sessions which have no effect on ours."""

from typing import Any, Final

_UNCALLED: Final = ("encode", "decode")
"""Methods of Django's sessions that ours never call."""


def refuse_overrides(session_class: type[Any]) -> None:
    """Raise TypeError if a class overrides a method that is never called: its effect would silently be missing."""
    for method in _UNCALLED:
        if method in vars(session_class):
            raise TypeError(
                f"{session_class.__module__}.{session_class.__qualname__} overrides {method!r}, which is never called: "
                "sessions are serialised by SERIALIZER or SESSION_SERIALIZER, and sealed by ENCRYPT. Use those instead."
            )


def no_model(session_class: type[Any], method: str) -> NotImplementedError:
    """Return the error for a caller that asks for Django's model of sessions."""
    return NotImplementedError(
        f"{session_class.__module__} has no {method}(): its sessions are no rows of django.contrib.sessions, and no "
        "key can be read from where they are. End one whose key you have by delete(session_key); docs/faq.md says more."
    )
