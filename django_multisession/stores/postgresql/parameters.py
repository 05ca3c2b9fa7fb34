"""How the store connects: what an entry of DATABASES says, and what is added to it."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db import connections

from ..base import StoreOptions
from .pipeline import Statement, Value

APPLICATION: Final = "django_multisession"

_MARGIN: Final = 0.1
"""Seconds by which the server's own limits differ from ours: it answers that a row is locked before we give up, and
ends what we have given up soon after."""

_NOT_LIBPQ: Final = ("context", "cursor_factory", "prepare_threshold", "row_factory", "autocommit")
"""What Django and psycopg take beside libpq's own parameters."""


def limits(options: StoreOptions) -> dict[str, str]:
    """Return the limits, in milliseconds, that the server is to set on itself."""
    seconds = options.read_timeout
    return {
        "lock_timeout": str(max(int(1000 * (seconds - _MARGIN)), int(500 * seconds), 1)),
        "statement_timeout": str(int(1000 * (seconds + _MARGIN))),
    }


def role_of(alias: str) -> str | None:
    """Return the role that the connections of an alias are to assume."""
    role: str | None = connections[alias].settings_dict["OPTIONS"].get("assume_role")
    return role


def connection_parameters(alias: str, options: StoreOptions, startup: bool) -> dict[str, Any]:
    """Return libpq's parameters: those of the alias, the application's name, and what finds a dead connection.

    With ``startup``, the server's limits and the role are options of the connection.
    """
    # Asked at each connect: a test runner changes the database's name, a secret may rotate.
    given = connections[alias].get_connection_params()
    parameters = {
        "fallback_application_name": APPLICATION,
        "keepalives_idle": 60,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        # What a host that has forgotten the connection never acknowledges is a lost connection, so that the call is
        # made again, while there is time for it.
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
    """Return a statement, and its values, that sets the same for one transaction."""
    settings: Mapping[str, str] = limits(options)
    role = role_of(alias)
    if role:
        settings = {**settings, "role": role}
    calls = ", ".join("set_config(%s, %s, true)" for _ in settings)
    return Statement(f"SELECT {calls}"), [part for setting in settings.items() for part in setting]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
