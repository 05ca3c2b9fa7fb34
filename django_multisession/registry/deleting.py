"""Delete the records of marked rows: at once, or when the caller's transaction commits."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from django.db import transaction

from ..breaker import warn
from ..bridge import run_sync
from ..exceptions import StoreUnavailable
from . import pending, rows, signals
from .database import alias, ask, in_transaction
from .models import RegisteredSession
from .pending import Key

Batches = list[list[RegisteredSession]]


async def delete(batches: Batches) -> None:
    """Delete the records of marked rows; StoreUnavailable at the end if some could not be deleted.

    If the caller is in a transaction, they are deleted when it commits, and errors are then logged.
    """
    if any(batches) and not await ask(partial(_waits, batches)):
        await _delete_all(batches)


def _waits(batches: Batches) -> bool:
    """Schedule the deletion for the commit of the caller's transaction; return False if there is none."""
    if not in_transaction():
        return False
    transaction.on_commit(lambda: run_sync(_delete_later(batches)), using=alias(), robust=True)
    return True


async def _delete_all(batches: Batches) -> None:
    """Delete the records of all batches; StoreUnavailable at the end if some could not be deleted."""
    outage: StoreUnavailable | None = None
    for batch in batches:
        try:
            await _delete(batch)
        except StoreUnavailable as error:
            outage = outage or error
    if outage is not None:
        raise outage


async def _delete(revoked: list[RegisteredSession]) -> None:
    keys: list[Key] = [key for row in revoked for key in rows.keys_of(row)]
    taken = await ask(lambda: pending.of_rows(row.pk for row in revoked))
    try:
        await pending.delete([*keys, *taken])
    finally:
        for row in revoked:
            await signals.send_ended(row, "revoked")


async def _delete_later(batches: Batches) -> None:
    with _logged():
        await _delete_all(batches)


async def delete_later(keys: list[Key]) -> None:
    """Delete records, and log those that cannot be deleted yet."""
    with _logged():
        await pending.delete(keys)


@contextmanager
def _logged() -> Iterator[None]:
    try:
        yield
    except StoreUnavailable as error:
        warn("Revoked sessions could not be deleted yet; purgesessions will try again: %s", error)
