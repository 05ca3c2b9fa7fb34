from typing import Any

from django.db import migrations, models
from django.db.migrations.operations.base import Operation

import django_multisession.models


class AddIndexUnlessPostgreSQL(migrations.AddIndex):
    """An index for the purge, except on PostgreSQL.

    There it costs more than it gives: every save moves expires_at, and an update that touches an
    indexed column is never heap-only; the purge reads the table in its order on disk. On the other
    databases an update pays little for the index, and a purge without it holds SQLite's only write
    lock, or InnoDB's lock on every row it passes, for as long as reading the whole table takes.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)


class TuneForUpdates(Operation):
    """On PostgreSQL: room in each page for the next version of a row, and no second compression."""

    reversible = True

    def state_forwards(self, app_label: str, state: Any) -> None:
        pass

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        record = to_state.apps.get_model(app_label, "SessionRecord")
        connection = schema_editor.connection
        if connection.vendor == "postgresql" and self.allow_migrate_model(connection.alias, record):
            table = schema_editor.quote_name(record._meta.db_table)
            schema_editor.execute(f"ALTER TABLE {table} SET (fillfactor = 90)")
            schema_editor.execute(f"ALTER TABLE {table} ALTER payload SET STORAGE EXTERNAL")

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Do nothing: the table goes with what was set on it."""

    def describe(self) -> str:
        return "Make room for heap-only updates (PostgreSQL)"


class Migration(migrations.Migration):
    initial = True

    operations = [
        migrations.CreateModel(
            name="SessionRecord",
            fields=[
                (
                    "key",
                    django_multisession.models.StorageKeyField(
                        max_length=40, primary_key=True, serialize=False, verbose_name="storage key"
                    ),
                ),
                ("version", models.BinaryField(max_length=8, verbose_name="version")),
                ("payload", models.BinaryField(verbose_name="payload")),
                ("is_session", models.BooleanField(default=True, verbose_name="is a session")),
                ("expires_at", models.DateTimeField(verbose_name="expires at")),
            ],
            options={
                "verbose_name": "session record",
                "verbose_name_plural": "session records",
                "db_table": "multisession_record",
                "default_permissions": (),
            },
        ),
        AddIndexUnlessPostgreSQL(
            model_name="sessionrecord",
            index=models.Index(fields=["expires_at"], name="multisession_record_expiry"),
        ),
        TuneForUpdates(),
    ]
