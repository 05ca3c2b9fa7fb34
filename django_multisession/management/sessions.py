"""The option ``--session`` of the commands."""

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator

from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from ..conf import names
from ..sessions.loading import session_class


def add_session_argument(parser: ArgumentParser) -> None:
    """Add ``--session``, which may be repeated."""
    parser.add_argument(
        "--session",
        action="append",
        metavar="NAME",
        dest="sessions",
        help="a session name of MULTISESSION; may be given more than once (default: all)",
    )


def selected(given: Iterable[str] | None) -> Iterator[tuple[str, type[SessionBase] | str]]:
    """Yield each session name with its class, or with a sentence that says why it has none.

    The default session's class need not be one of ours. CommandError if a name is not configured.
    """
    try:
        configured = names()
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error
    for name in given or ():
        if name not in configured:
            raise CommandError(f"There is no session {name!r}. Configured are {', '.join(map(repr, configured))}.")
    for name in dict.fromkeys(given or configured):
        try:
            yield name, session_class(name)
        except ImproperlyConfigured as error:
            yield name, str(error)
