"""Event loops, threads, forks and cancelled tasks leave nothing behind, and no answer for somebody else."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import psutil
import pytest
from asgiref.sync import async_to_sync

from tests.system.backends import PATIENCE, Backend, leave_thread
from tests.system.conftest import NETWORKED

HANG = 120.0
"""Seconds after which a process is not one of many on a busy machine any more, but hangs."""
READS = 3
READERS = 8
SAVES = 20

# A loop's connections, so few that one which is not given back is missed soon.
FEW: dict[str, dict[str, Any]] = {
    "mongodb": {"maxPoolSize": 2},
    "postgresql": {"max_connections": 2},
}

pytestmark = pytest.mark.slow


@pytest.fixture
def store(backend: Backend) -> Iterator[type[Any]]:
    with backend.configured(TIMEOUT=PATIENCE, OPTIONS=FEW.get(backend.name, {})) as store:
        yield store


@pytest.fixture
def key(store: type[Any]) -> str:
    """A session that counts."""
    session = store()
    session["n"] = 0
    session.save()
    created: str = session.session_key
    return created


async def count(store: type[Any], key: str) -> None:
    """Load, change and save in an event loop, with a few more who read at the same time."""
    session = store(key)
    await session.aset("n", await session.aget("n") + 1)
    await session.asave()
    await asyncio.gather(*(store(key).aload() for _ in range(READS)))


def on_server(port: int) -> int:
    """Count the connections of a server, half-closed ones too, from its side."""
    ended = (psutil.CONN_LISTEN, psutil.CONN_TIME_WAIT, psutil.CONN_NONE)
    return sum(
        each.laddr.port == port and each.status not in ended for each in psutil.net_connections("tcp") if each.laddr
    )


def _alive(kind: type[Any]) -> list[Any]:
    # By type() and not isinstance(), which asks a weak proxy's object, and that may be dead.
    return [each for each in gc.get_objects() if issubclass(type(each), kind)]


def in_use(backend: Backend) -> dict[str, int]:
    """Count what this process holds, and its connections at the server."""
    gc.collect()
    return {
        "connections": on_server(backend.port) if backend.port else 0,
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "tasks": sum(not task.done() for task in _alive(asyncio.Task)),
        "loops": len(_alive(asyncio.BaseEventLoop)),
    }


def settled(backend: Backend, before: dict[str, int]) -> dict[str, int]:
    """Return what is in use more than before, when the server has noticed what was closed."""
    # Connections that calls at the same time have needed may stay for later ones.
    kept = {"connections": READS, "files": READS}
    deadline = time.monotonic() + 5
    while True:
        now = in_use(backend)
        more = {
            name: number - before[name] for name, number in now.items() if number > before[name] + kept.get(name, 0)
        }
        if not more or time.monotonic() > deadline:
            return more
        time.sleep(0.05)


@async_to_sync
async def through_asgiref(body: Coroutine[Any, Any, None]) -> None:
    await body


@pytest.mark.parametrize("enter", [asyncio.run, through_asgiref], ids=["run", "to_sync"])
def test_event_loops_leave_nothing_behind(
    backend: Backend, store: type[Any], key: str, enter: Callable[[Any], Any], nightly: bool
) -> None:
    loops = 200 if nightly else 30
    for _ in range(3):  # the first make what stays: a thread for all loops, clients without a loop
        enter(count(store, key))
    before = in_use(backend)
    for _ in range(loops):
        enter(count(store, key))
    assert settled(backend, before) == {}
    assert store(key)["n"] == loops + 3


def test_short_threads_leave_nothing_behind(backend: Backend, store: type[Any], key: str, nightly: bool) -> None:
    threads = 50 if nightly else 20

    def one() -> None:
        thread = threading.Thread(target=_on_thread, args=(store, key))
        thread.start()
        thread.join()

    one()
    before = in_use(backend)
    for _ in range(threads):
        one()
    assert settled(backend, before) == {}
    assert store(key)["n"] == threads + 1


def test_process_ends_in_silence(backend: Backend, store: type[Any], key: str) -> None:
    """No ResourceWarning, no exception that is ignored, no hang."""
    process = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", __file__, repr(backend), key],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


def fork(in_child: Callable[[], None]) -> int:
    """Call in a forked child, which then ends at once; return its id."""
    with warnings.catch_warnings():
        # Python's warning of threads that exist: those of PyMongo, and the proxy's.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        code = 1
        signal.alarm(int(HANG))  # a child that hangs fails its test
        try:
            in_child()
            code = 0
        finally:
            os._exit(code)
    return child


def ended_well(child: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# Not async on db: asgiref's thread for Django's connections does not outlive a fork, and a child waits for it for ever.
@pytest.mark.parametrize(
    ("backend", "colour"),
    [*product(NETWORKED, ["sync", "async"]), ("db-sqlite", "sync"), ("db-postgresql", "sync")],
    indirect=["backend"],
)
def test_fork_in_the_middle_is_safe(backend: Backend, store: type[Any], key: str, colour: str) -> None:
    def count_for(name: str) -> None:
        for number in range(SAVES):
            session = store(key)
            assert session.get(name, 0) == number, "an answer to somebody else's question"
            session[name] = number + 1
            session.save()

    async def acount_for(name: str) -> None:
        for number in range(SAVES):
            session = store(key)
            assert await session.aget(name, 0) == number, "an answer to somebody else's question"
            await session.aset(name, number + 1)
            await session.asave()

    def in_child() -> None:
        count_for("child") if colour == "sync" else asyncio.run(acount_for("child"))
        leave_thread()

    session = store(key)
    session["before"] = 1  # what is loaded and changed here is saved in both
    if backend.engine == "db":
        # Its connections are Django's, which no process may share.
        leave_thread()
    child = fork(in_child)
    session.save()
    count_for("parent")
    assert ended_well(child)
    assert dict(store(key).items()) == {"n": 0, "before": 1, "parent": SAVES, "child": SAVES}


@pytest.mark.parametrize("backend", NETWORKED, indirect=True)
def test_fork_in_an_event_loop_is_safe(backend: Backend, store: type[Any], key: str) -> None:
    async def count_for(name: str) -> None:
        for number in range(SAVES):
            session = store(key)
            assert await session.aget(name, 0) == number
            await session.aset(name, number + 1)
            await session.asave()

    def in_child() -> None:
        # The parent's loop runs in the child too, as far as asyncio knows.
        asyncio._set_running_loop(None)
        session = store(key)
        session["child"] = session.get("child", 0)
        asyncio.run(count_for("child"))

    async def scenario() -> None:
        await asyncio.gather(*(store(key).aload() for _ in range(4)))
        child = fork(in_child)
        await count_for("parent")
        assert await asyncio.to_thread(ended_well, child)

    asyncio.run(scenario())
    assert dict(store(key).items()) == {"n": 0, "parent": SAVES, "child": SAVES}


def test_cancelled_tasks_leave_no_half_answer(backend: Backend, store: type[Any], nightly: bool) -> None:
    """Whenever they are cancelled: their connections come back, and answers belong to their questions."""
    cancellations = 80 if nightly else 20
    sessions = {}
    for number in range(READERS):
        session = store()
        session["owner"] = number
        session.save()
        sessions[number] = session.session_key

    async def use(number: int) -> None:
        session = store(sessions[number])
        assert await session.aget("owner") == number, "an answer to somebody else's question"
        await session.aset("seen", await session.aget("seen", 0) + 1)
        await session.asave()

    async def scenario() -> None:
        await use(0)
        started = time.perf_counter()
        await asyncio.gather(*map(use, sessions))
        duration = time.perf_counter() - started
        for step in range(cancellations):
            cancelled = [asyncio.create_task(use(number)) for number in sessions]
            await asyncio.sleep(duration * step / cancellations)
            for task in cancelled:
                task.cancel()
            # Some at once, beside those that are still being cancelled.
            await asyncio.gather(*map(use, sessions))
            for result in await asyncio.gather(*cancelled, return_exceptions=True):
                assert result is None or isinstance(result, asyncio.CancelledError), result

    asyncio.run(scenario())
    for number, key in sessions.items():
        assert store(key)["owner"] == number


def main() -> None:
    """Use a session in every way, and end without closing anything; see test_process_ends_in_silence."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    # Not that a step of a task took long, which a busy machine is to blame for.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    backend: Backend = eval(sys.argv[1], {"Backend": Backend, "PosixPath": Path})  # noqa: S307 - our own repr()
    key = sys.argv[2]
    with backend.configured(migrate=False) as store:
        if backend.engine == "memory":
            session = store()
            session["n"] = 0
            session.save()
            key = str(session.session_key)
        assert store(key)["n"] == 0
        asyncio.run(count(store, key))
        async_to_sync(count)(store, key)
        thread = threading.Thread(target=_on_thread, args=(store, key))
        thread.start()
        thread.join()
        assert store(key)["n"] == 3


def _on_thread(store: type[Any], key: str) -> None:
    session = store(key)
    session["n"] += 1
    session.save()
    leave_thread()


if __name__ == "__main__":
    main()
