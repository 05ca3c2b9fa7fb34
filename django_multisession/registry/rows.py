"""Queries and updates of the rows of logins, each one statement or transaction. Run by database.ask().

A row is found by its storage key, or by its previous one, which requests under way may still have. A key that is taken
from a row, and whose record may still exist, is put into the outbox with the row's id, so that a revocation ends that
record too.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, connections, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from ..stores.table import Clock
from . import pending
from .database import alias, by_clock, by_itself, shared
from .models import PendingDeletion, RegisteredSession, RegisteredUser
from .pending import UNDER_WAY, Key


def living() -> QuerySet[RegisteredSession]:
    """Return the rows that are not revoked, whether expired or not."""
    return RegisteredSession.objects.using(alias()).filter(revoked_at=None)


def lock(user: Any, *, holds_logins: bool = False) -> None:
    """Lock a user's sessions against other callers of lock(), until the transaction ends.

    A login without a limit does not call this. With ``holds_logins`` it waits all the same, through the foreign key of
    its row: either the caller sees that row, or the login sees what the caller has written.
    """
    if not lock_users([user], holds_logins=holds_logins):
        # SQLite: write first, since a transaction that has read first may not be able to write any more.
        _write_user(user, locked_at=timezone.now())


def lock_users(users: Iterable[Any], *, holds_logins: bool = False) -> bool:
    """Lock the rows of users, in a fixed order; return False on SQLite, where only a write locks.

    Call it before the transaction writes anything about them to the registry: otherwise two transactions, one of which
    has written and the other holds the lock, would wait for each other.
    """
    features = connections[alias()].features
    if features.has_select_for_update:
        model: Any = get_user_model()
        no_key = features.has_select_for_no_key_update and not holds_logins
        found = model._base_manager.using(alias()).select_for_update(no_key=no_key).filter(pk__in=list(users))
        list(found.order_by("pk").values_list("pk"))
    return features.has_select_for_update


def refuse_earlier(user: Any) -> None:
    """Refuse all logins of a user from before now, with or without a row."""
    _write_user(user, revoked_at=shared(timezone.now()))


def _write_user(user: Any, **values: datetime) -> None:
    unique = ["user"] if connections[alias()].features.supports_update_conflicts_with_target else None
    RegisteredUser.objects.using(alias()).bulk_create(
        [RegisteredUser(user_id=user, **values)], update_conflicts=True, unique_fields=unique, update_fields=[*values]
    )


def is_refused(user: Any, since: datetime | None) -> bool:
    """Tell whether a user was revoked ``since`` a login; an unknown time (None) counts as before any revocation."""
    revoked = RegisteredUser.objects.using(alias()).filter(pk=user, revoked_at__isnull=False)
    found = revoked.values_list("revoked_at", Clock()).first()
    return found is not None and (since is None or found[0] >= by_clock(since, found[1]))


def insert(row: RegisteredSession) -> bool:
    """Write the row of a login; return False if its user is gone, or its key has a revoked row."""
    try:
        with by_itself():
            row.save(using=alias(), force_insert=True)
    except IntegrityError:
        return _take_over(row)
    return True


def _take_over(row: RegisteredSession) -> bool:
    """Make the living row that already has this row's key the row of this login."""
    there = living().filter(storage_key=row.storage_key)
    values = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    for name in ("id", "public_id", "revoked_at"):
        del values[name]
    if not there.update(**values):
        return False  # it was revoked; or the user is gone, and the foreign key was violated
    row.pk = there.values_list("pk", flat=True).first()
    return True


def revoke(row_ids: Iterable[int]) -> list[RegisteredSession]:
    """Mark rows, and add their keys to the outbox; return the newly marked ones. Must be called in a transaction."""
    ids, now = list(row_ids), timezone.now()
    if not ids or not living().filter(pk__in=ids).update(revoked_at=now):
        return []
    # Read after the mark, since nobody changes their keys from then on.
    revoked = list(RegisteredSession.objects.using(alias()).filter(pk__in=ids, revoked_at=now))
    pending.add(key for row in revoked for key in keys_of(row))
    return revoked


def keys_of(row: RegisteredSession) -> list[Key]:
    """Return the storage key of a row, and its previous one."""
    return [Key(row.session_name, key) for key in (row.storage_key, row.previous_key) if key]


def rotate(old: str, row: RegisteredSession) -> str | None:
    """Update the row of an old key from this one; return the key that the row had, or None if it does not live.

    If another request has changed the key at the same time, its key is put into the outbox for later: the store decides
    which of the two counts, and move() then gives the row that one.
    """
    values = values_of(row) | {"storage_key": row.storage_key, "previous_key": old}
    if living().filter(storage_key=old).update(**values):
        return old
    with transaction.atomic(alias()):
        there = _by_former(old)
        if there is None:
            return None
        if there.storage_key != row.storage_key:
            taken = Key(there.session_name, there.storage_key)
            pending.add([taken], due_at=timezone.now() + UNDER_WAY, row_id=there.pk)
            living().filter(pk=there.pk).update(**values)
            pending.remove([row.storage_key])
        return there.storage_key


def numbers_of(keys: Iterable[str]) -> set[int]:
    """Return the ids of the living rows that have, or had, one of these keys."""
    had = list(keys)
    without = [row_id for key in had for row_id in _rows_without(key)]
    found = living().filter(Q(storage_key__in=had) | Q(previous_key__in=had) | Q(pk__in=without))
    return set(found.values_list("pk", flat=True))


def _by_former(key: str) -> RegisteredSession | None:
    """Lock and return the living row that had a key before; None if there is none."""
    return _locked(living().filter(previous_key=key)) or _locked(living().filter(pk__in=_rows_without(key)))


def _locked(found: QuerySet[RegisteredSession]) -> RegisteredSession | None:
    if connections[alias()].features.has_select_for_update:
        # Not by a write: PostgreSQL would check the row's foreign key again at the next write, and wait for a
        # revoke_all() that holds the user's row and waits for this row.
        return found.select_for_update().first()
    found.update(last_seen=F("last_seen"))
    return found.first()


def _rows_without(key: str) -> list[int]:
    """Return the ids of the rows that a key was taken from."""
    found = PendingDeletion.objects.using(alias()).filter(storage_key=key, is_left=False)
    return [row_id for row_id in found.values_list("row_id", flat=True) if row_id is not None]


def leave(keys: Iterable[Key], now: str) -> None:
    """Add former keys of the session under ``now`` to the outbox: their records may exist, and must end with it."""
    there = living().filter(storage_key=now).values_list("pk", flat=True).first()
    pending.add(keys, row_id=there, is_left=True)


def move(mine: str, target: str) -> None:
    """Give the row with the key ``mine`` the key ``target``, under which its session continues after all."""
    with transaction.atomic(alias()):
        moved = living().filter(storage_key=mine).update(storage_key=target)
        if moved or living().filter(storage_key=target).exists():
            pending.remove([target])


def touch(row: RegisteredSession) -> bool:
    """Update a row's last use from this one; return whether it lives."""
    values = values_of(row)
    if living().filter(storage_key=row.storage_key).update(**values):
        return True
    if living().filter(previous_key=row.storage_key).update(**values):
        return True
    return living().filter(pk__in=_rows_without(row.storage_key)).exists()


def values_of(row: RegisteredSession) -> dict[str, Any]:
    """Return the fields of a row that each use of its session updates."""
    values: dict[str, Any] = {
        "authenticated_at": row.authenticated_at,
        "last_seen": row.last_seen,
        "expires_at": row.expires_at,
    }
    if row.ip_address is not None:
        values |= {"ip_address": row.ip_address, "user_agent": row.user_agent}
    return values


def admit(row: RegisteredSession, authenticated_at: datetime | None) -> bool:
    """Write the row of a session that has none yet, unless it was revoked; return whether it may be used.

    ``authenticated_at`` is None if the time of the login is not known, which counts as before any revocation.
    """
    try:
        return _admit(row, authenticated_at)
    except IntegrityError:
        return False  # its user is gone, which some databases find when the transaction commits


def _admit(row: RegisteredSession, authenticated_at: datetime | None) -> bool:
    with transaction.atomic(alias()):
        lock(row.user_id)
        there = RegisteredSession.objects.using(alias()).filter(
            Q(storage_key=row.storage_key) | Q(previous_key=row.storage_key)
        )
        found = there.first()
        if found is not None:
            return found.revoked_at is None
        return not is_refused(row.user_id, authenticated_at) and insert(row)


def end(keys: Iterable[str], *, tells: bool) -> list[RegisteredSession]:
    """Mark the rows of sessions whose records are gone; return them if ``tells``, for a signal."""
    had, now, without = list(keys), timezone.now(), list[int]()
    if not living().filter(storage_key__in=had).update(revoked_at=now):
        former = living().filter(previous_key__in=had) if had else living().none()
        if not former.update(revoked_at=now):
            without = [row_id for key in had for row_id in _rows_without(key)]
            living().filter(pk__in=without).update(revoked_at=now)
    if not tells:
        return []
    found = RegisteredSession.objects.using(alias()).filter(revoked_at=now)
    return list(found.filter(Q(storage_key__in=had) | Q(previous_key__in=had) | Q(pk__in=without)))


def expire(key: str, at: datetime) -> None:
    """Let a row expire at a moment, if that is earlier than before."""
    living().filter(storage_key=key, expires_at__gt=at).update(expires_at=at)


def forget(row: RegisteredSession) -> None:
    """Delete the row of a login that has failed."""
    RegisteredSession.objects.using(alias()).filter(storage_key=row.storage_key).delete()
