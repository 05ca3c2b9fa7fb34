"""The targets: how many times as fast as another side ours must be, with sealed records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from benchmarks import http, round_trips, untouched
from benchmarks.contests import BASIC
from benchmarks.payload import LARGE, SMALL
from benchmarks.results import Ratio

BARE = 1 / 1.35
"""At most 1.35 of the bare client's time."""


def _all(contest: str, other: str, *least: float) -> Iterator[tuple[tuple[str, str, str, str], float]]:
    for operation, target in zip(BASIC, least, strict=True):
        yield (contest, operation, SMALL, other), target


TARGETS: Mapping[tuple[str, str, str, str], float] = {
    **{
        key: target
        for redis in ("redis", "redis, newest")
        for key, target in (
            *_all(redis, "Django's cache", 2.4, 3.2, 4),
            *_all(redis, "django-redis", 1, 1, 1),
            *_all(redis, "django-redis-sessions", 1, 1, 1),
            *_all(redis, "bare redis-py", BARE, BARE, BARE),
        )
    },
    **{("redis", operation, LARGE, "django-redis"): 1 for operation in ("load", "create")},
    **dict(_all("memcached", "Django's cache", 1.3, 1.6, 2)),
    **dict(_all("postgresql", "Django's db", 3, 3.2, 4)),
    **dict(_all("postgresql", "django-user-sessions", 1, 1, 1)),
    **dict(_all("postgresql", "django-qsessions", 1, 1, 1)),
    **dict(_all("db", "Django's db", 1, 1, 1)),
    **dict(_all("signed_cookies", "Django's signed_cookies", 1, 1, 1)),
    **dict(_all("encrypted_cookies", "Django's signed_cookies", 1, 1, 1)),
    (http.NAME, "read", f"{http.CONNECTIONS} connections", "Django's cache"): 2.8,
    (untouched.NAME, "wsgi", untouched.SIZE, untouched.DJANGOS): 1 / 1.3,
    (untouched.NAME, "asgi", untouched.SIZE, untouched.DJANGOS): 1 / 1.3,
}
"""By contest, operation, size and the other side. No target, no promise: orientation."""


def target(ratio: Ratio) -> float | None:
    """Return the least that a ratio may be, None where nothing is promised."""
    ours = ratio.ours
    if ours.contest.startswith(round_trips.NAME):
        return 1
    return TARGETS.get((ours.contest, ours.operation, ours.size, ratio.other.side))


def missed(ratios: Iterable[Ratio], factor: float = 1) -> list[str]:
    """Return a line for each target that is missed by this factor."""
    return [
        f"{one.ours.benchmark().get_name()}: {one.median:.2f} times as fast as {one.other.side}, at least {least:.2f}"
        for one in ratios
        if (least := target(one)) is not None and one.median * factor < least
    ]
