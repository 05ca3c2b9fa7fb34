"""Errors that tell what they say, and show nobody what the frames behind them hold.

Error reports, such as Django's mails and Sentry's events, show the local variables of every frame. Those of a store's
client hold payloads, those of ours session keys and data; after a SessionTooLarge an event had 60 MB. What an error of
this package is to say stands in its text.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from django.contrib.sessions.backends.base import UpdateError
from django.core.exceptions import ImproperlyConfigured

from ..exceptions import MultisessionError

E = TypeVar("E", bound=BaseException)

SAID: Final = (MultisessionError, UpdateError, ImproperlyConfigured)
"""Errors whose text says all that is to be known."""


def without_frames(error: E) -> E:
    """Return an error without the frames that it has come through, and so its causes."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        current.__traceback__ = None
        current = current.__cause__ or current.__context__
    return error


@contextmanager
def hidden_frames() -> Iterator[None]:
    """Let errors of this package leave a block without the frames inside of it."""
    try:
        yield
    except SAID as error:
        raise without_frames(error)  # noqa: B904 - it is the same one
