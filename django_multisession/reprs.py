"""What error reports show of the objects that hold keys, payloads and passwords.

They show a variable by its repr; sentry-sdk takes a tuple apart and shows its items, unless it has ``__sentry_repr__``.
"""

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def shown_as(describe: Callable[[Any], str]) -> Callable[[type[T]], type[T]]:
    """Have error reports show the objects of a class by its name and a description, such as ``<Record, 120 bytes>``."""

    def decorate(decorated: type[T]) -> type[T]:
        def shown(self: T) -> str:
            return f"<{decorated.__name__}, {describe(self)}>"

        for name in ("__repr__", "__sentry_repr__"):
            setattr(decorated, name, shown)
        return decorated

    return decorate
