"""Free lists, one client a process, one client a loop: who uses which, and when it ends."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from django_multisession.exceptions import StoreUnavailable
from django_multisession.stores import pools
from django_multisession.stores.pools import AsyncFreeList, FreeList, LoopLocal, PerProcess


class Client:
    """Notes when it is closed, in either colour."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.close()


@pytest.fixture
def free_list() -> FreeList[Client]:
    return FreeList(Client, Client.close)


@contextmanager
def lease(free_list: FreeList[Client]) -> Iterator[Client]:
    """Take a client as a store does."""
    client = free_list.take()
    try:
        yield client
    except BaseException:
        free_list.discard(client)
        raise
    free_list.give_back(client)


# FreeList


def test_free_list_lends_the_client_used_last(free_list: FreeList[Client]) -> None:
    with lease(free_list) as first, lease(free_list) as second:
        assert first is not second
    with lease(free_list) as again:
        assert again is first
    assert not first.closed


def test_free_list_closes_all_after_an_exception(free_list: FreeList[Client]) -> None:
    with lease(free_list) as broken, lease(free_list) as idle:
        pass
    with pytest.raises(OSError, match="reset"), lease(free_list):
        raise OSError("reset")
    assert (broken.closed, idle.closed) == (1, 1)
    with lease(free_list) as new:
        assert new not in (broken, idle)


def test_free_list_calls_with_a_client_and_takes_it_back(free_list: FreeList[Client]) -> None:
    clients = [free_list.call(lambda client, *arguments: (client, arguments), 1, 2) for _ in range(2)]
    assert clients[0] == clients[1] == (clients[0][0], (1, 2))


def test_free_list_closes_all_after_an_exception_in_a_call(free_list: FreeList[Client]) -> None:
    with lease(free_list) as broken, lease(free_list) as idle:
        pass

    def fail(client: Client) -> None:
        raise OSError("reset")

    with pytest.raises(OSError, match="reset"):
        free_list.call(fail)
    assert (broken.closed, idle.closed) == (1, 1)


def test_free_list_close_leaves_leased_clients_alone(free_list: FreeList[Client]) -> None:
    with lease(free_list) as idle, lease(free_list) as leased:
        free_list.give_back(idle)
        free_list.close()
        assert (idle.closed, leased.closed) == (1, 0)


def test_free_list_close_gives_way_to_a_faster_thread(free_list: FreeList[Client]) -> None:
    class Emptied(list[Client]):
        def __bool__(self) -> bool:
            return True

    free_list._free = Emptied()
    free_list.close()


def test_free_list_lends_no_client_twice(free_list: FreeList[Client]) -> None:
    in_use: set[Client] = set()
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait(10)
        for _ in range(300):
            with lease(free_list) as client:
                assert client not in in_use
                in_use.add(client)
                in_use.remove(client)

    with ThreadPoolExecutor(8) as threads:
        for result in [threads.submit(work) for _ in range(8)]:
            result.result()


# AsyncFreeList


def test_async_free_list_lends_at_most_its_limit() -> None:
    async def body() -> None:
        free_list = AsyncFreeList(Client, Client.aclose, limit=2, name="here")
        in_use: list[Client] = []
        most = 0

        async def work() -> None:
            nonlocal most
            async with free_list.lease(1) as client:
                in_use.append(client)
                most = max(most, len(in_use))
                await asyncio.sleep(0)
                in_use.remove(client)

        await asyncio.gather(*(work() for _ in range(10)))
        assert most == 2
        assert len(free_list._free) == 2

    asyncio.run(body())


def test_async_free_list_awaits_its_connect() -> None:
    async def connect() -> Client:
        await asyncio.sleep(0)
        return Client()

    async def body() -> None:
        free_list = AsyncFreeList(connect, Client.aclose, limit=1, name="here")
        async with free_list.lease(1) as first:
            assert isinstance(first, Client)
        async with free_list.lease(1) as again:
            assert again is first

    asyncio.run(body())


def test_async_free_list_keeps_its_slot_when_connecting_fails() -> None:
    async def body() -> None:
        results: Any = iter([OSError("refused"), Client()])

        def connect() -> Client:
            result = next(results)
            if isinstance(result, OSError):
                raise result
            return result  # type: ignore[no-any-return]

        free_list = AsyncFreeList(connect, Client.aclose, limit=1, name="here")
        with pytest.raises(OSError, match="refused"):
            async with free_list.lease(1):
                pass
        async with asyncio.timeout(5), free_list.lease(1):
            pass

    asyncio.run(body())


@pytest.mark.parametrize(("error", "idle_closed"), [(OSError(), 1), (asyncio.CancelledError(), 0)])
def test_async_free_list_closes_what_broke(error: BaseException, idle_closed: int) -> None:
    async def body() -> None:
        free_list = AsyncFreeList(Client, Client.aclose, limit=2, name="here")
        async with free_list.lease(1) as broken, free_list.lease(1) as idle:
            pass
        with pytest.raises(type(error)):
            async with free_list.lease(1):
                raise error
        assert (broken.closed, idle.closed) == (1, idle_closed)
        async with asyncio.timeout(5), free_list.lease(1), free_list.lease(1):
            pass  # both slots are free again

    asyncio.run(body())


def test_async_free_list_in_use_is_no_fault_of_the_server() -> None:
    async def main() -> None:
        free_list = AsyncFreeList(Client, Client.aclose, limit=1, name="here")
        async with free_list.lease(1):
            with pytest.raises(StoreUnavailable, match=r"here.*in use"):
                async with free_list.lease(0.02):
                    pass
        async with free_list.lease(0.02):
            pass

    asyncio.run(main())


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
    assert not per_loop._closers


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
        assert abandoned not in per_loop._closers

    with warnings.catch_warnings():
        # asyncio's own, about the generator whose loop was closed too early.
        warnings.simplefilter("ignore")
        asyncio.run(other())
        gc.collect()


# Forks


def test_fork_leaves_the_parents_clients_to_the_parent(
    free_list: FreeList[Client], per_loop: LoopLocal[Client]
) -> None:
    shared = PerProcess(Client, Client.close)
    with lease(free_list) as idle:
        pass
    client = shared.get()

    async def body() -> None:
        loop = asyncio.get_running_loop()
        of_loop = per_loop.get(loop)
        # What a forked child runs; a real fork in a loop would end the test's own.
        before = len(pools._inherited)
        pools._forget_after_fork()
        assert {idle, client, of_loop} <= set(pools._inherited[before:])
        assert (idle.closed, client.closed, of_loop.closed) == (0, 0, 0)
        assert per_loop.get(loop) is not of_loop

    asyncio.run(body())
    assert shared.get() is not client
    with lease(free_list) as new:
        assert new is not idle


def test_fork_child_starts_with_empty_lists(free_list: FreeList[Client]) -> None:
    with lease(free_list):
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other tests' threads may live
        child = os.fork()
    if not child:
        os._exit(len(free_list._free))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(free_list._free) == 1
