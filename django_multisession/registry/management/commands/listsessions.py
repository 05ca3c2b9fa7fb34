"""manage.py listsessions: show who is logged in where."""

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet
from django.utils import timezone

from ....conf import names
from ...agents import words_of
from ...models import RegisteredSession
from ..choice import add_user_argument, count_of, user_named

_COLUMNS = (("id", 36), ("user", 20), ("session", 10), ("logged in", 16), ("last seen", 16), ("address", 15))
_CHUNK = 2000


class Command(BaseCommand):
    help = (
        "List the live sessions that somebody is logged in to, the newest login first. Times are in the current time "
        "zone. Shows no key that would lead to a session."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_user_argument(parser, "only the sessions of this user")
        parser.add_argument("--session", metavar="NAME", help="only those of this session name of MULTISESSION")
        parser.add_argument(
            "--json", action="store_true", help="one JSON object a line, with all that is known, in place of the table"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        rows = _chosen(options).order_by("-authenticated_at", "-pk")
        if options["json"]:
            for row in _read(rows):
                self.stdout.write(json.dumps(_told(row), ensure_ascii=False))
            return
        heading = [f"{name:<{width}}" for name, width in _COLUMNS]
        count = 0
        for row in _read(rows):
            if not count:
                self.stdout.write("  ".join([*heading, "device"]), self.style.MIGRATE_HEADING)
            count += 1
            self.stdout.write("  ".join([*_cells(row), words_of(row.user_agent)]))
        if options["verbosity"]:
            self.stdout.write(f"{count_of(count)}.")


def _chosen(options: dict[str, Any]) -> QuerySet[RegisteredSession]:
    rows = RegisteredSession.objects.filter(revoked_at=None, expires_at__gt=timezone.now())
    if options["user"] is not None:
        rows = rows.filter(user=user_named(options["user"]).pk)
    if options["session"] is not None:
        if options["session"] not in names():
            raise CommandError(
                f"There is no session {options['session']!r}. Configured are {', '.join(map(repr, names()))}."
            )
        rows = rows.filter(session_name=options["session"])
    return rows


def _read(rows: QuerySet[RegisteredSession]) -> Iterator[RegisteredSession]:
    """Yield rows without loading all of them into memory."""
    return rows.select_related("user").iterator(chunk_size=_CHUNK)


def _cells(row: RegisteredSession) -> Iterator[str]:
    texts = (
        str(row.public_id),
        row.user.get_username(),
        row.session_name,
        *(f"{timezone.localtime(moment):%Y-%m-%d %H:%M}" for moment in (row.authenticated_at, row.last_seen)),
        row.ip_address or "",
    )
    for text, (_name, width) in zip(texts, _COLUMNS, strict=True):
        yield f"{text:<{width}}"


def _told(row: RegisteredSession) -> dict[str, Any]:
    return {
        "id": str(row.public_id),
        "user": row.user.get_username(),
        "session": row.session_name,
        "device": words_of(row.user_agent),
        "user_agent": row.user_agent,
        "address": row.ip_address,
        "label": row.label,
        "external_id": row.external_id,
        "created": row.created_at.isoformat(),
        "authenticated": row.authenticated_at.isoformat(),
        "last_seen": row.last_seen.isoformat(),
        "expires": row.expires_at.isoformat(),
    }
