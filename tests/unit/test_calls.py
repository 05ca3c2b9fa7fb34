"""Store.call(): what is admitted, how long it may take, and what an exception of a client comes to."""

from __future__ import annotations

import socket
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_multisession.breaker import BreakerOpen
from django_multisession.bridge import run_sync
from django_multisession.deadline import Operation
from django_multisession.exceptions import BudgetSpent, StoreRefused, StoreUnavailable
from django_multisession.stores.base import Failure, Store, StoreOptions


class Refusal(Exception):
    """An answer of the client's."""


class Mistake(Exception):
    """An answer that shows a wrong setting."""


class Scripted(Store):
    """A store whose probe is answered or not."""

    probe_error: Exception | None = None
    probes = 0

    @property
    def name(self) -> str:
        return f"scripted://{self.options.location}"

    def failure(self, error: Exception) -> tuple[Failure, str] | None:
        if isinstance(error, Refusal):
            return Failure.REFUSAL, "OOM. Give it more memory."
        if isinstance(error, Mistake):
            return Failure.MISTAKE, "wrong password. Correct LOCATION."
        return super().failure(error)

    async def probe(self, node: Any) -> None:
        self.probes += 1
        if self.probe_error is not None:
            raise self.probe_error


@pytest.fixture
def store() -> Scripted:
    return Scripted(StoreOptions(location=uuid4().hex, timeout=1.0))


def call(store: Store, error: BaseException | None = None) -> Any:
    async def ask(seconds: float, *arguments: Any) -> Any:
        if error is not None:
            raise error
        return seconds, arguments

    return run_sync(store.call(ask, 1, 2))


def test_call_has_half_of_the_timeout(store: Scripted) -> None:
    assert call(store) == (0.5, (1, 2))


def test_call_has_no_more_than_the_request_has_left(store: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    with Operation() as operation:
        monkeypatch.setattr(Operation, "left", lambda self, total: total - 0.75)
        assert call(store)[0] == pytest.approx(0.25)
        monkeypatch.setattr(Operation, "left", lambda self, total: 0.0)
        with pytest.raises(BudgetSpent, match=r"1.0 s \(TIMEOUT\)") as caught:
            call(store)
        assert not caught.value.retryable
        assert not operation.has_repeated


def test_refusal_is_an_answer(store: Scripted) -> None:
    answers = store.breaker.answers
    with pytest.raises(StoreRefused, match=r"scripted://\w+ refused: OOM\. Give it more memory\.") as caught:
        call(store, Refusal())
    assert not caught.value.retryable
    assert store.breaker.answers != answers
    assert store.probes == 0


def test_mistake_names_the_setting(store: Scripted) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"scripted://\w+: wrong password\. Correct LOCATION\."):
        call(store, Mistake())
    assert store.probes == 0


def test_error_that_is_not_the_clients_is_raised_as_it_is(store: Scripted) -> None:
    with pytest.raises(LookupError):
        call(store, LookupError())
    assert store.probes == 0


def test_name_that_was_never_found_is_a_mistake_and_later_an_outage(store: Scripted) -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    with pytest.raises(ImproperlyConfigured, match="no host of this name"):
        call(store, unknown)
    call(store)
    with pytest.raises(StoreUnavailable):
        call(store, unknown)


def test_silence_is_tried_again_once_an_operation_if_the_probe_is_answered(store: Scripted) -> None:
    cause = TimeoutError()
    with Operation():
        for retryable in (True, False):
            with pytest.raises(StoreUnavailable, match="no answer in time") as caught:
                call(store, cause)
            assert caught.value.__cause__ is cause
            assert caught.value.retryable is retryable
    assert store.probes == 2
    assert not store.breaker.is_open


def test_silence_is_tried_again_if_others_were_answered_meanwhile(store: Scripted) -> None:
    async def ask(seconds: float) -> None:
        store.breaker.answers += 1
        raise TimeoutError

    with Operation(), pytest.raises(StoreUnavailable) as caught:
        run_sync(store.call(ask))
    assert caught.value.retryable
    assert store.probes == 0


def test_silence_is_not_tried_again_if_nobody_is_answered(store: Scripted) -> None:
    store.probe_error = TimeoutError()
    with Operation() as operation, pytest.raises(StoreUnavailable) as caught:
        call(store, TimeoutError())
    assert not caught.value.retryable
    assert not operation.has_repeated


def test_silence_is_not_tried_again_without_time_left(store: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter([1.0, 0.0])
    monkeypatch.setattr(Operation, "left", lambda self, total: next(left))
    with Operation(), pytest.raises(StoreUnavailable) as caught:
        call(store, TimeoutError())
    assert not caught.value.retryable


def test_silence_in_a_transaction_is_not_tried_again(store: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scripted, "transactional", True)
    with Operation(), pytest.raises(StoreUnavailable) as caught:
        call(store, TimeoutError())
    assert not caught.value.retryable


def test_silence_of_the_probe_as_well_opens_the_breaker(store: Scripted) -> None:
    store.probe_error = TimeoutError()
    with pytest.raises(StoreUnavailable):
        call(store, TimeoutError())
    assert store.breaker.is_open
    with pytest.raises(BreakerOpen):
        call(store)


def test_silence_is_no_answer(store: Scripted) -> None:
    # Others who began before it would not come to suspect the server, and an open breaker would be taken for closed.
    store.probe_error = TimeoutError()
    answers = store.breaker.answers
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            call(store, TimeoutError())
        assert store.breaker.answers == answers
        assert store.breaker.is_open


@pytest.mark.parametrize("answer", [Refusal(), Mistake(), None])
def test_probe_that_is_answered_whatever_the_answer_keeps_the_breaker_closed(
    store: Scripted, answer: Exception | None
) -> None:
    store.probe_error = answer
    with pytest.raises(StoreUnavailable):
        call(store, TimeoutError())
    assert store.probes == 1
    assert not store.breaker.is_open


def test_limit_that_the_request_has_cut_short_makes_nobody_suspect(
    store: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.probe_error = TimeoutError()
    monkeypatch.setattr(Operation, "left", lambda self, total: 0.01)
    with Operation(), pytest.raises(StoreUnavailable):
        call(store, TimeoutError())
    assert store.probes == 0
    assert not store.breaker.is_open


def test_connection_that_was_lost_may_be_tried_again_once_an_operation(store: Scripted) -> None:
    store.probe_error = ConnectionRefusedError()
    lost = ConnectionResetError(104, "Connection reset by peer")
    with Operation():
        with pytest.raises(
            StoreUnavailable, match="connection lost: ConnectionResetError, Connection reset by peer"
        ) as first:
            call(store, lost)
        assert first.value.retryable
        assert store.probes == 0
        with pytest.raises(StoreUnavailable) as second:
            call(store, lost)
    assert not second.value.retryable
    assert store.probes == 1
    assert store.breaker.is_open


def test_connection_that_was_lost_at_the_end_of_the_budget_is_probed(
    store: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.probe_error = ConnectionRefusedError()
    left = iter([1.0, 0.0])
    monkeypatch.setattr(Operation, "left", lambda self, total: next(left))
    with Operation(), pytest.raises(StoreUnavailable) as caught:
        call(store, ConnectionRefusedError())
    assert not caught.value.retryable
    assert store.breaker.is_open


def test_cancelled_call_tells_nothing(store: Scripted) -> None:
    answers = store.breaker.answers
    with pytest.raises(KeyboardInterrupt):
        call(store, KeyboardInterrupt())
    assert (store.probes, store.breaker.answers) == (0, answers)
