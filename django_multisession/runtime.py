"""State that lives as long as the process, and the one function, reset(), that discards it.

A module that keeps something between requests (a cache, a lock, a pool, a breaker) declares it as ``Kept``, or
registers a callback with ``on()``. Three events discard it: a fork, since the child must not share its parent's
connections, nor wait for locks held by threads that it does not have; a change of settings; and the start of a test.
reset() without an argument stands for all three.
"""

import enum
import functools
import os
import time
from collections.abc import Callable
from typing import Final, Generic, ParamSpec, TypeVar

monotonic: Final[Callable[[], float]] = functools.partial(time.monotonic)
"""time.monotonic(), also in a test that freezes time: freezegun replaces every module attribute that is that function,
and this one is not."""

P = ParamSpec("P")
T = TypeVar("T")
CallbackT = TypeVar("CallbackT", bound=Callable[[], object])


class Event(enum.Flag):
    """What makes a process discard its state."""

    FORK = enum.auto()
    SETTINGS = enum.auto()
    TEST = enum.auto()


ALWAYS = Event.FORK | Event.SETTINGS | Event.TEST

_callbacks: list[tuple[Event, Callable[[], object]]] = []


def on(events: Event) -> Callable[[CallbackT], CallbackT]:
    """Call the decorated function whenever one of these events happens; callbacks run in order of registration."""

    def register(callback: CallbackT) -> CallbackT:
        _callbacks.append((events, callback))
        return callback

    return register


def reset(event: Event = ALWAYS) -> None:
    """Discard what an event makes obsolete; everything by default."""
    for events, callback in _callbacks:
        if events & event:
            callback()


class Kept(Generic[T]):
    """A process-wide value, made by ``make`` and replaced by a new one whenever one of the events happens."""

    __slots__ = ("_make", "value")

    def __init__(self, make: Callable[[], T], until: Event) -> None:
        self._make = make
        self.value = make()
        on(until)(self.renew)

    def renew(self) -> None:
        """Replace the value by a new one."""
        self.value = self._make()


def cached(function: Callable[P, T]) -> Callable[P, T]:
    """Cache the results of a function of the settings until they change."""
    remembered = functools.cache(function)
    on(Event.SETTINGS)(remembered.cache_clear)
    return remembered  # type: ignore[return-value]  # functools.cache loses the parameters


os.register_at_fork(after_in_child=functools.partial(reset, Event.FORK))
