"""manage.py migratesessions: move what can be listed from a FALLBACK into its entry, while the site is in use."""

import signal
import threading
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from tqdm import tqdm

from ...bridge import iterate, run_sync
from ...exceptions import MultisessionError, StoreUnavailable
from ...moving.carrying import Carrying
from ...moving.walk import Outcome, Step, Walk
from ...sessions.base import MultisessionBase
from ...sessions.server import ServerSession
from ..arguments import positive
from ..sessions import add_session_argument, selected

BATCH_SIZE = 1000
AT_ONCE = 100
"""Sessions that are moved together, to save round trips; with --rate, no more than those of a second."""
INTERRUPTED = 130
"""The exit code after Ctrl-C, as in a shell."""


class Command(BaseCommand):
    help = (
        "Move the sessions that can be listed from the FALLBACK of each configured session to where the session is "
        "kept now. The site can be in use meanwhile; the command can be stopped and run again, also twice at once. "
        "Exits with 1 if a session could not be moved."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_session_argument(parser)
        parser.add_argument("--dry-run", action="store_true", help="read and count what would be moved, and leave it")
        parser.add_argument(
            "--batch-size",
            type=positive,
            default=BATCH_SIZE,
            metavar="N",
            help=f"list so many sessions at once (default: {BATCH_SIZE})",
        )
        parser.add_argument(
            "--rate", type=positive, metavar="N", help="move at most so many a second (default: no limit)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        failed = []
        for name, session in selected(options["sessions"]):
            if isinstance(session, str):
                failed.append(f"{name}: {session}")
                continue
            try:
                failed += self._migrate(name, session, options)
            except (MultisessionError, ImproperlyConfigured) as error:
                failed.append(f"{name}: {error}")
        if failed:
            raise CommandError("\n".join(failed))

    def _migrate(self, name: str, session: type[Any], options: dict[str, Any]) -> list[str]:
        """Move the sessions of one session name; return a sentence for each failure."""
        fallback = session.config().entry.fallback if issubclass(session, MultisessionBase) else None
        if fallback is None:
            self.stdout.write(f"{name}: nothing to do, it has no FALLBACK.")
            return []
        if fallback.until <= timezone.now():
            self.stdout.write(f"{name}: nothing to do, UNTIL of its FALLBACK is over. Remove FALLBACK.")
            return []
        if not issubclass(session, ServerSession):
            self.stdout.write(
                f"{name}: cannot be walked: its sessions go into the visitors' cookies, which only a response can set. "
                "Each moves with its visitor's next request."
            )
            return []
        places = session.records()
        if not isinstance(places, Carrying):
            return [f"{name}: its FALLBACK does not carry yet. Remove CARRY from it, in the second deploy; then walk."]
        walk = Walk(places, dry_run=options["dry_run"])
        if walk.why_not:
            self.stdout.write(f"{name}: cannot be walked: {walk.why_not}.")
            return []
        return self._walk(name, places.source.name, walk, options)

    def _walk(self, name: str, source: str, walk: Walk, options: dict[str, Any]) -> list[str]:
        steps: Counter[Step] = Counter()
        stopped, began = "", time.monotonic()
        at_once = min(AT_ONCE, options["rate"] or AT_ONCE)
        with _finishing() as is_stopped, self._bar(name, walk, options["verbosity"]) as bar:
            pace = _Pace(options["rate"])
            try:
                for group in iterate(walk.steps(options["batch_size"], at_once)):
                    for step in group:
                        steps[step] += 1
                        bar.update()
                        if options["verbosity"] > 1 and bar.disable and steps.total() % options["batch_size"] == 0:
                            seconds = time.monotonic() - began
                            self.stdout.write(f"{name}: {steps.total()}; {_rate(steps.total(), seconds)}.")
                    if is_stopped.is_set():
                        stopped = "stopped"
                        break
                    pace.keep(len(group))
            except StoreUnavailable as error:
                stopped = str(error)
        counts: Counter[Outcome] = Counter()
        for step, count in steps.items():
            counts[step.outcome] += count
        moved = "would be moved" if options["dry_run"] else "moved"
        self.stdout.write(
            f"{name}: {counts[Outcome.MOVED]} {moved} from {source}, {counts[Outcome.SKIPPED]} skipped, "
            f"{counts[Outcome.FAILED]} failed; {_rate(steps.total(), time.monotonic() - began)}."
        )
        for step, count in sorted(steps.items(), key=lambda each: each[0].reason):
            if step.reason:
                self.stdout.write(f"  {step.outcome.value}: {count} {step.reason}")
        if stopped == "stopped":
            raise CommandError(f"{name}: stopped; run it again to go on.", returncode=INTERRUPTED)
        if stopped:
            return [f"{name}: stopped: {stopped}. Run it again to go on."]
        return [f"{name}: {counts[Outcome.FAILED]} sessions failed."] if counts[Outcome.FAILED] else []

    def _bar(self, name: str, walk: Walk, verbosity: int) -> "tqdm[Any]":
        is_shown = self.stdout.isatty() and verbosity > 0
        return tqdm(
            total=run_sync(walk.total()) if is_shown else None,
            desc=name,
            unit=" sessions",
            # tqdm writes to standard error, so that redirected output has only the lines. None: off without a terminal.
            disable=None if is_shown else True,
            leave=False,
        )


def _rate(count: int, seconds: float) -> str:
    return f"{seconds:.1f} s, {count / max(seconds, 0.001):.0f} sessions a second"


class _Pace:
    """Limits how many sessions are moved in a second; None for no limit."""

    def __init__(self, rate: int | None) -> None:
        self._seconds = 1 / rate if rate else 0.0
        self._next = time.monotonic()

    def keep(self, moved: int) -> None:
        """Sleep until the next session may be moved, after ``moved`` sessions."""
        if not self._seconds:
            return
        # After a pause, at most a second is caught up.
        self._next = max(self._next + moved * self._seconds, time.monotonic() - 1)
        time.sleep(max(self._next - time.monotonic(), 0))


@contextmanager
def _finishing() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C sets, so that the sessions under way are moved completely."""
    is_stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield is_stopped
        return

    def stop(number: int, frame: object) -> None:
        is_stopped.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield is_stopped
    finally:
        signal.signal(signal.SIGINT, before)
