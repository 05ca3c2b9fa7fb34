"""The outbox: storage keys whose records must be deleted, kept until their stores have confirmed that."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from ..breaker import warn
from ..conf import entry, names
from ..deadline import Operation
from ..exceptions import StoreUnavailable
from ..sessions.cookie import CookieSession
from ..sessions.loading import session_class
from ..sessions.server import ServerSession
from . import verdicts
from .database import alias, ask
from .models import PendingDeletion

UNDER_WAY: Final = timedelta(seconds=120)
"""How long a request may still be under way with a key that another request has replaced in its row."""


class Key(NamedTuple):
    """The storage key of a record of a session name; ``row_id`` and ``is_left`` are as in PendingDeletion."""

    session_name: str
    storage_key: str
    row_id: int | None = None
    is_left: bool = False


def add(
    keys: Iterable[Key], due_at: datetime | None = None, row_id: int | None = None, *, is_left: bool = False
) -> None:
    """Add keys whose records must be deleted, at once or from ``due_at`` on; keys that are there stay as they are."""
    due_at = due_at or timezone.now()
    noted = [
        PendingDeletion(
            storage_key=key.storage_key, session_name=key.session_name, due_at=due_at, row_id=row_id, is_left=is_left
        )
        for key in keys
        if key.storage_key
    ]
    PendingDeletion.objects.using(alias()).bulk_create(noted, ignore_conflicts=True)


def remove(storage_keys: Iterable[str]) -> None:
    """Remove keys whose records are gone, or must no longer be deleted."""
    PendingDeletion.objects.using(alias()).filter(storage_key__in=list(storage_keys)).delete()


def put_off(key: Key) -> None:
    """Postpone a key by UNDER_WAY."""
    noted = PendingDeletion.objects.using(alias()).filter(storage_key=key.storage_key)
    noted.update(due_at=timezone.now() + UNDER_WAY)


def of_rows(row_ids: Iterable[int]) -> list[Key]:
    """Return the keys that were taken from rows, and whose records may still exist; make them due."""
    found = PendingDeletion.objects.using(alias()).filter(row_id__in=list(row_ids))
    found.update(due_at=timezone.now())
    return [Key(name, key) for name, key in found.values_list("session_name", "storage_key")]


def due(batch_size: int) -> Iterator[list[Key]]:
    """Yield the keys that are due, in batches, each key once."""
    last = ""
    found = PendingDeletion.objects.using(alias()).filter(due_at__lte=timezone.now()).order_by("storage_key")
    keys = found.values_list("session_name", "storage_key", "row_id", "is_left")
    while batch := [Key(*key) for key in keys.filter(storage_key__gt=last)[:batch_size]]:
        last = batch[-1].storage_key
        yield batch


async def delete(keys: Iterable[Key]) -> None:
    """Delete records, and remove their keys; StoreUnavailable at the end if some could not be deleted."""
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for key in keys:
        by_name[key.session_name].append(key.storage_key)
    outage: StoreUnavailable | None = None
    for name, storage_keys in by_name.items():
        if name not in names():
            # Nobody can read the records of a session that is no longer configured. Their keys stay: see purging.py.
            warn("Records of session %r cannot be deleted: it is not in MULTISESSION any more.", name)
            continue
        try:
            with Operation():
                await _delete(name, storage_keys)
            await ask(lambda gone=storage_keys: remove(gone))  # type: ignore[misc]  # mypy knows no default of a lambda
        except StoreUnavailable as error:
            outage = outage or error
    if outage is not None:
        raise outage


async def _delete(name: str, storage_keys: list[str]) -> None:
    try:
        found = session_class(name)
    except ImproperlyConfigured as error:
        # With a wrong entry, nobody can read the record here.
        raise StoreUnavailable(f"MULTISESSION[{name!r}]", str(error)) from error
    if issubclass(found, ServerSession):
        await found.records().delete_many(storage_keys)
    elif issubclass(found, CookieSession) and entry(name).revocable:
        await verdicts.end(name, storage_keys)
