"""What purgesessions does for the registry: delete pending records, then rows that are no longer needed.

A row is deleted only if the store has neither of its keys: a session that lives longer than its row says keeps the row,
and the record of a revoked one is deleted first.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, Final

from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Q, QuerySet
from django.utils import timezone

from ..bridge import run_sync
from ..conf import names
from ..deadline import Operation
from ..envelope import SKEW
from ..exceptions import StoreUnavailable
from ..sessions.cookie import CookieSession
from ..sessions.loading import session_class
from ..sessions.server import ServerSession
from . import pending, rows, signals
from .database import alias
from .models import RegisteredSession
from .pending import Key
from .policy import LENGTHENED

KEPT: Final = timedelta(hours=1)
"""How long a revoked row is kept, and by how much a row is prolonged whose session still lives."""


def stale() -> int:
    """Count the rows that are due for a purge."""
    return _expired().count() + _revoked().exclude(expires_at__lte=timezone.now()).count()


def purge(batch_size: int = 1000) -> Iterator[int]:
    """Delete records that are due, then rows, in batches; yield how many rows each has removed.

    Raises StoreUnavailable at the end if a store does not answer; its records and rows are left for the next run.
    """
    outages: dict[str, StoreUnavailable] = {}
    run_sync(_delete_pending(batch_size, outages))
    for kind in (_expired, _revoked):
        while found := list(kind().exclude(session_name__in=outages)[:batch_size]):
            yield run_sync(_remove(found, outages))
    for outage in outages.values():
        raise outage


async def _delete_pending(batch_size: int, outages: dict[str, StoreUnavailable]) -> None:
    """Delete the records that are due; note the ``outages`` of stores, by session name."""
    configured = set(names())
    for batch in pending.due(batch_size):
        for name in {key.session_name for key in batch}.difference(outages):
            keys = [key for key in batch if key.session_name == name]
            if name not in configured:
                _give_up(keys)
                continue
            try:
                await pending.delete(
                    [key for key in keys if key.row_id is None or key.is_left or not await _is_given_back(key)]
                )
            except StoreUnavailable as outage:
                outages[name] = outage


def _give_up(keys: list[Key]) -> None:
    """Remove the keys of a session that is no longer configured, once their rows are gone; the records expire."""
    had = [key.storage_key for key in keys]
    there = RegisteredSession.objects.using(alias()).filter(
        Q(storage_key__in=had) | Q(previous_key__in=had) | Q(pk__in=[key.row_id for key in keys if key.row_id])
    )
    kept = {value for row in there.values_list("storage_key", "previous_key", "pk") for value in row}
    pending.remove(key.storage_key for key in keys if kept.isdisjoint((key.storage_key, key.row_id)))


async def _is_given_back(key: Key) -> bool:
    """Give a key back to the row that it was taken from, if its session lives; tell whether its record must stay.

    Two requests had changed the key, and the process of the later one died before it could give the key back. If its
    own record exists too, under a key that was sent to nobody, the two cannot be told apart, and both stay. A
    revocation ends both.
    """
    row = rows.living().filter(pk__in=[key.row_id or 0]).first()
    if row is None or not _has_class(key.session_name, ServerSession):
        return False
    store: Any = session_class(key.session_name).records().store
    with Operation():
        there = set(await store.exists([key.storage_key, row.storage_key]))
    if key.storage_key not in there:
        return False
    if row.storage_key in there:
        pending.put_off(key)
    else:
        rows.move(row.storage_key, key.storage_key)
    return True


def _expired() -> QuerySet[RegisteredSession]:
    now = timezone.now()
    found = RegisteredSession.objects.using(alias()).filter(expires_at__lte=now)
    # A cookie may live longer than its row says, and there is no store to ask.
    lagging = Q(session_name__in=_named(CookieSession), expires_at__gt=now - timedelta(seconds=LENGTHENED + SKEW))
    return found.exclude(lagging).order_by("expires_at")


def _revoked() -> QuerySet[RegisteredSession]:
    found = RegisteredSession.objects.using(alias()).filter(revoked_at__lte=timezone.now() - KEPT)
    return found.filter(session_name__in=_named(ServerSession)).order_by("revoked_at")


def _named(kind: type[SessionBase]) -> list[str]:
    """Return the names of the configured sessions of a kind."""
    return [name for name in names() if _has_class(name, kind)]


def _has_class(name: str, kind: type[SessionBase]) -> bool:
    try:
        return issubclass(session_class(name), kind)
    except ImproperlyConfigured:
        return False  # with a wrong entry, nobody can read such a session here


async def _remove(found: list[RegisteredSession], outages: dict[str, StoreUnavailable]) -> int:
    living: set[str] = set()
    for name in {row.session_name for row in found}:
        if _has_class(name, ServerSession):
            try:
                living |= await _living(session_class(name), [row for row in found if row.session_name == name])
            except StoreUnavailable as outage:
                outages[name] = outage
    asked = [row for row in found if row.session_name not in outages]
    gone = [row for row in asked if living.isdisjoint(key.storage_key for key in rows.keys_of(row))]
    _prolong({row.pk for row in asked} - {row.pk for row in gone})
    there = RegisteredSession.objects.using(alias()).filter(pk__in=[row.pk for row in gone])
    # Checked again: a request that was under way may have prolonged a row meanwhile.
    removed, _ = there.filter(Q(expires_at__lte=timezone.now()) | Q(revoked_at__isnull=False)).delete()
    for row in gone:
        if row.revoked_at is None:
            await signals.send_ended(row, "expired")
    return removed


async def _living(session: type[Any], found: list[RegisteredSession]) -> set[str]:
    """Return those keys of rows that the store still has, after deleting the records of revoked ones."""
    records: Any = session.records()
    revoked = [key.storage_key for row in found if row.revoked_at is not None for key in rows.keys_of(row)]
    others = [key.storage_key for row in found if row.revoked_at is None for key in rows.keys_of(row)]
    with Operation():
        if revoked:
            await records.delete_many(revoked)
        return set(await records.store.exists(others)) if others else set()


def _prolong(row_ids: Iterable[int]) -> None:
    ids = list(row_ids)
    if ids:
        RegisteredSession.objects.using(alias()).filter(pk__in=ids).update(expires_at=timezone.now() + KEPT)
