"""manage.py revokesessions: end sessions of a user, of everybody, or those that a condition finds."""

import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import FieldError, ImproperlyConfigured, ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet
from django.utils import timezone
from tqdm import tqdm

from ....conf import entry, names
from ....exceptions import MultisessionError
from ....sessions.loading import session_class
from ....sessions.server import ServerSession
from ...database import RegistryUnavailable
from ...many import Batch, delete_records, revoke_many, revoke_users
from ...models import RegisteredSession
from ...rows import living
from ..choice import add_user_argument, age, count_of, user_named


class Command(BaseCommand):
    help = (
        "End sessions: they are counted first, and you are asked. After a backup of the sessions or of the database "
        "was restored, --all ends what came back: it refuses every login from before now, and "
        "deletes every record that the stores can list, those of visitors too. Exits with 1 if something could not be "
        "ended."
    )

    _verbosity = 1

    def add_arguments(self, parser: ArgumentParser) -> None:
        chosen = parser.add_mutually_exclusive_group(required=True)
        add_user_argument(chosen, "every session of this user")
        chosen.add_argument("--all", action="store_true", help="every session of everybody")
        chosen.add_argument(
            "--older-than", type=age, metavar="AGE", help="what was logged in to before that, such as 12h or 30d"
        )
        chosen.add_argument(
            "--where",
            type=_condition,
            action="append",
            metavar="FIELD=VALUE",
            help="what a lookup of RegisteredSession finds, such as external_id=…, session_name=cart or "
            "ip_address=203.0.113.9; may be given more than once, and all must hold",
        )
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        self._verbosity = options["verbosity"]
        moment = timezone.now()
        user = None if options["user"] is None else user_named(options["user"])
        rows = _chosen(options, user, moment)
        try:
            count = rows.count()
        except (FieldError, ValidationError, ValueError) as error:
            raise CommandError(f"--where does not fit RegisteredSession: {error}") from error
        if not count and not options["all"] and user is None:
            self._say("No live session is among them.")
            return
        self._say(f"{count_of(count).capitalize()} will be revoked{_besides(options, user)}.")
        if not options["yes"] and not _agreed():
            raise CommandError("Nothing was changed.")
        try:
            if options["all"] or user is not None:
                self._refuse(moment, user)
            left = self._end(rows, count)
            if options["all"]:
                left += self._delete_all(moment)
        except RegistryUnavailable as error:
            raise CommandError(f"{error}. What is revoked by now stays so; run it again for the rest.") from error
        except KeyboardInterrupt:
            message = "Interrupted: what is revoked by now stays so; run it again for the rest."
            raise CommandError(message, returncode=130) from None  # as a shell reports Ctrl-C
        if left:
            raise CommandError("\n".join(left))

    def _say(self, line: str) -> None:
        if self._verbosity:
            self.stdout.write(line)

    def _end(self, rows: QuerySet[RegisteredSession], count: int) -> list[str]:
        """Revoke the rows; return a sentence for each thing that could not be done."""
        done: list[Batch] = []
        with self._bar(count, "sessions") as bar:
            for batch in revoke_many(rows):
                done.append(batch)
                bar.update(len(batch.keys))
        self._say(f"{count_of(sum(batch.ended for batch in done)).capitalize()} revoked.")
        left = []
        if pending := [batch for batch in done if batch.pending]:
            size = sum(len(batch.keys) for batch in pending)
            why = str(pending[0].pending).rstrip(".")
            left.append(f"{count_of(size)} marked, not deleted yet: {why}. purgesessions does the rest.")
        return left + list(dict.fromkeys(str(batch.refused) for batch in done if batch.refused))

    def _refuse(self, moment: datetime, user: AbstractBaseUser | None) -> None:
        """Refuse the logins of one user, or of all, from before a moment, with or without a row."""
        with self._bar(None, "users") as bar:
            for size in revoke_users(moment, user):
                bar.update(size)

    def _delete_all(self, moment: datetime) -> list[str]:
        """Delete the records of all session names; return a sentence for each that could not be deleted."""
        left: list[str] = []
        for name in names():
            try:
                left += self._delete(name, moment)
            except (MultisessionError, ImproperlyConfigured) as error:
                left.append(f"{name}: {error}")
        return left

    def _delete(self, name: str, moment: datetime) -> Iterator[str]:
        """Delete the records of a session name; yield a sentence if they cannot be deleted."""
        session = session_class(name)
        if not issubclass(session, ServerSession):
            if not entry(name).revocable:
                yield f"{name}: its sessions are in the browsers' cookies. {_new_prefix(name)}"
            return
        store = session.records().store
        if not store.scannable:
            yield f"{name}: {store.name} cannot list its records. {_new_prefix(name)}"
            return
        removed = 0
        with self._bar(None, f"records of {name}") as bar:
            for size in delete_records(session, moment):
                removed += size
                bar.update(size)
        self._say(f"{name}: {count_of(removed, 'record')} deleted from {store.name}.")

    def _bar(self, total: int | None, noun: str) -> Any:
        # tqdm writes to standard error, so that redirected output has only the lines. None: off without a terminal.
        shown = None if self.stdout.isatty() and self._verbosity else True
        return tqdm(total=total, unit=f" {noun}", disable=shown, leave=False)


def _new_prefix(name: str) -> str:
    return f"Change the KEY_PREFIX of MULTISESSION[{name!r}]: none of them is found then."


def _condition(text: str) -> tuple[str, str]:
    field, sign, value = text.partition("=")
    # Most rows have no external_id: an empty value, as from an unset shell variable, would match all of them.
    if not (sign and field and value):
        raise ArgumentTypeError(f"{text!r} is no condition; it is FIELD=VALUE, such as external_id=…")
    return field, value


def _chosen(options: dict[str, Any], user: AbstractBaseUser | None, moment: datetime) -> QuerySet[RegisteredSession]:
    """Return the rows to revoke, including expired ones: a row may be behind its record."""
    if user is not None:
        return living().filter(user=user.pk, authenticated_at__lte=moment)
    if options["older_than"] is not None:
        return living().filter(authenticated_at__lt=moment - options["older_than"])
    try:
        return living().filter(**dict(options["where"] or ()), authenticated_at__lte=moment)
    except (FieldError, ValidationError, ValueError) as error:
        raise CommandError(f"--where does not fit RegisteredSession: {error}") from error


def _besides(options: dict[str, Any], user: AbstractBaseUser | None) -> str:
    if options["all"]:
        return (
            ", what every user had logged in to before now will be refused, and every record deleted that the stores "
            "can list, those of visitors as well"
        )
    return "" if user is None else ", and what else the user had logged in to before now will be refused"


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise CommandError("There is nobody to ask: give --yes. Nothing was changed.")
    return input("Go on? [y/N] ").strip().lower() in ("y", "yes")
