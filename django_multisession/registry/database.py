"""The database of the registry: which one it is, and how it is asked, on Django's own connection in both colours."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, OperationalError, connections, router, transaction
from django.utils import timezone

from ..exceptions import MultisessionError, StoreUnavailable
from ..stores.aliases import on_connection, table_is_missing
from ..stores.sql_errors import by_exception
from ..stores.table import Clock
from .models import RegisteredSession

T = TypeVar("T")
CLOCKS_APART: Final = timedelta(seconds=1)
"""By how much this host's clock may differ from the database's before that counts instead."""


def alias() -> str:
    """Return the key of DATABASES that has the registry's tables."""
    return router.db_for_write(RegisteredSession)


def in_transaction() -> bool:
    """Tell whether the caller is in a transaction, which may be rolled back."""
    return connections[alias()].in_atomic_block


def by_itself() -> AbstractContextManager[Any]:
    """Return a context manager in which a failing statement does not break the caller's transaction."""
    return transaction.atomic(alias()) if in_transaction() else nullcontext()


class RegistryUnavailable(MultisessionError):
    """The registry's database did not answer, so that nothing was revoked. Try again.

    StoreUnavailable, in contrast, is raised after the rows are marked: the sessions end once their store answers.
    """

    def __init__(self, outage: StoreUnavailable) -> None:
        super().__init__(outage)
        self.outage = outage

    def __str__(self) -> str:
        return f"{self.outage.location} did not answer, so sessions go on: {self.outage.reason}"


@contextmanager
def before_the_mark() -> Iterator[None]:
    """Raise RegistryUnavailable for an outage in the block, which marks rows."""
    try:
        yield
    except StoreUnavailable as outage:
        raise RegistryUnavailable(outage) from outage


async def ask(query: Callable[[], T]) -> T:
    """Call a query on the thread of Django's connections, and return what it returns.

    Raises StoreUnavailable if the database does not answer, and ImproperlyConfigured if the tables are missing.
    """
    try:
        return await on_connection(query)
    except (DatabaseError, InterfaceError) as error:
        name = alias()
        if table_is_missing(error):
            raise ImproperlyConfigured(missing_tables(name)) from error
        if not isinstance(error, OperationalError | InterfaceError):
            raise
        verdict = by_exception(name, error)
        reason = type(error).__name__ if verdict is None else verdict[1]
        raise StoreUnavailable(f"DATABASES[{name!r}]", reason) from error


def missing_tables(name: str) -> str:
    """Return a sentence that says how to create the tables on a database."""
    app = RegisteredSession._meta.app_label
    return f"The tables of the registry are missing. Run: python manage.py migrate {app} --database {name}."


def at(timestamp: float) -> datetime:
    """Return seconds since 1970 as an aware datetime."""
    return datetime.fromtimestamp(timestamp, UTC)


def shared(moment: datetime) -> datetime:
    """Ask the database for its time, and return a moment that other hosts can compare theirs with; see by_clock()."""
    user: Any = get_user_model()
    here = timezone.now()  # before, so that what the answer takes does not make the moment an earlier one
    now = user._base_manager.using(alias()).values_list(Clock(), flat=True).first()
    return moment if now is None else by_clock(moment, now, here)


def by_clock(moment: datetime, now: datetime, here: datetime | None = None) -> datetime:
    """Return a moment of this host's clock by the database's clock, if they differ; ``now`` is the database's time.

    ``here`` is this host's time. Taken before the question (see shared()), the moment is never too early; by default
    it is the time after the answer, with which the moment is never too late.

    So a host with a wrong clock neither refuses logins on other hosts nor lets them through. If the clocks agree, this
    host's is more precise, since the database's answer has taken time.
    """
    here = here or timezone.now()
    if timezone.is_naive(here) and timezone.is_aware(moment):
        moment = timezone.make_naive(moment)
    apart = now - here
    return moment + apart if abs(apart) > CLOCKS_APART else moment
