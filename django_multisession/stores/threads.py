"""Worker threads of one event loop, for a client library that has no asynchronous client.

The loop's default threads also serve the application: its asyncio.to_thread() calls would delay those for sessions, and
waiting for a thread would look like a server's silence.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType
from typing import Any, TypeVar, cast

from .limits import ConcurrencyLimit

T = TypeVar("T")


class _Job:
    """A function to call on a thread; its future is the loop's."""

    __slots__ = ("arguments", "function", "future", "is_running", "release")

    def __init__(self, future: asyncio.Future[Any], function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.future = future
        self.function = function
        self.arguments = arguments
        self.is_running = True
        self.release: Callable[[], object] | None = None
        """Called when the thread is free again."""


class Threads:
    """At most ``limit`` threads, and one more for a probe, for one event loop: made when needed, ended by aclose().

    ``name`` is the store's location, for errors.
    """

    def __init__(self, limit: int, name: str) -> None:
        self.limit = ConcurrencyLimit(limit, name)
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = 0

    def slot(self, seconds: float) -> "Slot":
        """Return a slot, for which ``async with`` waits at most so many seconds; QueueFull after that."""
        return Slot(self, seconds)

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return ``function(*arguments)``, called on a thread; if the task is cancelled, the thread goes on."""
        return cast(T, await self.start(function, *arguments).future)

    def start(self, function: Callable[..., Any], *arguments: Any) -> _Job:
        """Begin to call a function on a thread."""
        loop = asyncio.get_running_loop()
        job = _Job(loop.create_future(), function, arguments)
        if self._idle:
            self._idle -= 1
        else:
            thread = threading.Thread(target=self._work, args=(loop,), name="multisession", daemon=True)
            thread.start()
            self._threads.append(thread)
        self._jobs.put(job)
        return job

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while (job := self._jobs.get()) is not None:
            result, error = None, None
            try:
                result = job.function(*job.arguments)
            except BaseException as raised:  # noqa: BLE001 - raised again where run() is awaited
                error = raised
            try:
                loop.call_soon_threadsafe(self._finish, job, result, error)
            except RuntimeError:  # the loop was closed without waiting
                return
            del job, result, error  # so that nothing is kept alive while the thread waits

    def _finish(self, job: _Job, result: Any, error: BaseException | None) -> None:
        self._idle += 1
        job.is_running = False
        if job.release is not None:
            job.release()
        if job.future.done():  # cancelled
            return
        if error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)

    async def aclose(self) -> None:
        """End the threads, and wait for those that are busy; run() must not be called after that."""
        for _ in self._threads:
            self._jobs.put(None)
        if self._idle < len(self._threads):
            await asyncio.to_thread(_join, self._threads)
        else:
            _join(self._threads)


class Slot:
    """The right to run one function on a thread, as an asynchronous context manager.

    It is given back once the thread is free again: after a cancelled task, that may still wait for the answer.
    """

    __slots__ = ("_job", "_seconds", "_threads")

    def __init__(self, threads: Threads, seconds: float) -> None:
        self._threads = threads
        self._seconds = seconds
        self._job: _Job | None = None

    async def __aenter__(self) -> "Slot":
        await self._threads.limit.acquire(self._seconds)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._job is not None and self._job.is_running:
            self._job.release = self._threads.limit.release
        else:
            self._threads.limit.release()

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """See Threads.run()."""
        self._job = self._threads.start(function, *arguments)
        return cast(T, await self._job.future)


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()
