"""Many requests change one session at the same time: no change is lost, nobody comes back, nobody is mixed up.

By threads on every server-side engine; at night by processes and tasks, too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from django.contrib.auth import SESSION_KEY

from tests.system.backends import PATIENCE, Backend
from tests.system.conftest import GROWN, SERVER_SIDE
from tests.system.races import (
    Crew,
    Processes,
    Tasks,
    Threads,
    change,
    cycle,
    log_out,
    sign,
    switch_users,
    watch,
)

GAP = 5.0
"""How many times as long as its last change a writer pauses: a new key takes longer than that, and would never win."""
ENTRY: dict[str, Any] = {"MERGE": {"n": "counter"}, "TIMEOUT": PATIENCE}

EVERY = [*SERVER_SIDE, *GROWN]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize(
        ("backend", "crew"),
        # Another process has another memory, and tasks never wait for it: one would run after the other.
        [(name, "threads") for name in EVERY]
        + [
            pytest.param(name, crew, marks=pytest.mark.nightly)
            for name in EVERY for crew in ("processes", "tasks") if name != "memory"
        ],
        indirect=True,
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    processes = Processes()
    yield processes
    processes.close()


@pytest.fixture
def crew(request: pytest.FixtureRequest) -> Crew:
    crews: dict[str, Any] = {"threads": Threads, "tasks": Tasks}
    if request.param in crews:
        crew: Crew = crews[request.param]()
        return crew
    processes: Processes = request.getfixturevalue("processes")
    return processes


@pytest.fixture
def store(backend: Backend) -> Iterator[type[Any]]:
    with backend.configured(**ENTRY) as store:
        yield store


def started(store: type[Any], **data: Any) -> str:
    """Return the key of a new session."""
    session = store()
    session.update(data)
    session.save()
    key: str = session.session_key
    return key


def test_changes_of_all_arrive_and_are_counted(backend: Backend, store: type[Any], crew: Crew) -> None:
    key, times = started(store, n=0), crew.changes
    writers = [partial(change, number=number, key=key, times=times) for number in range(crew.size)]
    total = crew.size * times  # 320 by threads and processes
    crew.play(backend, [*writers, partial(watch, key=key, total=total)], **ENTRY)
    assert dict(store(key).items()) == {"n": total} | {f"writer{number}": times for number in range(crew.size)}


def test_logout_in_the_middle_is_final(backend: Backend, store: type[Any], crew: Crew) -> None:
    key = started(store, n=0)
    # They would go on for ever.
    writers = [partial(change, number=number, key=key, times=sys.maxsize) for number in range(crew.size)]
    few = 4 * crew.size
    *saved, _ = crew.play(backend, [*writers, partial(log_out, key=key, after=few)], **ENTRY)
    assert not store().exists(key)
    assert sum(saved) >= few


def test_new_key_in_the_middle_takes_all_changes_with_it(backend: Backend, store: type[Any], crew: Crew) -> None:
    key = started(store, n=0)
    writers = [partial(change, number=number, key=key, times=sys.maxsize, gap=GAP) for number in range(crew.size)]
    few = 2 * crew.size
    *saved, new_key = crew.play(backend, [*writers, partial(cycle, key=key, after=few)], **ENTRY)
    assert not store().exists(key)
    found = dict(store(new_key).items())
    assert found == {"n": sum(saved)} | {f"writer{number}": times for number, times in enumerate(saved) if times}


def test_users_are_never_mixed(backend: Backend, store: type[Any], crew: Crew) -> None:
    key = started(store, **{SESSION_KEY: "0"})
    writers = [partial(sign, number=number, key=key) for number in range(crew.size)]
    *signed, last = crew.play(backend, [*writers, partial(switch_users, key=key)], **ENTRY)
    assert set(store(key).values()) == {str(last)}
    assert sum(signed)
