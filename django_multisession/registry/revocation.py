"""The functions that a project calls: list a user's sessions, describe and revoke them.

A revocation marks the row, which nothing undoes, and adds its keys to the outbox, in one transaction: the caller's, if
there is one. Then the record is deleted, so that the next request in any process finds the session ended. If it could
not be deleted, purgesessions tries again. Until then the session can be used, as the registry is not asked about
records on servers; but the mark refuses it a new key, and ends it when its use is next written down.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from ..bridge import run_sync
from ..exceptions import StoreUnavailable
from ..sessions.registration import RegistrableSession
from ..sessions.turn import preload
from . import rows
from .database import RegistryUnavailable, alias, ask, before_the_mark
from .deleting import delete
from .following import Following
from .models import LONGEST_EXTERNAL_ID, LONGEST_LABEL, RegisteredSession
from .revocable import NotRevocable, beyond_reach, out_of_reach, within_reach

BATCH_SIZE = 500
"""Rows that one transaction marks."""


def sessions_of(user: Any, request: HttpRequest | None = None) -> list[RegisteredSession]:
    """Return the live sessions of a user, the latest login first.

    With a request, the sessions that it came with have ``current`` set; they are loaded for that.
    """
    return run_sync(_sessions_of(user, request))


async def asessions_of(user: Any, request: HttpRequest | None = None) -> list[RegisteredSession]:
    """See sessions_of()."""
    return await _sessions_of(user, request)


def revoke(row: RegisteredSession) -> int:
    """End one session; return 1, or 0 if it had ended before.

    Raises RegistryUnavailable if the database did not answer, so that the session goes on; and StoreUnavailable if the
    row is marked, but the record could not be deleted yet. Inside of a transaction the record is deleted when that
    commits, and errors are then logged.
    """
    return run_sync(_revoke(row))


async def arevoke(row: RegisteredSession) -> int:
    """See revoke()."""
    return await _revoke(row)


def revoke_all(user: Any, keep: HttpRequest | None = None) -> int:
    """End all sessions of a user, except those of the request ``keep``; return how many. See revoke().

    Sessions that have no row yet, since they are older than the registry, are refused when they are loaded. Raises
    NotRevocable, after the others have ended, if some are in cookies without REVOCABLE: catch it inside of a
    transaction, or the revocations are rolled back.
    """
    return run_sync(_revoke_all(user, keep))


async def arevoke_all(user: Any, keep: HttpRequest | None = None) -> int:
    """See revoke_all()."""
    return await _revoke_all(user, keep)


def revoke_where(**filters: Any) -> int:
    """End the sessions that RegisteredSession.objects.filter() finds; return how many. See revoke_all().

    Raises ValueError without a filter, and for an empty ``external_id``, which most sessions have.
    """
    return run_sync(_revoke_where(filters))


async def arevoke_where(**filters: Any) -> int:
    """See revoke_where()."""
    return await _revoke_where(filters)


def describe(request: HttpRequest, *, label: str | None = None, external_id: str | None = None) -> None:
    """Describe the session of a request: by a ``label`` for people, or the ``external_id`` of an identity provider.

    If its row is not written yet, it will have them from the beginning. A label is cut to 100 characters. Raises
    ValueError for an external_id of more than 255 characters, or with characters that are not printable.
    """
    run_sync(_describe(request, label, external_id))


async def adescribe(request: HttpRequest, *, label: str | None = None, external_id: str | None = None) -> None:
    """See describe()."""
    await _describe(request, label, external_id)


async def _sessions_of(user: Any, request: HttpRequest | None) -> list[RegisteredSession]:
    live = rows.living().filter(user=user.pk, expires_at__gt=timezone.now())
    found = await ask(lambda: list(live.order_by("-authenticated_at", "-pk")))
    if request is not None:
        current = await _keys_of(request, {row.session_name for row in found})
        taken = current - {key for row in found for key in (row.storage_key, row.previous_key)}
        taken_from = await ask(partial(rows.numbers_of, taken)) if taken else set()
        for row in found:
            row.current = row.pk in taken_from or not current.isdisjoint((row.storage_key, row.previous_key))
    return found


async def _keys_of(request: Any, names: Iterable[str]) -> set[str]:
    """Return the storage keys of a request's sessions that have a row."""
    keys = set()
    for name in names:
        session = request.session if name == "default" else getattr(request, "sessions", {}).get(name)
        if (following := await _following(session)) is not None and following.known is not None:
            keys.add(following.known.key)
    return keys


async def _following(session: Any) -> Following | None:
    """Load a session and return its Registration; None if it is not one of ours."""
    if not isinstance(session, RegistrableSession) or not isinstance(session.registration, Following):
        return None
    await preload(session)
    return session.registration


async def _revoke(row: RegisteredSession) -> int:
    if row.session_name in out_of_reach():
        raise NotRevocable(row.session_name)
    with before_the_mark():
        batch = await ask(partial(_mark, [row.pk]))
    return await _end([batch.rows])


async def _revoke_all(user: Any, keep: Any) -> int:
    if user.pk is None:
        return 0  # AnonymousUser, or a user who is not saved yet

    def begin() -> Marked:
        with transaction.atomic(alias()):
            rows.lock(user.pk, holds_logins=True)
            rows.refuse_earlier(user.pk)
            found = within_reach(all_of_user()).exclude(pk__in=rows.numbers_of(kept))
            ids = list(found.values_list("pk", flat=True))
            return Marked(rows.revoke(ids[:BATCH_SIZE]), ids[BATCH_SIZE:])

    def all_of_user() -> QuerySet[RegisteredSession]:
        return rows.living().filter(user=user.pk)

    kept: set[str] = set()
    with before_the_mark():
        if keep is not None:
            names = await ask(lambda: set(all_of_user().values_list("session_name", flat=True)))
            kept = await _keys_of(keep, names)
    marked = await _marked(begin)
    if keep is not None and (following := await _following(keep.session)) is not None:
        following.start.since = time.time()  # keep a login of this request, too, whose row is not written yet
    return await _end(marked, rest=lambda: all_of_user().exclude(pk__in=rows.numbers_of(kept)))


async def _revoke_where(filters: dict[str, Any]) -> int:
    if not filters:
        raise ValueError("revoke_where() needs a filter. To end everybody's sessions, run manage.py revokesessions.")
    if any(filters.get(name, True) in ("", None) for name in ("external_id", "external_id__exact")):
        raise ValueError("revoke_where() got an empty external_id, which all sessions have that nobody has described.")

    def found() -> QuerySet[RegisteredSession]:
        return rows.living().filter(**filters)

    def begin() -> Marked:
        return _mark(list(within_reach(found()).values_list("pk", flat=True)))

    return await _end(await _marked(begin), rest=found)


class Marked(NamedTuple):
    """The rows that one transaction has marked, and the ids of those that must still be marked."""

    rows: list[RegisteredSession]
    rest: list[int]


async def _marked(begin: Callable[[], Marked]) -> list[list[RegisteredSession]]:
    """Mark rows in batches, of which ``begin`` marks the first; return them.

    RegistryUnavailable if the database stops answering; those that are marked by then have ended.
    """
    marked: list[list[RegisteredSession]] = []
    try:
        with before_the_mark():
            batch = await ask(begin)
            marked.append(batch.rows)
            while batch.rest:
                batch = await ask(partial(_mark, batch.rest))
                marked.append(batch.rows)
    except RegistryUnavailable:
        with suppress(StoreUnavailable):
            await delete(marked)
        raise
    return marked


def _mark(row_ids: list[int]) -> Marked:
    with transaction.atomic(alias()):
        return Marked(rows.revoke(row_ids[:BATCH_SIZE]), row_ids[BATCH_SIZE:])


async def _end(
    batches: list[list[RegisteredSession]], rest: Callable[[], QuerySet[RegisteredSession]] | None = None
) -> int:
    """Delete the records of marked rows, now or when the transaction commits; return how many were live.

    Then raises NotRevocable if ``rest`` finds rows that should end as well, but cannot be revoked.
    """
    revoked = [row for batch in batches for row in batch]
    await delete(batches)
    now = timezone.now()
    if rest is not None and out_of_reach():
        name = await ask(lambda: beyond_reach(rest()).values_list("session_name", flat=True).first())
        if name is not None:
            raise NotRevocable(name)
    return sum(row.expires_at > now for row in revoked)


async def _describe(request: Any, label: str | None, external_id: str | None) -> None:
    given: dict[str, str] = {}
    if label is not None:
        given["label"] = "".join(filter(str.isprintable, label)).strip()[:LONGEST_LABEL]
    if external_id is not None:
        if len(external_id) > LONGEST_EXTERNAL_ID or not external_id.isprintable():
            raise ValueError(f"external_id is no text of at most {LONGEST_EXTERNAL_ID} printable characters.")
        given["external_id"] = external_id
    following = await _following(request.session)
    if following is None or not given:
        return
    following.description |= given
    if (known := following.known) is not None:
        await ask(lambda: rows.living().filter(storage_key=known.key).update(**given))
