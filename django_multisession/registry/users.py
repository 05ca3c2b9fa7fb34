"""What Django tells of users: the deactivated and deleted lose all sessions, and a new login gets another key."""

import time
from contextlib import suppress
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in
from django.db import transaction
from django.db.models.signals import post_save, pre_delete

from ..bridge import run_sync
from ..sessions.registration import RegistrableSession
from . import pending, rows
from .database import alias
from .deleting import delete_later
from .following import Following
from .models import RegisteredSession
from .revocable import NotRevocable
from .revocation import revoke_all

_UID = "django_multisession.registry"


def follow_users() -> None:
    """Listen to what Django tells of users."""
    user = get_user_model()._meta.concrete_model
    # A proxy of the model sends for itself, and so does what inherits from it. Not for every sender: Django deletes in
    # one statement only where nobody listens to pre_delete.
    for model in apps.get_models():
        if user is not None and issubclass(model, user):
            post_save.connect(_saved, sender=model, dispatch_uid=_UID)
            pre_delete.connect(_deleted, sender=model, dispatch_uid=_UID)
    user_logged_in.connect(_logged_in, dispatch_uid=_UID)


def _saved(instance: Any, update_fields: Any = None, raw: bool = False, **kwargs: Any) -> None:
    # Nobody who is inactive has a session, but for the one that this save may be the first to end.
    if not raw and getattr(instance, "is_active", True) is False and _may_have_changed(update_fields):
        with suppress(NotRevocable):  # ModelBackend lets nobody in who is not active
            revoke_all(instance)


def _may_have_changed(update_fields: Any) -> bool:
    return update_fields is None or "is_active" in update_fields


def _deleted(instance: Any, **kwargs: Any) -> None:
    """Note the records of a user's sessions before the rows go; the records go when the deletion commits."""
    found = RegisteredSession.objects.using(alias()).filter(user=instance.pk)
    with transaction.atomic(alias()):
        rows.lock_users([instance.pk], holds_logins=True)
        keys = [key for row in found for key in rows.keys_of(row)]
        keys += pending.of_rows(found.values_list("pk", flat=True))
        pending.add(keys)
        if keys:
            transaction.on_commit(lambda: run_sync(delete_later(keys)), using=alias(), robust=True)


def _logged_in(request: Any, user: Any, **kwargs: Any) -> None:
    """Have a session that its user has logged in to once more get a new key and time of login (ASVS 5, 7.2.4).

    Django changes the key where somebody else was there before. No I/O.
    """
    session = getattr(request, "session", None)
    if not isinstance(session, RegistrableSession) or not isinstance(session.registration, Following):
        return
    session.registration.start.since = time.time()
    known, now = session.registration.known, session.stored_login()
    if known is None or now is None or known.key not in (now.key, session.login.previous_key):
        return
    if known.user == now.user == user._meta.pk.value_to_string(user):
        session.is_login_renewed = True
