"""Errors that tell what they say, and show nobody what the frames behind them hold.

Error reports, such as Django's mails and Sentry's events, show the local variables of every frame. Those of a store's
client hold payloads, those of ours session keys and data; after a SessionTooLarge an event had 60 MB. What an error of
this package is to say stands in its text.
"""

from contextlib import suppress
from types import TracebackType
from typing import Any, Final, TypeVar

from django.contrib.sessions.backends.base import UpdateError
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabasesError

from ..exceptions import MultisessionError

E = TypeVar("E", bound=BaseException)

SAID: Final = (MultisessionError, UpdateError, ImproperlyConfigured, DatabasesError)
"""Errors whose text says all that is to be known."""


def discreet(error: E) -> E:
    """Return an error without the frames that it has come through, and so its causes.

    One whose text does not say all, as of a project's rule of MERGE, keeps its frames; those of this package are empty.
    """
    says_all, seen = isinstance(error, SAID), set[int]()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if says_all:
            current.__traceback__ = None
        else:
            _empty_ours(current.__traceback__)
        current = current.__cause__ or current.__context__
    return error


def _empty_ours(traceback: TracebackType | None) -> None:
    while traceback is not None:
        if str(traceback.tb_frame.f_globals.get("__name__")).startswith("django_multisession."):
            with suppress(RuntimeError):  # of a frame that still runs
                traceback.tb_frame.clear()
        traceback = traceback.tb_next


class hidden_frames:  # noqa: N801 - like suppress()
    """Let errors of this package leave a block without the frames inside of it.

    Not by contextlib's contextmanager, which gives an error that it lets pass its frames back.
    """

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(self, kind: Any, error: BaseException | None, traceback: TracebackType | None) -> None:
        if isinstance(error, SAID):
            discreet(error)
