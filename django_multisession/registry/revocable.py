"""Which sessions can be revoked: all on servers, and those in cookies with REVOCABLE."""

from django.db.models import QuerySet
from django.utils import timezone

from ..conf import entry, names
from ..exceptions import MultisessionError
from ..runtime import cached
from ..sessions.cookie import CookieSession
from ..sessions.loading import session_class
from .models import RegisteredSession


class NotRevocable(MultisessionError):
    """The session is in a cookie without REVOCABLE, and so works until it expires."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Session {name!r} is in a cookie, which works until it expires: nobody asks the registry about it. Set "
            f"MULTISESSION[{name!r}]['REVOCABLE'] to True, and such sessions can be ended."
        )


@cached
def out_of_reach() -> frozenset[str]:
    """Return the names of the sessions in cookies that cannot be revoked."""
    return frozenset(
        name for name in names() if issubclass(session_class(name), CookieSession) and not entry(name).revocable
    )


def within_reach(found: QuerySet[RegisteredSession]) -> QuerySet[RegisteredSession]:
    """Return those of the rows whose sessions can be revoked."""
    names = out_of_reach()
    return found.exclude(session_name__in=names) if names else found


def beyond_reach(found: QuerySet[RegisteredSession]) -> QuerySet[RegisteredSession]:
    """Return those of the rows whose sessions cannot be revoked, and have not expired."""
    return found.filter(session_name__in=out_of_reach(), expires_at__gt=timezone.now())
