"""Who is logged in where: a row a login, what was revoked of a user, and the records that are still to be deleted."""

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
    """A session that somebody is logged in to, whatever engine holds it. Never its session key.

    ``storage_key`` is where its record is, and ``previous_key`` where it was before its key changed last; of a session
    in a cookie, the ``sid`` as 40 hexadecimal characters. ``created_at`` is when the session began, as a visitor's
    perhaps, and ``authenticated_at`` when its user logged in. ``expires_at`` may be some minutes behind what the
    store knows. A row with ``revoked_at`` is dead, and goes with a purge.
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
    """Whether it is the session of the request that sessions_of() was asked with."""

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
        """Whether somebody can still use it, as far as the row tells."""
        return self.revoked_at is None and self.expires_at > timezone.now()


class RegisteredUser(models.Model):
    """What the registry knows of a user: before which moment logins are refused."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="+",
        verbose_name=_("user"),
    )
    revoked_at = models.DateTimeField(_("revoked"), null=True)
    """Sessions from before that are refused, also those that have no row yet."""
    locked_at = models.DateTimeField(_("locked"), null=True)
    """When the row was locked last, by writing this: SQLite knows no other lock. Elsewhere, the user's own row is."""

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
    """The registered session whose key this was until another request changed that."""
    is_left = models.BooleanField(_("left"), default=False)
    """Whether that session has left the key for good; otherwise, it may yet turn out to be the one that counts."""

    objects: ClassVar[models.Manager["PendingDeletion"]] = models.Manager()

    class Meta:
        db_table = "multisession_pending_deletion"
        verbose_name = _("pending deletion")
        verbose_name_plural = _("pending deletions")
        default_permissions = ()

    def __str__(self) -> str:
        return self.storage_key
