"""Revoke more sessions than fit into one transaction, a batch at a time; and those of everybody."""

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
from .database import alias, ask, before_the_mark
from .models import RegisteredSession, RegisteredUser
from .revocable import NotRevocable
from .revocation import revoke_where
from .rows import living, lock_users

BATCH_SIZE = 1000
"""Rows that one transaction marks."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What has become of a batch of sessions."""

    keys: list[int]
    ended: int = 0
    pending: StoreUnavailable | None = None
    """Why their records are still there; they are marked, and purgesessions deletes them."""
    refused: NotRevocable | None = None
    """Why some of them go on; the others have ended."""


def live() -> QuerySet[RegisteredSession]:
    """Return the rows of the sessions that somebody can still use, as far as the rows tell."""
    return living().filter(expires_at__gt=timezone.now())


def revoke_many(rows: QuerySet[RegisteredSession], batch_size: int = BATCH_SIZE) -> Iterator[Batch]:
    """End all sessions of a query; yield after each batch what has become of it. An outage stops nothing."""
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
    """Refuse to a user, or to all, what was logged in to before a moment, row or not; yield counts of users."""
    model: Any = get_user_model()
    users = model._base_manager.using(alias()).order_by("pk").values_list("pk", flat=True)
    if user is not None:
        users = users.filter(pk=user.pk)
    rest = users
    while found := _refused(rest[:batch_size], moment):
        rest = users.filter(pk__gt=found[-1])
        yield len(found)


def _refused(users: QuerySet[Any], moment: datetime) -> list[Any]:
    """Refuse to some users what was logged in to before a moment; return their keys. Raises RegistryUnavailable."""

    def refuse() -> list[Any]:
        found, registered = list(users), RegisteredUser.objects.using(alias())
        earlier = registered.filter(Q(revoked_at=None) | Q(revoked_at__lt=moment))
        marked = [RegisteredUser(user_id=key, revoked_at=moment) for key in found]
        with transaction.atomic(alias()):
            lock_users(found)
            earlier.filter(pk__in=found).update(revoked_at=moment)
            # Those that have a row by now keep it: MySQL knows no other way to tell which key is in conflict.
            registered.bulk_create(marked, ignore_conflicts=True)
        return found

    with before_the_mark():
        return run_sync(ask(refuse))


def delete_records(session: type[ServerSession], moment: datetime, batch_size: int = BATCH_SIZE) -> Iterator[int]:
    """Delete every record that a session's store lists, whoever's it is; yield counts of records.

    What somebody has logged in to since that moment stays. Raises StoreUnavailable, and NotImplementedError of a store
    that is not ``scannable``.
    """
    records = session.records()
    keys = iterate(records.store.scan())
    while found := list(islice(keys, batch_size)):
        new = live().filter(storage_key__in=found, authenticated_at__gte=moment).values_list("storage_key", flat=True)
        yield run_sync(records.delete_many(set(found).difference(new)))
