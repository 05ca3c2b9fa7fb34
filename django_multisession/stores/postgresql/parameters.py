"""The parameters of connections: those of an entry of DATABASES, and those that the store adds."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db import connections

from ..base import StoreOptions
from .pipeline import Statement, Value

APPLICATION: Final = "django_multisession"

_MARGIN: Final = 0.1
"""Seconds by which the server's limits differ from ours, so that it reports a locked row before we give up, and ends a
statement soon after we have given it up."""

_NOT_LIBPQ: Final = ("context", "cursor_factory", "prepare_threshold", "row_factory", "autocommit")
"""The parameters of Django and psycopg that libpq does not know."""


def limits(options: StoreOptions) -> dict[str, str]:
    """Return the server's settings, by name, that limit statements: in milliseconds, as text."""
    seconds = options.read_timeout
    return {
        "lock_timeout": str(max(int(1000 * (seconds - _MARGIN)), int(500 * seconds), 1)),
        "statement_timeout": str(int(1000 * (seconds + _MARGIN))),
    }


def role_of(alias: str) -> str | None:
    """Return the role that the connections of an alias assume; None for the user's own."""
    role: str | None = connections[alias].settings_dict["OPTIONS"].get("assume_role")
    return role


def connection_parameters(alias: str, options: StoreOptions, startup: bool) -> dict[str, Any]:
    """Return libpq's parameters: those of the alias, the application's name, and TCP's for noticing a dead connection.

    With ``startup``, the server's limits and the role are options of the connection.
    """
    # Not cached: test runners change the database's name, and passwords are rotated.
    given = connections[alias].get_connection_params()
    parameters = {
        "fallback_application_name": APPLICATION,
        "keepalives_idle": 60,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        # Milliseconds after which a connection is lost if the peer does not acknowledge: there is time to call again.
        "tcp_user_timeout": int(500 * options.read_timeout),
        **{key: value for key, value in given.items() if key not in _NOT_LIBPQ},
    }
    if startup:
        role = role_of(alias)
        settings = {**limits(options), **({"role": role} if role else {})}
        own = parameters.get("options") or os.environ.get("PGOPTIONS", "")
        parameters["options"] = " ".join([own, *(f"-c {name}={_escaped(value)}" for name, value in settings.items())])
    return parameters


def local_settings(alias: str, options: StoreOptions) -> tuple[Statement, Sequence[Value]]:
    """Return a statement, with its values, that sets the server's limits and the role for one transaction."""
    settings: Mapping[str, str] = limits(options)
    role = role_of(alias)
    if role:
        settings = {**settings, "role": role}
    calls = ", ".join("set_config(%s, %s, true)" for _ in settings)
    return Statement(f"SELECT {calls}"), [part for setting in settings.items() for part in setting]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
