"""The admin of the demo: on a user's page, where that user is logged in."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User

from django_multisession.registry.admin import SessionsInline

admin.site.unregister(User)


@admin.register(User)
class DemoUserAdmin(UserAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    inlines = [*UserAdmin.inlines, SessionsInline]
