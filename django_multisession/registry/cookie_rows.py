"""The rows of logins in cookies, which have no record: only the row decides whether a cookie may be used.

A row is found by the present ``sid`` of its cookie. A cookie with a former ``sid`` is never valid. These functions are
run by database.ask().
"""

import time
from datetime import datetime, timedelta
from functools import partial
from hashlib import blake2b

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from ..sessions.records import POINTER_TTL
from . import pending
from .database import alias
from .models import PendingDeletion, RegisteredSession
from .pending import Key
from .policy import LENGTHENED, is_due
from .rows import insert, is_refused, living, lock, values_of


def lives(row: RegisteredSession) -> bool:
    """Tell whether a cookie has a living row of the same user; write down its use, if that is due."""
    found = living().filter(storage_key=row.storage_key, user=row.user_id)
    last_seen = found.values_list("last_seen", flat=True).first()
    if last_seen is None:
        return False
    if is_due(row.storage_key, int(last_seen.timestamp()), time.time()):
        # After the caller's transaction, if there is one: until its end, other requests of the session would wait.
        transaction.on_commit(partial(_see, found.filter(last_seen=last_seen), row), using=alias(), robust=True)
    return True


def _see(found: QuerySet[RegisteredSession], row: RegisteredSession) -> None:
    where = {} if row.ip_address is None else {"ip_address": row.ip_address, "user_agent": row.user_agent}
    found.update(last_seen=timezone.now(), **where)


def has_moved(row: RegisteredSession) -> bool:
    """Tell whether a change of key has just replaced this cookie."""
    just = timezone.now() - timedelta(seconds=POINTER_TTL)
    return living().filter(previous_key=row.storage_key, user=row.user_id, last_seen__gt=just).exists()


def begun(row: RegisteredSession) -> str | None:
    """Return the ``sid`` of a login that the user has just made from the same visitor's cookie; None if there is none.

    After a double click on "log in", both logins use one ``sid``, whichever of the two cookies the browser keeps.
    """
    just = timezone.now() - timedelta(seconds=POINTER_TTL)
    there = living().filter(previous_key=row.previous_key, user=row.user_id, authenticated_at__gt=just)
    return there.values_list("storage_key", flat=True).first()


def admit(row: RegisteredSession, authenticated_at: datetime | None) -> bool:
    """Write the row of a cookie that has neither row nor mark, unless it was revoked; tell whether it may be used.

    ``authenticated_at`` is None if the time of the login is not known, which counts as before any revocation.
    """
    try:
        with transaction.atomic(alias()):
            lock(row.user_id)
            if was_left(row.storage_key) or is_refused(row.user_id, authenticated_at):
                return False
            found = RegisteredSession.objects.using(alias()).filter(storage_key=row.storage_key).first()
            if found is not None:
                return found.revoked_at is None and found.user_id == row.user_id
            if was_admitted(row.storage_key) or not insert(row):
                return False
            # Remembered longer than the row: the session may get a shorter life than copies of its unmarked cookie
            # have.
            copies_end = row.expires_at + timedelta(seconds=LENGTHENED)
            pending.add([Key(row.session_name, _note_of(row.storage_key))], due_at=copies_end)
            return True
    except IntegrityError:
        return False  # the user is gone


def was_left(sid: str) -> bool:
    """Tell whether a change of key has replaced a sid, or a record's storage key, by another one."""
    return (
        RegisteredSession.objects.using(alias()).filter(previous_key=sid).exists()
        or PendingDeletion.objects.using(alias()).filter(storage_key=sid).exists()
    )


def was_admitted(sid: str) -> bool:
    """Tell whether a cookie without a mark has already been given a row once."""
    return PendingDeletion.objects.using(alias()).filter(storage_key=_note_of(sid)).exists()


def _note_of(sid: str) -> str:
    """Return the key that notes in the outbox that a sid was admitted; no record has it."""
    return blake2b(sid.encode(), digest_size=20, person=b"dms1-admitted").hexdigest()


def rotate(old: str, row: RegisteredSession, *, was_marked: bool) -> str | None:
    """Update the row of an old ``sid`` from this one; return the session's ``sid`` then, or None if it has ended.

    Two requests that change the ``sid`` of one cookie at once both continue under that of the first, since it is not
    known which of the two cookies the browser will keep.
    """
    values = values_of(row) | {"storage_key": row.storage_key, "previous_key": old}
    with transaction.atomic(alias()):
        if not living().filter(storage_key=old, user=row.user_id).update(**values):
            there = living().filter(previous_key=old, user=row.user_id)
            return there.values_list("storage_key", flat=True).first()
        if not was_marked:
            # After the next change the row will not have it any more, and its cookie, without a mark, would count as
            # new.
            pending.add([Key(row.session_name, old)], due_at=row.expires_at)
    return row.storage_key
