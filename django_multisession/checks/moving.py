"""Check each FALLBACK: say how far the site has moved from one engine to another, and what comes next."""

from datetime import timedelta
from typing import Final

from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.core.management import get_commands
from django.utils import timezone

from ..conf import Fallback, entry
from ..moving.source import Source
from ..sessions.assembly import former_of
from ..sessions.base import MultisessionBase
from ..sessions.cookie import CookieSession
from ..sessions.server import ServerSession
from ..stores.aliases import APP
from .found import Found, advice, entry_of, sessions, warning

LAST_DAYS: Final = timedelta(days=14)
"""The time before UNTIL in which each check warns."""


def check_moves() -> Found:
    """Check the FALLBACK of each entry that has one."""
    for name, session in sessions():
        fallback = entry(name).fallback
        if fallback is not None:
            yield from _check_move(f"{entry_of(name)}['FALLBACK']", session, fallback)


def _check_move(where: str, session: type[MultisessionBase], fallback: Fallback) -> Found:
    left = fallback.until - timezone.now()
    if left <= timedelta(0):
        yield warning(
            "W051",
            f"{where} is over: its UNTIL was {fallback.until:%Y-%m-%d %H:%M}, and it is not asked any more.",
            "Remove it. What is left there nobody needs; 'django.contrib.sessions' may go from INSTALLED_APPS, too.",
        )
        return
    source = _source_of(session)
    if source is None:
        return  # E004 says why
    if left <= LAST_DAYS:
        yield warning(
            "W050",
            f"{where} ends in {max(left.days, 0)} days, at {fallback.until:%Y-%m-%d %H:%M}: whoever has not come until "
            f"then, and has a session in {source.name}, has to log in again.",
            (_walk(source) if fallback.carry else "Nothing moves before CARRY is removed.")
            + " Or set UNTIL to a later day.",
        )
    if fallback.allow_pickle and source.pickles:
        yield warning(
            "W052",
            f"{where} has ALLOW_PICKLE, and {source.name} holds pickles: a pickle runs what it says when it is loaded. "
            "Whoever can write to that place can run any code in this process.",
            "That was so before, too. Remove FALLBACK as soon as the sessions have come, and let nobody but the site "
            "write there until then.",
        )
    yield from _check_command()
    yield _progress(where, source, fallback)


def _check_command() -> Found:
    owner = get_commands().get("migratesessions", APP)  # absent if this package is not in INSTALLED_APPS
    if owner != APP:
        yield warning(
            "W053",
            f"manage.py migratesessions is the command of {owner!r}, which comes before {APP!r} in INSTALLED_APPS; it "
            "knows nothing of FALLBACK.",
            f"Put {APP!r} before it.",
        )


def _progress(where: str, source: Source, fallback: Fallback) -> CheckMessage:
    if not fallback.carry:
        return advice(
            "I002",
            f"{where} does not CARRY: sessions are still in {source.name}, where they are read, made, changed and "
            "ended, and FALLBACK can be taken away again without loss.",
            "Once no process is left that runs without it, remove CARRY from it: sessions then come to their new place "
            "as their visitors do. From there on there is no way back to an engine of Django's but by new logins, "
            "since only hashes of session keys are kept.",
        )
    return advice(
        "I003",
        f"{where} carries: sessions come from {source.name} as their visitors do, until "
        f"{fallback.until:%Y-%m-%d %H:%M}. New ones are in their new place alone.",
        _walk(source) + " Remove FALLBACK then.",
    )


def _walk(source: Source) -> str:
    if source.why_not_scannable:
        return f"They cannot be listed ({source.why_not_scannable.rstrip('.')}); wait for the visitors."
    return "manage.py migratesessions moves those whose visitors do not come."


def _source_of(session: type[MultisessionBase]) -> Source | None:
    try:
        if issubclass(session, ServerSession):
            return getattr(session.records(), "source", None)
        former = former_of(session) if issubclass(session, CookieSession) else None
        return None if former is None else former.source
    except (ImproperlyConfigured, ImportError):
        return None
