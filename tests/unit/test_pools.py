"""Pools, one client a process, one client a loop: who uses which, and when it ends."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import async_to_sync

from django_multisession.bridge import run_sync
from django_multisession.runtime import Event, reset
from django_multisession.stores import pools
from django_multisession.stores.pools import LoopLocal, PerProcess, Pool


class Client:
    """Notes when it is closed, in either colour."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.close()


class Answered(Exception):
    """An answer of the server's that refuses."""


def is_answer(error: BaseException) -> bool:
    return isinstance(error, Answered)


@pytest.fixture
def pool() -> Pool[Client]:
    return Pool(Client, Client.close, is_answer)


def use(pool: Pool[Client], error: BaseException | None = None) -> Client:
    """Use a client as a store does."""

    def command(client: Client) -> Client:
        if error is not None:
            raise error
        return client

    found: Client = run_sync(pool.use(command))
    return found


def idle(pool: Pool[Client], number: int) -> list[Client]:
    """Leave so many idle clients in a pool; return them."""
    clients: list[Client] = []

    def command(client: Client, depth: int) -> None:
        clients.append(client)
        if depth > 1:
            run_sync(pool.use(command, depth - 1))

    run_sync(pool.use(command, number))
    return clients


# Pool, for threads


def test_pool_lends_the_client_used_last(pool: Pool[Client]) -> None:
    first, second = idle(pool, 2)
    assert first is not second
    assert use(pool) is first
    assert not first.closed


def test_pool_passes_arguments_on(pool: Pool[Client]) -> None:
    assert run_sync(pool.use(lambda client, *arguments: arguments, 1, 2)) == (1, 2)


def test_pool_closes_all_after_an_exception(pool: Pool[Client]) -> None:
    clients = idle(pool, 2)
    with pytest.raises(OSError, match="reset"):
        use(pool, OSError("reset"))
    assert [client.closed for client in clients] == [1, 1]
    assert use(pool) not in clients


def test_pool_keeps_a_client_that_was_answered(pool: Pool[Client]) -> None:
    client = use(pool)
    with pytest.raises(Answered):
        use(pool, Answered())
    assert use(pool) is client


def test_pool_close_leaves_lent_clients_alone(pool: Pool[Client]) -> None:
    (client,) = idle(pool, 1)

    def close_meanwhile(lent: Client) -> None:
        pool.close()
        assert not lent.closed

    run_sync(pool.use(close_meanwhile))
    pool.close()
    assert client.closed == 1


def test_pool_uses_no_client_that_was_idle_for_too_long(pool: Pool[Client], monkeypatch: pytest.MonkeyPatch) -> None:
    clients = idle(pool, 2)
    now = time.monotonic()
    monkeypatch.setattr(pools, "monotonic", lambda: now + pools.MAX_IDLE - 1)
    assert use(pool) in clients
    monkeypatch.setattr(pools, "monotonic", lambda: now + 3 * pools.MAX_IDLE)
    assert use(pool) not in clients
    assert [client.closed for client in clients] == [1, 1]


def test_pool_close_gives_way_to_a_faster_thread(pool: Pool[Client]) -> None:
    class Emptied(list[tuple[Client, float]]):
        def __bool__(self) -> bool:
            return True

    pool._free = Emptied()
    pool.close()


def test_pool_lends_no_client_twice(pool: Pool[Client]) -> None:
    in_use: set[Client] = set()
    barrier = threading.Barrier(8)

    def command(client: Client) -> None:
        assert client not in in_use
        in_use.add(client)
        in_use.remove(client)

    def work() -> None:
        barrier.wait(10)
        for _ in range(300):
            run_sync(pool.use(command))

    with ThreadPoolExecutor(8) as threads:
        for result in [threads.submit(work) for _ in range(8)]:
            result.result()


# Pool, in an event loop


def test_pool_awaits_what_its_client_and_connect_return() -> None:
    async def connect() -> Client:
        await asyncio.sleep(0)
        return Client()

    async def command(client: Client) -> Client:
        await asyncio.sleep(0)
        return client

    async def body() -> None:
        pool: Pool[Client] = Pool(connect, Client.aclose)
        first = await pool.use(command)
        assert isinstance(first, Client)
        assert await pool.use(command) is first
        await pool.aclose()
        assert first.closed == 1

    asyncio.run(body())


@pytest.mark.parametrize(("error", "other_closed"), [(OSError(), 1), (asyncio.CancelledError(), 0)])
def test_pool_of_a_loop_closes_what_broke(error: BaseException, other_closed: int) -> None:
    async def body() -> None:
        pool: Pool[Client] = Pool(Client, Client.aclose)
        used: list[Client] = []

        async def command(client: Client, both: asyncio.Barrier) -> None:
            used.append(client)
            await both.wait()

        both = asyncio.Barrier(2)
        await asyncio.gather(pool.use(command, both), pool.use(command, both))

        async def fail(client: Client) -> None:
            used.append(client)
            raise error

        with pytest.raises(type(error)):
            await pool.use(fail)
        broken = used.pop()
        (other,) = set(used) - {broken}
        assert (broken.closed, other.closed) == (1, other_closed)

    asyncio.run(body())


# PerProcess


def test_per_process_is_one_client_for_all_threads() -> None:
    barrier = threading.Barrier(8)
    shared = PerProcess(Client, Client.close)

    def get(_: int) -> Client:
        barrier.wait(10)
        return shared.get()

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(get, range(8)))) == 1


def test_per_process_makes_a_new_client_after_close() -> None:
    shared = PerProcess(Client, Client.close)
    first = shared.get()
    shared.close()
    shared.close()
    assert first.closed == 1
    assert shared.get() is not first


def test_per_process_is_closed_with_the_last_reference() -> None:
    shared = PerProcess(Client, Client.close)
    client = shared.get()
    del shared
    gc.collect()
    assert client.closed == 1


def test_per_process_close_gives_way_to_a_faster_thread() -> None:
    class Emptied(list[Client]):
        def __bool__(self) -> bool:
            return True

    pools._close_all(Emptied(), Client.close)


# LoopLocal


@pytest.fixture
def per_loop() -> LoopLocal[Client]:
    return LoopLocal(Client, Client.aclose)


def test_per_loop_is_one_client_a_loop(per_loop: LoopLocal[Client]) -> None:
    async def body() -> Client:
        loop = asyncio.get_running_loop()
        client = per_loop.get(loop)
        assert per_loop.get(loop) is client
        assert not client.closed
        return client

    first, second = asyncio.run(body()), asyncio.run(body())
    assert first is not second
    assert (first.closed, second.closed) == (1, 1)
    assert not per_loop._clients
    assert per_loop not in {instance for instance, _ in pools._closers}


def test_per_loop_is_closed_in_loops_of_async_to_sync(per_loop: LoopLocal[Client]) -> None:
    async def body() -> Client:
        return per_loop.get(asyncio.get_running_loop())

    assert async_to_sync(body)().closed == 1
    assert not per_loop._clients


def test_per_loop_serves_loops_of_several_threads(per_loop: LoopLocal[Client]) -> None:
    barrier = threading.Barrier(4)

    async def body() -> Client:
        client = per_loop.get(asyncio.get_running_loop())
        await asyncio.to_thread(barrier.wait, 10)
        assert per_loop.get(asyncio.get_running_loop()) is client
        return client

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(asyncio.run, [body() for _ in range(4)]))
    assert len(set(found)) == 4
    assert all(client.closed == 1 for client in found)
    assert not per_loop._clients


def test_per_loop_forgets_loops_that_closed_without_a_word(per_loop: LoopLocal[Client]) -> None:
    async def body() -> None:
        per_loop.get(asyncio.get_running_loop())

    abandoned = asyncio.new_event_loop()
    abandoned.run_until_complete(body())
    abandoned.close()
    assert list(per_loop._clients) == [abandoned]

    async def other() -> None:
        per_loop.get(asyncio.get_running_loop())
        assert abandoned not in per_loop._clients
        assert abandoned not in {loop for _, loop in pools._closers}

    with warnings.catch_warnings():
        # asyncio's own, about the generator whose loop was closed too early.
        warnings.simplefilter("ignore")
        asyncio.run(other())
        gc.collect()


def test_per_loop_that_is_forgotten_leaves_no_client_open() -> None:
    # As where settings change while a loop runs: nothing of ours holds the stores of the old ones any more.
    seen: list[int] = []

    class Watched(Client):
        def __del__(self) -> None:
            seen.append(self.closed)

    async def body() -> None:
        LoopLocal(Watched, Watched.aclose).get(asyncio.get_running_loop())
        gc.collect()
        assert not seen
        await asyncio.sleep(0)

    asyncio.run(body())
    gc.collect()
    assert seen == [1]


# Forks


def test_fork_leaves_the_parents_clients_to_the_parent(pool: Pool[Client], per_loop: LoopLocal[Client]) -> None:
    shared = PerProcess(Client, Client.close)
    (of_threads,), client = idle(pool, 1), shared.get()

    async def body() -> None:
        loop = asyncio.get_running_loop()
        of_loop = per_loop.get(loop)
        # What a forked child runs; a real fork in a loop would end the test's own.
        reset(Event.FORK)
        assert (of_threads.closed, client.closed, of_loop.closed) == (0, 0, 0)
        assert per_loop.get(loop) is not of_loop

    asyncio.run(body())
    gc.collect()
    assert (of_threads.closed, client.closed) == (0, 0)
    assert shared.get() is not client
    assert use(pool) is not of_threads


def test_fork_child_starts_with_empty_pools(pool: Pool[Client]) -> None:
    idle(pool, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other tests' threads may live
        child = os.fork()
    if not child:
        os._exit(len(pool._free))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(pool._free) == 1
