"""What a process keeps, and what makes it forget."""

from __future__ import annotations

import pytest

from django_multisession import runtime
from django_multisession.runtime import ALWAYS, Event, Kept, cached, on, reset


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget afterwards what the test has registered."""
    monkeypatch.setattr(runtime, "_callbacks", [])


@pytest.mark.parametrize("event", list(Event))
def test_kept_value_lasts_until_one_of_its_events(event: Event) -> None:
    kept, other, always = Kept(list[int], event), Kept(list[int], ALWAYS & ~event), Kept(list[int], ALWAYS)
    values = kept.value, other.value, always.value
    reset(event)
    assert (kept.value is values[0], other.value is values[1], always.value is values[2]) == (False, True, False)


def test_reset_without_an_event_is_all_of_them() -> None:
    kept = [Kept(list[int], event) for event in Event]
    values = [each.value for each in kept]
    reset()
    assert not any(each.value is value for each, value in zip(kept, values, strict=True))


def test_callbacks_are_called_in_their_order() -> None:
    calls: list[int] = []
    for number in range(3):
        on(Event.SETTINGS)(lambda number=number: calls.append(number))
    reset(Event.FORK)
    assert calls == []
    reset(Event.SETTINGS)
    assert calls == [0, 1, 2]


def test_cached_function_is_called_anew_after_a_change_of_settings() -> None:
    calls: list[str] = []

    @cached
    def look(name: str) -> str:
        calls.append(name)
        return name

    assert [look("a"), look("a"), look("b")] == ["a", "a", "b"]
    reset(Event.SETTINGS)
    look("a")
    assert calls == ["a", "b", "a"]
