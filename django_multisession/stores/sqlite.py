"""What an SQLite database needs so that processes which save at the same time wait for one another."""

from typing import Any, Final

from django.db import connections

ENOUGH: Final = 5.0
"""Seconds, the busy timeout of Python's sqlite3 where none is set."""


def sqlite_problems(alias: str) -> list[str]:
    """Return what is wrong with the settings of an alias, in sentences; nothing where it is no SQLite database."""
    settings: dict[str, Any] = connections[alias].settings_dict
    if connections[alias].vendor != "sqlite":
        return []
    options = settings["OPTIONS"]
    problems = []
    # sqlite.org/lang_transaction.html: a transaction that has read before it writes does not wait, it fails.
    if settings["ATOMIC_REQUESTS"] and str(options.get("transaction_mode")).upper() not in ("IMMEDIATE", "EXCLUSIVE"):
        problems.append(
            "With ATOMIC_REQUESTS, requests that save at the same time fail ('database is locked'). "
            f"Add 'transaction_mode': 'IMMEDIATE' to OPTIONS of DATABASES[{alias!r}]."
        )
    if options.get("timeout", ENOUGH) < ENOUGH:
        problems.append(
            f"Requests that save at the same time wait for one another no longer than {options['timeout']} s. "
            f"Set 'timeout' in OPTIONS of DATABASES[{alias!r}] to {ENOUGH:.0f} or more."
        )
    return problems
