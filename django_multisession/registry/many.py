"""Revoke many sessions, in batches of one transaction each; and those of all users."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from ..bridge import iterate, run_sync
from ..exceptions import StoreUnavailable
from ..sessions.server import ServerSession
from .database import alias, ask, before_the_mark, shared
from .models import RegisteredSession, RegisteredUser
from .revocable import NotRevocable
from .revocation import revoke_where
from .rows import living, lock_users

BATCH_SIZE = 1000
"""Rows that one transaction marks."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The result of revoking a batch of sessions."""

    keys: list[int]
    ended: int = 0
    pending: StoreUnavailable | None = None
    """Why their records could not be deleted yet; they are marked, and purgesessions deletes them."""
    refused: NotRevocable | None = None
    """Why some of them could not be revoked; the others have ended."""


def live() -> QuerySet[RegisteredSession]:
    """Return the rows of sessions that are neither revoked nor expired."""
    return living().filter(expires_at__gt=timezone.now())


def revoke_many(rows: QuerySet[RegisteredSession], batch_size: int = BATCH_SIZE) -> Iterator[Batch]:
    """End all sessions of a query in batches, and yield the result of each. An outage does not stop it."""
    keys = rows.order_by("pk").values_list("pk", flat=True)
    last = 0
    while found := list(keys.filter(pk__gt=last)[:batch_size]):
        last = found[-1]
        try:
            yield Batch(found, ended=revoke_where(pk__in=found))
        except StoreUnavailable as error:
            yield Batch(found, pending=error)
        except NotRevocable as error:
            ended = RegisteredSession.objects.using(alias()).filter(pk__in=found).exclude(revoked_at=None)
            yield Batch(found, ended=ended.count(), refused=error)


def revoke_users(moment: datetime, user: AbstractBaseUser | None = None, batch_size: int = BATCH_SIZE) -> Iterator[int]:
    """Refuse the logins of one user, or of all, from before a moment, with or without a row; yield counts of users."""
    model: Any = get_user_model()
    users = model._base_manager.using(alias()).order_by("pk").values_list("pk", flat=True)
    if user is not None:
        users = users.filter(pk=user.pk)
    rest = users
    while found := _refused(rest[:batch_size], moment):
        rest = users.filter(pk__gt=found[-1])
        yield len(found)


def _refused(users: QuerySet[Any], moment: datetime) -> list[Any]:
    """Refuse some users' logins from before a moment; return the users' keys. Raises RegistryUnavailable."""

    def refuse() -> list[Any]:
        found, registered, revoked_at = list(users), RegisteredUser.objects.using(alias()), shared(moment)
        earlier = registered.filter(Q(revoked_at=None) | Q(revoked_at__lt=revoked_at))
        marked = [RegisteredUser(user_id=key, revoked_at=revoked_at) for key in found]
        with transaction.atomic(alias()):
            lock_users(found)
            earlier.filter(pk__in=found).update(revoked_at=revoked_at)
            # Users that have a row by now keep it. (MySQL cannot name the key that an upsert may conflict with.)
            registered.bulk_create(marked, ignore_conflicts=True)
        return found

    with before_the_mark():
        return run_sync(ask(refuse))


def delete_records(session: type[ServerSession], moment: datetime, batch_size: int = BATCH_SIZE) -> Iterator[int]:
    """Delete all records that a session's store lists, those of visitors too; yield counts of records.

    Logins since that moment are kept. Raises StoreUnavailable, and NotImplementedError for a store that is not
    ``scannable``.
    """
    records = session.records()
    keys = iterate(records.store.scan())
    while found := list(islice(keys, batch_size)):
        new = live().filter(storage_key__in=found, authenticated_at__gte=moment).values_list("storage_key", flat=True)
        yield run_sync(records.delete_many(set(found).difference(new)))
