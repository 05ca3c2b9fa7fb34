"""manage.py purgesessions: remove expired sessions where the server does not do so by itself."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from ...bridge import iterate, run_sync
from ...exceptions import MultisessionError
from ...sessions.cookie import CookieSession
from ...sessions.registration import registrations
from ...sessions.server import ServerSession
from ...stores.base import Store
from ..arguments import positive
from ..sessions import add_session_argument, selected

BATCH_SIZE = 1000


class Command(BaseCommand):
    help = (
        "Remove expired sessions of every configured session, in short batches; safe to run at any time. "
        "Servers that expire sessions by themselves, and cookies, need no purge."
    )

    _verbosity = 1

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_session_argument(parser)
        parser.add_argument(
            "--batch-size",
            type=positive,
            default=BATCH_SIZE,
            metavar="N",
            help=f"remove at most so many in one transaction (default: {BATCH_SIZE})",
        )
        parser.add_argument("--dry-run", action="store_true", help="count what would be removed, and leave it")

    def handle(self, *args: Any, **options: Any) -> None:
        self._verbosity = options["verbosity"]
        failed = []
        for name, session in selected(options["sessions"]):
            if isinstance(session, str):
                failed.append(f"{name}: {session}")
            elif issubclass(session, CookieSession):
                self._say(f"{name}: nothing to do, its sessions live in the browsers' cookies.")
            elif not issubclass(session, ServerSession):
                self._say(f"{name}: left to clearsessions, for SESSION_ENGINE is {session.__module__!r}.")
            else:
                try:
                    self._purge(name, session.records().store, options)
                except (MultisessionError, ImproperlyConfigured) as error:
                    failed.append(f"{name}: {error}")
        if registrations.make is not None:  # the registry is installed
            try:
                self._purge_registry(options)
            except (MultisessionError, ImproperlyConfigured) as error:
                failed.append(f"registry: {error}")
        if failed:
            raise CommandError("\n".join(failed))

    def _purge_registry(self, options: dict[str, Any]) -> None:
        """Delete the records that revocations could not delete, and the rows of sessions that have ended."""
        from ...registry import purging  # which has models, and is not always installed

        if options["dry_run"]:
            self._say(f"registry: at most {_rows(purging.stale())} would be removed.")
            return
        removed = 0
        for count in purging.purge(options["batch_size"]):
            removed += count
            self._say(f"registry: {_rows(removed)} so far", verbosity=2)
        self._say(f"registry: {_rows(removed)} removed.")

    def _say(self, line: str, verbosity: int = 1) -> None:
        if self._verbosity >= verbosity:
            self.stdout.write(line)

    def _purge(self, name: str, store: Store, options: dict[str, Any]) -> None:
        expired = run_sync(store.expired())
        if options["dry_run"]:
            self._say(f"{name}: {_records(expired)} would be removed from {store.name}.")
            return
        removed = 0
        on_terminal = self.stdout.isatty() and self._verbosity > 0
        by_itself = "; the server removes them by itself as well" if store.expires else ""
        try:
            with tqdm(
                total=expired,
                desc=name,
                unit=" records",
                # tqdm writes to standard error, so that redirected output has only the lines. None: off without a
                # terminal.
                disable=None if on_terminal else True,
                leave=False,
            ) as bar:
                for count in iterate(store.purge(options["batch_size"])):
                    removed += count
                    bar.update(count)
                    if not on_terminal:
                        self._say(f"{name}: {removed} of {expired}", verbosity=2)
        except KeyboardInterrupt:
            # Each batch is complete; the rest is for the next run.
            message = f"{name}: interrupted, {_records(removed)} removed from {store.name}."
            raise CommandError(message, returncode=130) from None  # as a shell reports Ctrl-C
        self._say(f"{name}: {_records(removed)} removed from {store.name}{by_itself}.")


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"


def _records(count: int) -> str:
    return f"{count} expired session" if count == 1 else f"{count} expired sessions"
