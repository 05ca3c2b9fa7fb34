"""What the engines promise, for a session of 0.5 kB on two cores and loopback, and how a figure stands to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.sides import BASIC


@dataclass(frozen=True)
class Target:
    """The most that a figure may be, what would be better still, and what it is where it is not there yet.

    A figure above ``limit`` is missed. What is ``reached`` serves quick runs alone: they are to see what becomes worse.
    """

    limit: float
    stretch: float | None = None
    reached: float | None = None

    def verdict(self, value: float) -> str:
        """Return how a value stands to this, for a table's cell."""
        text = f"≤ {self.limit:.2f} {_met(value, self.limit)}"
        return text if self.stretch is None else f"{text}; stretch ≤ {self.stretch:.2f} {_met(value, self.stretch)}"


@dataclass(frozen=True)
class Verdict:
    """A figure that has a target; one that ``is_ratio`` means something on a slow or busy machine, too."""

    what: str
    value: float
    target: Target
    is_ratio: bool = True

    @property
    def misses(self) -> bool:
        """Whether the figure is above its target."""
        return self.value > self.target.limit

    def is_far_off(self, factor: float) -> bool:
        """Tell whether the figure is above its target, or what was reached of it, by more than this factor."""
        return self.value > max(self.target.limit, self.target.reached or 0) * factor

    def __str__(self) -> str:
        return f"{self.what}: {self.value:.3f}, at most {self.target.limit:.3f}"


def _met(value: float, limit: float) -> str:
    return "met" if value <= limit else "MISSED"


def _ratios(engine: str, other: str, *limits: float) -> Iterator[tuple[tuple[str, str, str], Target]]:
    for operation, limit in zip(BASIC, limits, strict=True):
        yield (engine, operation, other), Target(limit)


RATIOS: dict[tuple[str, str, str], Target] = {
    ("redis", "load", "bare redis-py"): Target(1.05, stretch=0.90),
    ("redis", "change", "bare redis-py"): Target(1.10, stretch=0.90),
    ("redis", "create", "bare redis-py"): Target(1.10, stretch=0.85),
    # "What is counted" in docs/benchmarks.md tells why.
    ("memcached", "load", "bare pymemcache"): Target(1.20, reached=2.0),
    ("memcached", "change", "bare pymemcache"): Target(1.25, reached=2.0),
    ("memcached", "create", "bare pymemcache"): Target(1.20, reached=2.4),
    **dict(_ratios("postgresql", "bare psycopg, prepared", 1.30, 1.25, 1.25)),
    **dict(_ratios("mongodb", "bare PyMongo", 1.15, 1.20, 1.15)),
    # So many times as fast:
    **dict(_ratios("redis", "Django's cache", 1 / 2.1, 1 / 2.9, 1 / 4)),
    **dict(_ratios("memcached", "Django's cache", 1 / 1.4, 1 / 2, 1 / 3)),
    **dict(_ratios("postgresql", "Django's db", 1 / 3, 1 / 3.5, 1 / 4.5)),
    **dict(_ratios("encrypted_cookies", "Django's signed_cookies", 1 / 3, 1 / 3, 1 / 3)),
    **dict(_ratios("signed_cookies", "Django's signed_cookies", 1, 1, 1)),
}
"""The most that a ratio ``ours ÷ other`` may be, by engine, operation and the other side. No target, no promise."""

CPU = {"load": Target(15), "change": Target(25), "create": Target(15)}
"""The most µs of CPU that the session layer may take over a store that answers at once."""

WRITES = Target(16)
"""The most writes per 1,000 reads under SESSION_SAVE_EVERY_REQUEST, in the mean."""
BURST = Target(1)
"""The most writes of 20 parallel requests under SESSION_SAVE_EVERY_REQUEST."""
