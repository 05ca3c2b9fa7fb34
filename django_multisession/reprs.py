"""Safe reprs for the objects that hold keys, payloads and passwords.

Error reports show each local variable by its repr. sentry-sdk shows the items of a tuple instead, unless its class has
``__sentry_repr__``.
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
