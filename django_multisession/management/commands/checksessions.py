"""manage.py checksessions: find out whether every configured session works."""

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.management.base import BaseCommand, CommandError

from ...checks import check_settings
from ...sessions.base import MultisessionBase
from ...sessions.diagnosis import Report, probe
from ...sessions.server import ServerSession
from ..sessions import add_session_argument, selected
from ..trip import failures

SETTINGS = "settings"


class Command(BaseCommand):
    help = (
        "Try out every configured session: reach its server; insert, read, swap and delete a record there; make the "
        "requests of a visit, from the first one to the logout; and say what is wrong and how to mend it. Exits with 1 "
        "if a session cannot be kept."
    )
    # They would stop at wrong settings, which this command reports for each session.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_session_argument(parser)
        parser.add_argument(
            "--prepare",
            action="store_true",
            help="first make what the store needs on its server: tables, indexes",
        )
        parser.add_argument(
            "--strict",
            action="store_true",
            help="exit with 1 for a problem, too: what does not keep sessions from working, and endangers them",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        reports = dict(self._reports(options))
        failed = [name for name, report in reports.items() if report.failures]
        doubtful = [name for name, report in reports.items() if report.problems and name not in failed]
        if failed:
            raise CommandError(f"Sessions that do not work: {', '.join(failed)}.")
        if doubtful and options["strict"]:
            raise CommandError(f"Sessions with a problem: {', '.join(doubtful)}.")

    def _reports(self, options: dict[str, Any]) -> Iterator[tuple[str, Report]]:
        """Make and show the report of each session, and that of the settings as a whole."""
        said: set[str] = set()
        for name, session in selected(options["sessions"]):
            heading = name
            if isinstance(session, str):
                report = Report(failures=[session])
            elif not issubclass(session, MultisessionBase):
                self.stdout.write(f"{name}: not checked, for SESSION_ENGINE is {session.__module__!r}.\n\n")
                continue
            else:
                heading = f"{name} ({session.__module__})"
                report = _report(session, prepare=options["prepare"])
            self._show(heading, report)
            said.update(report.failures)
            yield name, report
        # Of some sessions alone, the settings as a whole say nothing.
        report = Report() if options["sessions"] else _settings(said)
        if report.failures or report.problems or report.notes:
            self._show(SETTINGS, report)
            yield SETTINGS, report

    def _show(self, heading: str, report: Report) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING(heading))
        if report.location:
            self._line("location", report.location)
        if report.version:
            self._line("server", report.version)
        if report.round_trip is not None:
            self._line("round trip", f"{report.round_trip * 1000:.2f} ms")
        if report.skew is not None:
            self._line("clock skew", f"{report.skew:+.3f} s")
        for note in report.notes:
            self._line("note", note)
        for problem in report.problems:
            self._line("problem", problem, self.style.WARNING)
        for failure in report.failures:
            self._line("FAILED", failure, self.style.ERROR)
        if not report.failures and heading != SETTINGS:
            self._line("works", "a visit from the first request to the logout", self.style.SUCCESS)
        self.stdout.write("")

    def _line(self, label: str, text: str, style: Any = None) -> None:
        self.stdout.write(f"  {label:<11}{text}", style)


def _report(session: type[MultisessionBase], *, prepare: bool) -> Report:
    report = (
        probe(session, prepare=prepare)
        if issubclass(session, ServerSession)
        else Report(location="the browsers' cookies")
    )
    if not report.failures:
        report.failures += failures(session.session_name)
    return report


def _place(report: Report, message: checks.CheckMessage) -> list[str]:
    if message.level >= checks.ERROR:
        return report.failures
    # An information, such as how far a move has come, is no problem.
    return report.problems if message.level >= checks.WARNING else report.notes


def _settings(said: set[str]) -> Report:
    """Return what the system checks say, except for what a session's report has already said."""
    report = Report()
    for message in check_settings():
        if message.msg not in said:
            place = _place(report, message)
            place.append(f"{message.msg} {message.hint or ''}".rstrip())
    return report
