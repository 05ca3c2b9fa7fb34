"""The circuit breaker: who becomes suspect, what a probe decides, what is logged. Time stands still unless moved."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace
from uuid import uuid4

import pytest

from django_multisession import breaker as module
from django_multisession import runtime
from django_multisession.breaker import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    PROBE_TIMEOUT,
    REPORT_INTERVAL,
    SHORTEST_PART,
    Breaker,
    BreakerOpen,
    Probe,
    breaker_for,
    report,
    warn,
)
from django_multisession.bridge import run_sync
from django_multisession.exceptions import BudgetSpent, QueueFull, StoreRefused, StoreUnavailable

LOCATION = "redis://127.0.0.1:1/0"


class Server:
    """What probes ask: silent or not."""

    def __init__(self) -> None:
        self.failure: str | None = None
        self.probes = 0

    async def probe(self) -> str | None:
        self.probes += 1
        return self.failure


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module, "monotonic", lambda: clock.now)
    monkeypatch.setattr(module, "uniform", lambda least, most: most)
    return clock


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def breaker(now: SimpleNamespace) -> Breaker:
    runtime.reset(runtime.Event.TEST)
    return Breaker(LOCATION)


def suspect(breaker: Breaker, server: Server, answers: int | None = None) -> bool:
    """Return whether the server is known to answer."""
    return run_sync(breaker.suspect(breaker.answers if answers is None else answers, server.probe, "no answer in time"))


def admits(breaker: Breaker, server: Server) -> bool:
    return run_sync(breaker.admits(server.probe))


def opened(breaker: Breaker, server: Server) -> None:
    server.failure = "no answer in time"
    assert not suspect(breaker, server)
    assert breaker.is_open


def test_probe_that_is_answered_keeps_the_breaker_closed(breaker: Breaker, server: Server) -> None:
    for _ in range(10):
        assert suspect(breaker, server)
    assert server.probes == 10
    assert not breaker.is_open
    assert admits(breaker, server)


def test_probe_that_is_not_answered_opens_the_breaker(breaker: Breaker, server: Server) -> None:
    opened(breaker, server)
    assert not admits(breaker, server)
    assert server.probes == 1


def test_call_that_fails_while_others_are_answered_makes_nobody_suspect(breaker: Breaker, server: Server) -> None:
    server.failure = "no answer in time"
    before = breaker.answers
    breaker.answers += 1
    assert suspect(breaker, server, before)
    assert server.probes == 0
    assert not breaker.is_open


def test_probe_comes_sooner_first_and_once_a_second_then(
    breaker: Breaker, server: Server, now: SimpleNamespace
) -> None:
    opened(breaker, server)
    pause, pauses = FIRST_PAUSE, []
    for _ in range(6):
        now.now += pause - 0.001
        assert not admits(breaker, server)
        probes = server.probes
        now.now += 0.002
        assert not admits(breaker, server)
        assert server.probes == probes + 1
        pauses.append(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


@pytest.mark.parametrize("failure", [None, "no answer in time"])
def test_calls_that_end_unanswered_at_once_share_a_probe(
    breaker: Breaker, failure: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, decided = threading.Semaphore(0), threading.Event()
    answers, outcomes = breaker.answers, []

    async def pause(seconds: float) -> None:
        waiting.release()
        assert decided.wait(10)

    async def slow() -> str | None:
        for _ in range(2):
            assert waiting.acquire(timeout=10)
        return failure

    async def unexpected() -> str | None:
        raise AssertionError("a second probe")

    def end(probe: Probe) -> None:
        outcomes.append(run_sync(breaker.suspect(answers, probe, "no answer in time")))

    monkeypatch.setattr(module, "pause", pause)
    prober = threading.Thread(target=end, args=[slow])
    prober.start()
    others = [threading.Thread(target=end, args=[unexpected]) for _ in range(2)]
    while not breaker._probing:
        pass
    for thread in others:
        thread.start()
    prober.join(10)
    decided.set()
    for thread in others:
        thread.join(10)
    assert outcomes == [failure is None] * 3


def test_pause_between_probes_begins_with_the_end_of_the_last_one_and_the_longest_with_its_beginning(
    breaker: Breaker, now: SimpleNamespace
) -> None:
    ended = 0.0

    async def silent() -> str | None:
        nonlocal ended
        now.now += PROBE_TIMEOUT
        ended = now.now
        return "no answer in time"

    run_sync(breaker.suspect(breaker.answers, silent, "no answer in time"))
    pause = FIRST_PAUSE
    for _ in range(5):
        before = ended
        now.now = before + pause - 0.001
        assert not run_sync(breaker.admits(silent))
        assert ended == before
        now.now = before + pause + 0.001
        assert not run_sync(breaker.admits(silent))
        assert ended > before
        pause = min(2 * pause, LONGEST_PAUSE - PROBE_TIMEOUT)


def test_pauses_of_processes_that_met_an_outage_at_once_differ(
    breaker: Breaker, server: Server, now: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "uniform", lambda least, most: least)
    opened(breaker, server)
    now.now += SHORTEST_PART * FIRST_PAUSE - 0.001
    assert not admits(breaker, server)
    assert server.probes == 1
    now.now += 0.002
    assert not admits(breaker, server)
    assert server.probes == 2


def test_answered_probe_closes_the_breaker_and_lets_its_call_go_on(
    breaker: Breaker, server: Server, now: SimpleNamespace
) -> None:
    opened(breaker, server)
    server.failure = None
    now.now += FIRST_PAUSE
    assert admits(breaker, server)
    assert not breaker.is_open
    opened(breaker, server)
    now.now += FIRST_PAUSE  # the first pause again
    server.failure = None
    assert admits(breaker, server)


def test_one_of_many_threads_probes(breaker: Breaker, server: Server, now: SimpleNamespace) -> None:
    opened(breaker, server)
    now.now += FIRST_PAUSE
    inside, go_on = threading.Event(), threading.Event()

    async def slow() -> str | None:
        inside.set()
        assert go_on.wait(10)
        return None

    prober = threading.Thread(target=lambda: run_sync(breaker.admits(slow)))
    prober.start()
    assert inside.wait(10)
    assert [admits(breaker, server) for _ in range(5)] == [False] * 5
    go_on.set()
    prober.join(10)
    assert server.probes == 1
    assert admits(breaker, server)


def test_probe_that_raises_leaves_the_next_one_free(breaker: Breaker, server: Server) -> None:
    async def broken() -> str | None:
        raise LookupError

    with pytest.raises(LookupError):
        run_sync(breaker.suspect(breaker.answers, broken, "no answer in time"))
    opened(breaker, server)


# What is logged.


def messages(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage().partition(LOCATION)[2]) for record in caplog.records]


def test_outage_is_logged_when_it_begins_and_when_it_ends_with_its_length(
    breaker: Breaker, server: Server, now: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "django_multisession")
    opened(breaker, server)
    for _ in range(20):
        report(BreakerOpen(LOCATION, "it did not answer a moment ago"))
        now.now += 0.2
        admits(breaker, server)
    server.failure = None
    now.now += 1
    assert admits(breaker, server)
    assert messages(caplog) == [
        ("ERROR", " is unavailable: no answer in time"),
        ("INFO", " is available again after 5.0 s."),
    ]


@pytest.mark.parametrize("answers", [0, 1])
def test_breaker_that_opens_after_its_outage_was_reported_is_no_second_line(
    server: Server, now: SimpleNamespace, caplog: pytest.LogCaptureFixture, answers: int
) -> None:
    """Somebody met it with little time left, which opens nothing. With an answer in between it is another outage."""
    runtime.reset(runtime.Event.TEST)
    caplog.set_level(logging.INFO, "django_multisession")
    breaker = breaker_for(LOCATION)
    report(StoreUnavailable(LOCATION, "no answer in time"))
    now.now += 10 * REPORT_INTERVAL
    breaker.answers += answers
    opened(breaker, server)
    server.failure = None
    now.now += 1
    assert admits(breaker, server)
    assert messages(caplog) == [
        *[("ERROR", " is unavailable: no answer in time")] * (1 + answers),
        ("INFO", " is available again after 1.0 s."),
    ]


def test_reason_of_the_call_stands_beside_that_of_the_probe(
    breaker: Breaker, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.failure = "ConnectionRefusedError: Connection refused"
    suspect(breaker, server)
    assert messages(caplog) == [
        ("ERROR", " is unavailable: no answer in time; then ConnectionRefusedError: Connection refused")
    ]


def test_other_failures_are_logged_once_a_second_for_each_kind(
    now: SimpleNamespace, breaker: Breaker, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(100):
        report(StoreRefused(LOCATION, "OutOfMemoryError"))
        report(StoreUnavailable(LOCATION, "no answer in time"))
        report(BudgetSpent(LOCATION, "the request has waited for 1.0 s (TIMEOUT)"))
        report(QueueFull(LOCATION, "all of the process' connections are in use"))
        now.now += REPORT_INTERVAL / 50
    assert (
        messages(caplog)
        == [
            ("ERROR", " refused: OutOfMemoryError"),
            ("ERROR", " is unavailable: no answer in time"),
            ("ERROR", ": the request has waited for 1.0 s (TIMEOUT)"),
            ("ERROR", ": all of the process' connections are in use"),
        ]
        * 2
    )


def test_warnings_are_logged_once_a_second_for_each_text_and_name(
    now: SimpleNamespace, breaker: Breaker, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(128):
        for name in ("a", "b"):
            warn("%s failed: %s", name, OSError(number))
        now.now += REPORT_INTERVAL / 64
    assert [record.getMessage() for record in caplog.records] == [
        f"{name} failed: {number}" for number in (0, 64) for name in ("a", "b")
    ]


def test_breaker_for_a_location_is_one_of_the_process() -> None:
    location = f"redis://{uuid4()}"
    assert breaker_for(location) is breaker_for(location)
    assert breaker_for(location) is not breaker_for(location + "/1")


def test_fork_starts_with_closed_breakers(server: Server, now: SimpleNamespace) -> None:
    held_by_a_store = breaker_for(LOCATION)
    opened(held_by_a_store, server)
    runtime.reset(runtime.Event.FORK)  # what a forked child runs
    assert breaker_for(LOCATION) is held_by_a_store
    assert not held_by_a_store.is_open
