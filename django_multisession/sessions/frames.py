"""Remove from errors the frames whose local variables hold what sessions hold.

Error reports, such as Django's mails and Sentry's events, show the local variables of every frame. Those of a store's
client hold payloads, and ours hold session keys and data; after a SessionTooLarge an event had 60 MB. All that an error
of this package has to say is in its text.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from types import TracebackType
from typing import Final, ParamSpec, TypeVar

from django import db
from django.contrib.sessions.backends.base import UpdateError
from django.core.exceptions import ImproperlyConfigured

from ..exceptions import MultisessionError

P = ParamSpec("P")
T = TypeVar("T")

_SELF_EXPLANATORY: Final = (MultisessionError, UpdateError, ImproperlyConfigured, db.Error)
"""Errors whose text says everything."""


def hide_frames(error: BaseException) -> None:
    """Remove from an error, and from its causes, the frames that show what sessions hold.

    An error whose text says everything loses all its frames. Any other, such as one that a project's MERGE rule raises,
    keeps them, but the variables of this package's frames are cleared.
    """
    explains_itself, seen = isinstance(error, _SELF_EXPLANATORY), set[int]()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if explains_itself:
            current.__traceback__ = None
        else:
            _empty_ours(current.__traceback__)
        current = current.__cause__ or current.__context__


def hiding_frames(method: Callable[P, T]) -> Callable[P, T]:
    """Wrap a method so that its errors leave it without their frames; see hide_frames()."""

    @wraps(method)
    def hiding(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            hide_frames(error)
            raise

    return hiding


def _empty_ours(traceback: TracebackType | None) -> None:
    while traceback is not None:
        if str(traceback.tb_frame.f_globals.get("__name__")).startswith("django_multisession."):
            with suppress(RuntimeError):  # the frame still runs
                traceback.tb_frame.clear()
        traceback = traceback.tb_next
