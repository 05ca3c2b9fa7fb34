"""The tables of the registry: logins, revocations of users, and records that are still to be deleted."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..models import StorageKeyField
from .clients import AGENT_LENGTH

LONGEST_LABEL = 100
LONGEST_EXTERNAL_ID = 255


class RegisteredSession(models.Model):
    """A session with a login, in any engine. The session key itself is never stored.

    ``storage_key`` is that of its record, and ``previous_key`` the one before the last change of key; for a session in
    a cookie they are its ``sid`` in hexadecimal. ``created_at`` is when the session began, maybe as a visitor's, and
    ``authenticated_at`` when its user logged in. ``expires_at`` may be some minutes behind the store's. A row with
    ``revoked_at`` is dead, and will be purged.
    """

    public_id = models.UUIDField(_("public id"), default=uuid.uuid4, unique=True, editable=False)
    storage_key = StorageKeyField(_("storage key"), unique=True, editable=False)
    previous_key = StorageKeyField(_("previous storage key"), blank=True, db_index=True, editable=False)
    session_name = models.CharField(_("session"), max_length=32)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="registered_sessions",
        db_index=False,  # the first column of an index below
        verbose_name=_("user"),
    )
    created_at = models.DateTimeField(_("created"))
    authenticated_at = models.DateTimeField(_("logged in"))
    last_seen = models.DateTimeField(_("last seen"))
    expires_at = models.DateTimeField(_("expires"))
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    ip_address = models.GenericIPAddressField(_("IP address"), null=True, blank=True)
    user_agent = models.CharField(_("user agent"), max_length=AGENT_LENGTH, blank=True)
    label = models.CharField(_("label"), max_length=LONGEST_LABEL, blank=True)
    external_id = models.CharField(_("external id"), max_length=LONGEST_EXTERNAL_ID, blank=True, db_index=True)

    current = False
    """Whether it is a session of the request that was passed to sessions_of()."""

    objects: ClassVar[models.Manager["RegisteredSession"]] = models.Manager()

    class Meta:
        db_table = "multisession_registered_session"
        verbose_name = _("registered session")
        verbose_name_plural = _("registered sessions")
        default_permissions = ("view",)
        permissions = [("revoke_session", _("Can revoke sessions"))]
        indexes = [
            models.Index(fields=["user", "-authenticated_at"], name="multisession_reg_user"),
            models.Index(fields=["expires_at"], name="multisession_reg_expiry"),
            models.Index(fields=["revoked_at"], name="multisession_reg_revoked"),
        ]

    def __str__(self) -> str:
        return str(self.public_id)

    @property
    def is_live(self) -> bool:
        """Whether the session is neither revoked nor expired, as far as the row tells."""
        return self.revoked_at is None and self.expires_at > timezone.now()


class RegisteredUser(models.Model):
    """What the registry knows about a user: the moment before which logins are refused."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="+",
        verbose_name=_("user"),
    )
    revoked_at = models.DateTimeField(_("revoked"), null=True)
    """Logins from before this moment are refused, even those that have no row yet."""
    locked_at = models.DateTimeField(_("locked"), null=True)
    """Written to lock the user on SQLite, which has no other lock. Elsewhere the user's own row is locked."""

    objects: ClassVar[models.Manager["RegisteredUser"]] = models.Manager()

    class Meta:
        db_table = "multisession_registered_user"
        verbose_name = _("user of sessions")
        verbose_name_plural = _("users of sessions")
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.pk)


class PendingDeletion(models.Model):
    """The storage key of a record that is still to be deleted, once ``due_at`` has come."""

    storage_key = StorageKeyField(_("storage key"), primary_key=True)
    session_name = models.CharField(_("session"), max_length=32)
    due_at = models.DateTimeField(_("due"), db_index=True)
    row_id = models.BigIntegerField(_("row"), null=True, db_index=True)
    """The id of the RegisteredSession that had this key until another request changed it."""
    is_left = models.BooleanField(_("left"), default=False)
    """Whether that session has left the key for good; otherwise this key may still turn out to be its key."""

    objects: ClassVar[models.Manager["PendingDeletion"]] = models.Manager()

    class Meta:
        db_table = "multisession_pending_deletion"
        verbose_name = _("pending deletion")
        verbose_name_plural = _("pending deletions")
        default_permissions = ()

    def __str__(self) -> str:
        return self.storage_key
