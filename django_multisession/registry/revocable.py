"""Which sessions can be ended: all that are on a server, and cookies with REVOCABLE."""

from django.db.models import QuerySet
from django.utils import timezone

from ..conf import entry, names
from ..exceptions import MultisessionError
from ..runtime import cached
from ..sessions.cookie import CookieSession
from ..sessions.loading import session_class
from .models import RegisteredSession


class NotRevocable(MultisessionError):
    """The session lives in a cookie that nobody asks the registry about: set REVOCABLE of its entry."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Session {name!r} is in a cookie, which works until it expires: nobody asks the registry about it. Set "
            f"MULTISESSION[{name!r}]['REVOCABLE'] to True, and such sessions can be ended."
        )


@cached
def out_of_reach() -> frozenset[str]:
    """Return the names of the sessions that are in cookies and cannot be revoked."""
    return frozenset(
        name for name in names() if issubclass(session_class(name), CookieSession) and not entry(name).revocable
    )


def within_reach(found: QuerySet[RegisteredSession]) -> QuerySet[RegisteredSession]:
    """Return those of some rows whose sessions can be ended."""
    names = out_of_reach()
    return found.exclude(session_name__in=names) if names else found


def beyond_reach(found: QuerySet[RegisteredSession]) -> QuerySet[RegisteredSession]:
    """Return those of some rows whose cookies work until they expire, and still do."""
    return found.filter(session_name__in=out_of_reach(), expires_at__gt=timezone.now())
