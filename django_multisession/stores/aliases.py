"""What the two engines on a database of the project share: its alias, its table, and the thread of its connection."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connections

from ..bridge import driven
from .base import StoreOptions
from .wording import wrong_location

APP = "django_multisession"
TABLE = "multisession_record"

UNDEFINED_TABLE = "42P01"
"""PostgreSQL's code."""

T = TypeVar("T")


def alias_of(options: StoreOptions) -> str:
    """Return the key of DATABASES that LOCATION names; ImproperlyConfigured if it names none."""
    alias = DEFAULT_DB_ALIAS if options.location is None else options.location
    if isinstance(alias, str) and alias in connections.settings:
        return alias
    known = ", ".join(map(repr, connections.settings))
    raise wrong_location(alias, f"a key of DATABASES, one of {known}")


async def on_connection(query: Callable[[], T]) -> T:
    """Call query where Django's connections may be used: directly under run_sync(), else on their own thread.

    That also holds for a loop that async_to_sync made: Django refuses to use a connection inside of any loop, and the
    one with the caller's transaction belongs to the thread that waits for that loop.
    """
    if driven():
        return query()
    return await sync_to_async(query, thread_sensitive=True)()


def table_is_missing(error: BaseException) -> bool:
    """Tell whether a database's error, wrapped by Django or not, says that our table is missing."""
    cause = error.__cause__ or error
    return (
        UNDEFINED_TABLE in (getattr(cause, "sqlstate", None), getattr(cause, "pgcode", None))
        or cause.args[:1] == (1146,)  # MySQL
        or "no such table" in str(cause)  # SQLite, where this is an OperationalError
        or "ORA-00942" in str(cause)
    )


def missing_table(alias: str) -> str:
    """Return a sentence that says how to create the table on alias."""
    install = "" if apps.is_installed(APP) else f"Add {APP!r} to INSTALLED_APPS. "
    return f"The table {TABLE} is missing. {install}Run: python manage.py migrate {APP} --database {alias}."


def table_exists(alias: str) -> bool:
    """Tell whether the engines' table is in the database of an alias. Does I/O."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        return TABLE in connection.introspection.table_names(cursor)


def create_table(alias: str) -> None:
    """Run this app's migrations on alias; ImproperlyConfigured if the table is still missing then."""
    if table_exists(alias):
        return
    call_command("migrate", APP, database=alias, interactive=False, verbosity=0)
    if not table_exists(alias):
        raise ImproperlyConfigured(
            f"DATABASE_ROUTERS must allow {APP} on the database {alias!r}: allow_migrate() refused "
            f"the table {TABLE}, or an earlier migration was only faked."
        )


# Returns one row of text: version, clock, and the settings that endanger sessions.
INSPECT_POSTGRESQL = """\
SELECT current_setting('server_version'), extract(epoch FROM clock_timestamp())::text,
       current_setting('fsync'), pg_is_in_recovery()::text,
       current_setting('transaction_read_only'),
       (to_regclass('multisession_record') IS NULL)::text"""


def postgresql_problems(alias: str, row: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence for each problem that the row of INSPECT_POSTGRESQL shows."""
    _version, _clock, fsync, in_recovery, read_only, missing = row
    problems = []
    if fsync == "off":
        problems.append("fsync is off: a crash may damage all sessions. Set fsync = on.")
    if in_recovery == "true":
        problems.append(f"The server is a replica. DATABASES[{alias!r}] must name the primary.")
    elif read_only == "on":
        problems.append("Transactions are read-only. Set default_transaction_read_only = off.")
    if missing == "true":
        problems.append(missing_table(alias))
    return tuple(problems)
