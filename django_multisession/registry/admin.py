"""The registry in Django's admin: who is logged in where, and an action that ends sessions.

Nothing is added, changed or deleted by hand. To show sessions on the page of their user, give the project's UserAdmin
the inline: ``inlines = [*UserAdmin.inlines, SessionsInline]``.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..conf import names
from .agents import words_of
from .database import RegistryUnavailable
from .many import live, revoke_many
from .models import RegisteredSession
from .rows import living

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[RegisteredSession]
    _TabularInline = admin.TabularInline[RegisteredSession, Any]
else:
    _ModelAdmin, _TabularInline = admin.ModelAdmin, admin.TabularInline  # generic in the stubs only

SHOWN = (
    "device", "ip_address", "session_name", "created_at", "authenticated_at", "last_seen", "expires_at", "revoked_at",
)  # fmt: skip
"""The fields that the admin shows. Storage keys are not among them, since nobody there needs them."""
REVOKED = "Revoked."
PENDING = _("The store of these sessions is not answering. They are marked, and end soon after it answers again.")


class LiveFilter(admin.SimpleListFilter):
    """Live sessions, or those that have ended."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, Any]]:
        return ("live", _("live")), ("ended", _("ended"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        live = {"revoked_at": None, "expires_at__gt": timezone.now()}
        match self.value():
            case "live":
                return queryset.filter(**live)
            case "ended":
                return queryset.exclude(**live)
        return queryset


class NameFilter(admin.SimpleListFilter):
    """The session name. Django's own filter would search all rows for the names."""

    title = _("session")
    parameter_name = "session_name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, Any]]:
        return [(name, name) for name in names()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset if self.value() is None else queryset.filter(session_name=self.value())


class AgeFilter(admin.SimpleListFilter):
    """How long ago the user logged in."""

    title = _("age")
    parameter_name = "age"
    _AGES = {
        "hour": (_("less than an hour"), {"authenticated_at__gt": timedelta(hours=1)}),
        "day": (_("less than a day"), {"authenticated_at__gt": timedelta(days=1)}),
        "week": (_("more than a week"), {"authenticated_at__lt": timedelta(days=7)}),
        "month": (_("more than 30 days"), {"authenticated_at__lt": timedelta(days=30)}),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, Any]]:
        return [(value, words) for value, (words, _bounds) in self._AGES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        _words, bounds = self._AGES.get(self.value() or "", ("", {}))
        return queryset.filter(**{lookup: timezone.now() - age for lookup, age in bounds.items()})


class _Untouched:
    """The base of the admin and the inline: only logins and logouts create and end rows."""

    @admin.display(description=_("device"))
    def device(self, row: RegisteredSession) -> str:
        return Truncator(words_of(row.user_agent)).chars(60)

    def has_add_permission(self, *args: Any) -> bool:
        return False

    def has_change_permission(self, *args: Any) -> bool:
        return False


@admin.register(RegisteredSession)
class RegisteredSessionAdmin(_Untouched, _ModelAdmin):
    """The list of sessions; the action "revoke" ends the selected ones."""

    list_display = (
        "user",
        "device",
        "ip_address",
        "session_name",
        "authenticated_at",
        "last_seen",
        "expires_at",
        "is_live",
    )
    list_display_links = ("device",)
    list_filter = (LiveFilter, AgeFilter, NameFilter)
    list_select_related = ("user",)
    list_per_page = 50
    # Do not count a million rows for each page.
    show_full_result_count = False
    ordering = ("-pk",)
    actions = ("revoke",)
    fields = ("user", "public_id", *SHOWN, "user_agent", "label", "external_id")
    readonly_fields = fields
    search_help_text = _("user")

    @admin.display(description=_("live"), boolean=True)
    def is_live(self, row: RegisteredSession) -> bool:
        return row.is_live

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        """Return the user's name and mail address, by the fields of the project's user model."""
        model = get_user_model()
        found = [f"user__{model.USERNAME_FIELD}"]
        mail = model.get_email_field_name()
        try:
            model._meta.get_field(mail)
        except FieldDoesNotExist:
            return found
        return [*found, f"user__{mail}"]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Refuse lookups of storage keys: what is not shown must not be guessed letter by letter either."""
        return not lookup.startswith(("storage_key", "previous_key")) and super().lookup_allowed(lookup, value, request)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Tell whether the admin's user may end other users' sessions."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.revoke_session"))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse to delete sessions on the pages of this admin. Django also asks here when a user is deleted."""
        place = request.resolver_match
        prefix = f"{self.opts.app_label}_{self.opts.model_name}_"
        return place is not None and not str(place.url_name).startswith(prefix)

    @admin.action(description=_("Revoke the selected sessions"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[RegisteredSession]) -> None:
        """End the selected sessions, and record in the admin's history who did so."""
        user: Any = request.user
        ended, is_pending, refused = 0, False, ""
        try:
            for batch in revoke_many(queryset & living()):
                marked = RegisteredSession.objects.filter(pk__in=batch.keys).exclude(revoked_at=None)
                LogEntry.objects.log_actions(user.pk, marked, CHANGE, REVOKED)
                ended += batch.ended
                is_pending = is_pending or batch.pending is not None
                refused = refused or str(batch.refused or "")
        except RegistryUnavailable as error:
            refused = str(error)
        if ended:
            said = ngettext("%(count)d session was revoked.", "%(count)d sessions were revoked.", ended)
            self.message_user(request, said % {"count": ended}, messages.SUCCESS)
        if is_pending:
            self.message_user(request, PENDING, messages.WARNING)
        if refused:
            self.message_user(request, refused, messages.ERROR)


class SessionsInline(_Untouched, _TabularInline):
    """The live sessions of a user, for the project's own UserAdmin."""

    model = RegisteredSession
    fk_name = "user"
    fields = readonly_fields = SHOWN
    ordering = ("-authenticated_at",)
    can_delete = False
    max_num = extra = 0
    show_change_link = True
    verbose_name_plural = _("live sessions")

    def get_queryset(self, request: HttpRequest) -> QuerySet[RegisteredSession]:
        return super().get_queryset(request) & live()
