"""How late this machine may be: it may do much besides, but for the night, when it is quiet."""

from __future__ import annotations


class _Machine:
    is_quiet = False


def assume_quiet() -> None:
    """Allow no more than what a quiet machine needs, as scripts/test --nightly does."""
    _Machine.is_quiet = True


def late(seconds: float, most: float = 10.0) -> float:
    """Return how many seconds something may take that by itself takes so many."""
    return seconds + (0.25 if _Machine.is_quiet else most)


def rate(number: float) -> float:
    """Return how many a second have to come where a quiet machine does so many."""
    return number if _Machine.is_quiet else number / 10
