"""The settings of the registry, and when a session's use is written down."""

from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, PermissionDenied

from ..exceptions import MultisessionError
from ..runtime import cached

LAST_SEEN: Final = "MULTISESSION_LAST_SEEN"
LENGTHENED: Final = 3600
"""Seconds by which a save must lengthen a session's life for its row to be updated."""
_DEFAULT: Final = 300
_LONGEST: Final = 3600


class SessionLimitReached(MultisessionError, PermissionDenied):
    """The user has as many sessions as MAX_SESSIONS_PER_USER allows, and ON_MAX_SESSIONS is "refuse"."""


def problems() -> list[str]:
    """Return a sentence for what is wrong with MULTISESSION_LAST_SEEN."""
    given: Any = getattr(settings, LAST_SEEN, _DEFAULT)
    if isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= _LONGEST:
        return []
    return [
        f"{LAST_SEEN} is {given!r}; it must be whole seconds from 1 to {_LONGEST}: how long a session is used before "
        "that is written down once more."
    ]


@cached
def last_seen_interval() -> int:
    """Return how many seconds lie between two updates of a session's last use; ImproperlyConfigured if it is wrong."""
    if found := problems():
        raise ImproperlyConfigured(found[0])
    return int(getattr(settings, LAST_SEEN, _DEFAULT))


def is_due(key: str, written_at: int, now: float) -> bool:
    """Tell whether a session was written in an earlier window of time than the present one.

    The windows of each storage key begin at a different second, so that not all sessions come due at once.
    """
    interval = last_seen_interval()
    offset = int(key[:8], 16) % interval
    return (written_at + offset) // interval < (int(now) + offset) // interval
