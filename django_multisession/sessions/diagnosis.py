"""Check whether a session's store works, by using it as a session would."""

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from django.core.exceptions import ImproperlyConfigured

from ..bridge import run_sync
from ..codec import Header
from ..envelope import SKEW, clamp
from ..exceptions import MultisessionError, StoreUnavailable
from ..keys import SessionKey, new_session_key
from ..moving.places import Places
from .loaded import Loaded, Moved, Outdated
from .records import Records
from .server import ServerSession

PROBE_TTL = 60
"""Seconds after which a probe record expires, should it not be possible to delete it."""
ROUND_TRIPS = 5
LARGEST_SKEW = SKEW / 6
"""Seconds by which clocks may differ before that is reported, well before sessions suffer from it."""


@dataclass(slots=True)
class Report:
    """The result of a check. ``failures`` keep sessions from working, ``problems`` endanger them; both are sentences.

    ``round_trip`` is the median of a few reads, in seconds; ``skew`` is how many seconds the server's clock is ahead.
    """

    location: str = ""
    version: str = ""
    round_trip: float | None = None
    skew: float | None = None
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def probe(session: type[ServerSession], *, prepare: bool = False) -> Report:
    """Inspect the server, then insert, read, replace and delete a record; with ``prepare``, call prepare() first.

    Never raises for what is wrong with the server or its settings: the report says it.
    """
    report = Report()
    try:
        records = session.records()
    except ImproperlyConfigured as error:
        report.failures.append(str(error))
        return report
    report.location = records.store.name
    for step in (_prepare, _inspect, _write, _ask_there) if prepare else (_inspect, _write, _ask_there):
        try:
            step(records, report)
        except StoreUnavailable as error:
            # The other steps would only wait for the server, too.
            report.failures.append(_with_cause(error))
            break
        except (MultisessionError, ImproperlyConfigured) as error:
            # A problem that is the failure, such as a missing table, is reported once only.
            report.problems = [problem for problem in report.problems if problem not in str(error)]
            if str(error) not in report.failures:
                report.failures.append(str(error))
            if isinstance(error, ImproperlyConfigured):
                break
        except Exception as error:  # noqa: BLE001 - whatever it is, the other sessions must be checked too
            report.failures.append(f"{type(error).__name__}: {_first_line(error)}.")
    return report


def _prepare(records: Records, report: Report) -> None:
    run_sync(records.store.prepare())


def _inspect(records: Records, report: Report) -> None:
    before = time.time()
    inspection = run_sync(records.store.inspect())
    now = (before + time.time()) / 2
    report.version = inspection.version
    report.notes += inspection.notes
    report.problems += inspection.problems
    if inspection.time is not None:
        report.skew = inspection.time - now
        if abs(report.skew) > LARGEST_SKEW:
            report.problems.append(
                f"The server's clock is {abs(report.skew):.0f} s {'ahead' if report.skew > 0 else 'behind'}: "
                "sessions end at the wrong time. Let NTP set the clocks of all hosts."
            )


def _ask_there(records: Records, report: Report) -> None:
    """Ask the place that a FALLBACK names for a session that does not exist."""
    if isinstance(records, Places) and not (records.is_over or records.source.in_cookies):
        run_sync(records.source.exists(new_session_key()))


def _write(records: Records, report: Report) -> None:
    records = records.alone()
    key = records.key(new_session_key())
    try:
        report.failures += _failures(records, key, report)
    finally:
        _remove(records, key)


def _failures(records: Records, key: SessionKey, report: Report) -> Iterator[str]:
    inserted = run_sync(records.insert(key, b"{}", _header(), PROBE_TTL))
    if inserted is None:
        yield "A new record was refused as if its random key were taken."
        return
    found, report.round_trip = _timed_reads(records, key)
    if not isinstance(found, Loaded) or found.plaintext != b"{}":
        yield "A record that was just inserted is not there. Does LOCATION name a replica, or a full cache?"
        return
    swapped = run_sync(records.replace(found, b'{"swapped": true}', _header(), PROBE_TTL))
    if swapped is None:
        yield "A record that nobody else knows could not be swapped: the server does not compare versions."
    elif run_sync(records.replace(found, b"{}", _header(), PROBE_TTL)) is not None:
        yield "A record was replaced at a version that it no longer had: changes would be lost."
    if not run_sync(records.delete(key)):
        yield "A record could not be deleted: a logout would not end its session."


def _timed_reads(records: Records, key: SessionKey) -> tuple[Loaded | Moved | Outdated | None, float]:
    found: Loaded | Moved | Outdated | None = None
    seconds = []
    for _ in range(ROUND_TRIPS):
        started = time.perf_counter()
        found = run_sync(records.read(key))
        seconds.append(time.perf_counter() - started)
    return found, statistics.median(seconds)


def _remove(records: Records, key: SessionKey) -> None:
    """Delete the probe record if a failure has left it there; if that fails too, it expires after PROBE_TTL."""
    with suppress(Exception):  # already reported
        run_sync(records.store.delete(key.storage_key))


def _header() -> Header:
    now = clamp(time.time())
    return Header.new(
        version=os.urandom(8),
        created_at=now,
        authenticated_at=0,
        expires_at=clamp(now + PROBE_TTL),
        issued_at=now,
    )


def _with_cause(error: StoreUnavailable) -> str:
    cause = _first_line(error.__cause__) if error.__cause__ else ""
    return str(error) if cause in str(error) else f"{error} ({cause})"


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
