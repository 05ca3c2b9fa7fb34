"""The table of the db and postgresql engines."""

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    _CharField = models.CharField[str, str]
else:
    _CharField = models.CharField  # generic in the stubs only


class StorageKeyField(_CharField):
    """A column for 40 hexadecimal characters, compared byte by byte."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 40)
        super().__init__(*args, **kwargs)

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        if connection.vendor == "postgresql":
            # SQLite and MySQL would refuse db_collation="C". Written in full, the type also escapes
            # the second index, for LIKE, that Django gives keys whose type begins with "varchar".
            return f'character varying({self.max_length}) COLLATE "C"'
        return super().db_type(connection)


class SessionRecord(models.Model):
    """A session as a store sees it: opaque bytes by storage key (never by the session key)."""

    key = StorageKeyField(_("storage key"), primary_key=True)
    version = models.BinaryField(_("version"), max_length=8)
    payload = models.BinaryField(_("payload"))
    is_session = models.BooleanField(_("is a session"), default=True)  # False for a tombstone or pointer
    expires_at = models.DateTimeField(_("expires at"))

    class Meta:
        db_table = "multisession_record"
        verbose_name = _("session record")
        verbose_name_plural = _("session records")
        default_permissions = ()
        # Except on PostgreSQL: see the first migration.
        indexes = [models.Index(fields=["expires_at"], name="multisession_record_expiry")]

    def __str__(self) -> str:
        return self.key
