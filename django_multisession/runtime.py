"""Everything that lives as long as the process: one place that knows it, and one reset().

A module that keeps something between requests (a cache, a lock, a pool, a breaker) declares it as ``Kept``, or
registers a callback with ``on()``. Three events make it forget: a fork, whose child must not share connections or
wait for locks of threads that it does not have; a change of settings; and a test that begins. reset() without an
event is all of them.
"""

import enum
import functools
import os
import time
from collections.abc import Callable
from typing import Final, Generic, ParamSpec, TypeVar

monotonic: Final[Callable[[], float]] = functools.partial(time.monotonic)
"""The monotonic clock also where a test has frozen time: freezegun replaces functions by their names in modules."""

P = ParamSpec("P")
T = TypeVar("T")
CallbackT = TypeVar("CallbackT", bound=Callable[[], object])


class Event(enum.Flag):
    """What makes a process forget."""

    FORK = enum.auto()
    SETTINGS = enum.auto()
    TEST = enum.auto()


ALWAYS = Event.FORK | Event.SETTINGS | Event.TEST

_callbacks: list[tuple[Event, Callable[[], object]]] = []


def on(events: Event) -> Callable[[CallbackT], CallbackT]:
    """Have a function called, in the order of registration, whenever one of these events happens."""

    def register(callback: CallbackT) -> CallbackT:
        _callbacks.append((events, callback))
        return callback

    return register


def reset(event: Event = ALWAYS) -> None:
    """Forget what an event makes obsolete; without one, everything."""
    for events, callback in _callbacks:
        if events & event:
            callback()


class Kept(Generic[T]):
    """A value of the process, made by ``make`` and made anew whenever one of the events happens."""

    __slots__ = ("_make", "value")

    def __init__(self, make: Callable[[], T], until: Event) -> None:
        self._make = make
        self.value = make()
        on(until)(self.renew)

    def renew(self) -> None:
        """Make the value anew."""
        self.value = self._make()


def cached(function: Callable[P, T]) -> Callable[P, T]:
    """Cache the results of a function of the settings until they change."""
    remembered = functools.cache(function)
    on(Event.SETTINGS)(remembered.cache_clear)
    return remembered  # type: ignore[return-value]  # functools.cache loses the parameters


os.register_at_fork(after_in_child=functools.partial(reset, Event.FORK))
