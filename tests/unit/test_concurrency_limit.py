"""ConcurrencyLimit: who has a slot, who waits for one, and for how long."""

from __future__ import annotations

import asyncio

import pytest

from django_multisession.exceptions import StoreUnavailable
from django_multisession.stores.pools import ConcurrencyLimit

PATIENCE = 10.0


async def waiting(limit: ConcurrencyLimit, seconds: float = PATIENCE) -> asyncio.Task[None]:
    """Return a task that waits for a slot."""
    task = asyncio.ensure_future(limit.acquire(seconds))
    await asyncio.sleep(0)
    assert not task.done()
    return task


def test_slots_go_to_whoever_has_waited_the_longest() -> None:
    async def scenario() -> None:
        limit = ConcurrencyLimit(1, "here")
        await limit.acquire(PATIENCE)
        first, second = await waiting(limit), await waiting(limit)
        limit.release()
        await first
        assert not second.done()
        limit.release()
        await second
        limit.release()
        await limit.acquire(0)  # free again, and nobody waits

    asyncio.run(scenario())


def test_wait_in_vain_is_unavailable_and_takes_no_slot() -> None:
    async def scenario() -> None:
        limit = ConcurrencyLimit(1, "here")
        await limit.acquire(PATIENCE)
        with pytest.raises(StoreUnavailable, match="here"):
            await limit.acquire(0.001)
        limit.release()
        await limit.acquire(0)

    asyncio.run(scenario())


def test_task_cancelled_while_it_waits_takes_no_slot() -> None:
    async def scenario() -> None:
        limit = ConcurrencyLimit(1, "here")
        await limit.acquire(PATIENCE)
        task, next_one = await waiting(limit), await waiting(limit)
        task.cancel()
        limit.release()
        await next_one
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


def test_slot_that_comes_with_a_cancellation_goes_on_to_the_next() -> None:
    async def scenario() -> None:
        limit = ConcurrencyLimit(1, "here")
        await limit.acquire(PATIENCE)
        task, next_one = await waiting(limit), await waiting(limit)
        limit.release()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await next_one

    asyncio.run(scenario())
