"""Run bodies in either colour behind one interface, so that each test is written once."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from ..bridge import driven, iterate, run_sync

T = TypeVar("T")
Body = Callable[[], Coroutine[Any, Any, T]]

PATIENCE = 30.0
"""Seconds to wait for bodies that should start together."""


async def either(method: Callable[..., Any], amethod: Callable[..., Any], *arguments: Any) -> Any:
    """Call a session's method in the colour of the caller: the first one if it is driven, else the asynchronous one."""
    return method(*arguments) if driven() else await amethod(*arguments)


class Drive(ABC):
    """Runs the operations of a store: ``drive(store.read(key))``."""

    @abstractmethod
    def __call__(self, body: Coroutine[Any, Any, T]) -> T:
        """Run a body, and return what it returns."""

    @abstractmethod
    def all(self, source: AsyncIterator[T]) -> list[T]:
        """Return all that an asynchronous iterator yields."""

    @abstractmethod
    def together(self, bodies: Sequence[Body[T]]) -> list[T]:
        """Run bodies at the same time, each on a thread or as a task; return their results in order."""


class SyncDrive(Drive):
    """Without an event loop, as in a WSGI worker. ``leave_thread`` is called at the end of each thread."""

    def __init__(self, leave_thread: Callable[[], object]) -> None:
        self._leave_thread = leave_thread

    def __call__(self, body: Coroutine[Any, Any, T]) -> T:
        return run_sync(body)

    def all(self, source: AsyncIterator[T]) -> list[T]:
        return list(iterate(source))

    def together(self, bodies: Sequence[Body[T]]) -> list[T]:
        barrier = threading.Barrier(len(bodies))

        def on_thread(body: Body[T]) -> T:
            try:
                barrier.wait(PATIENCE)
                return run_sync(body())
            finally:
                self._leave_thread()

        with ThreadPoolExecutor(len(bodies)) as threads:
            return list(threads.map(on_thread, bodies))


class AsyncDrive(Drive):
    """In one event loop, which lives as long as the test: as in an ASGI worker."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner

    def __call__(self, body: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(body)

    def all(self, source: AsyncIterator[T]) -> list[T]:
        async def collect() -> list[T]:
            return [item async for item in source]

        return self._runner.run(collect())

    def together(self, bodies: Sequence[Body[T]]) -> list[T]:
        async def gather() -> list[T]:
            running: list[Awaitable[T]] = [body() for body in bodies]
            return await asyncio.gather(*running)

        return self._runner.run(gather())


@contextmanager
def driving(colour: str, leave_thread: Callable[[], object]) -> Iterator[Drive]:
    """Yield the drive of a colour, "sync" or "async"."""
    if colour == "sync":
        yield SyncDrive(leave_thread)
    else:
        with asyncio.Runner() as runner:
            yield AsyncDrive(runner)
