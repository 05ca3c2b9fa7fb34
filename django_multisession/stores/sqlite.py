"""The settings that an SQLite database needs, so that concurrent writers wait for one another instead of failing."""

from typing import Any, Final

from django.db import connections

ENOUGH: Final = 5.0
"""Seconds: the busy timeout of Python's sqlite3 by default."""


def sqlite_problems(alias: str) -> list[str]:
    """Return a sentence for each problem with the settings of an alias; none if it is no SQLite database."""
    settings: dict[str, Any] = connections[alias].settings_dict
    if connections[alias].vendor != "sqlite":
        return []
    options = settings["OPTIONS"]
    problems = []
    # A transaction that has read before it writes does not wait but fails (sqlite.org/lang_transaction.html).
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
