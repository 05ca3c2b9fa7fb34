"""manage.py checksessions: find out whether every configured session can be kept where it is to be kept."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from ...exceptions import MultisessionError
from ...sessions.base import MultisessionBase
from ...sessions.diagnosis import Report, probe
from ...sessions.server import ServerSession
from ..sessions import add_session_argument, selected


class Command(BaseCommand):
    help = (
        "Reach the server of every configured session; insert, read, swap and delete a record there; and say what "
        "is wrong and how to mend it. Exits with 1 if a session cannot be kept."
    )
    # They would stop at wrong settings, which this command reports, session by session.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_session_argument(parser)
        parser.add_argument(
            "--prepare",
            action="store_true",
            help="first make what the store needs on its server: tables, indexes",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        failed = []
        for name, session in selected(options["sessions"]):
            if isinstance(session, str):
                self.stdout.write(self.style.MIGRATE_HEADING(name))
                report = Report(failures=[session])
            elif not issubclass(session, MultisessionBase):
                self.stdout.write(f"{name}: not checked, for SESSION_ENGINE is {session.__module__!r}.\n\n")
                continue
            else:
                self.stdout.write(self.style.MIGRATE_HEADING(f"{name} ({session.__module__})"))
                report = _report(session, prepare=options["prepare"])
            self._show(report)
            if report.failures:
                failed.append(name)
        if failed:
            raise CommandError(f"Sessions that do not work: {', '.join(failed)}.")

    def _show(self, report: Report) -> None:
        if report.location:
            self._line("location", report.location)
        if report.version:
            self._line("server", report.version)
        if report.round_trip is not None:
            self._line("round trip", f"{report.round_trip * 1000:.2f} ms")
        if report.skew is not None:
            self._line("clock skew", f"{report.skew:+.3f} s")
        for problem in report.problems:
            self._line("problem", problem, self.style.WARNING)
        for failure in report.failures:
            self._line("FAILED", failure, self.style.ERROR)
        if not report.failures:
            self._line("works", "inserted, read, swapped and deleted a record", self.style.SUCCESS)
        self.stdout.write("")

    def _line(self, label: str, text: str, style: Any = None) -> None:
        self.stdout.write(f"  {label:<11}{text}", style)


def _report(session: type[MultisessionBase], *, prepare: bool) -> Report:
    if issubclass(session, ServerSession):
        return probe(session, prepare=prepare)
    report = Report(location="the browsers' cookies")
    try:
        _read_back(session, report)
    except (MultisessionError, ImproperlyConfigured) as error:
        report.failures.append(str(error))
    return report


def _read_back(session: type[MultisessionBase], report: Report) -> None:
    written = session()
    written["probe"] = True
    started = time.perf_counter()
    written.save()
    if session(written.session_key).get("probe") is not True:
        report.failures.append("A cookie that was just made cannot be read.")
    report.round_trip = time.perf_counter() - started
