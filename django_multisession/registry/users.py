"""Django's signals about users: deactivated and deleted users lose all sessions, and another login changes the key."""

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
    """Connect to Django's signals about users."""
    user = get_user_model()._meta.concrete_model
    # Proxies and subclasses of the model send their own signals. Not for every sender: Django deletes in one statement
    # only models whose pre_delete has no receivers.
    for model in apps.get_models():
        if user is not None and issubclass(model, user):
            post_save.connect(_saved, sender=model, dispatch_uid=_UID)
            pre_delete.connect(_deleted, sender=model, dispatch_uid=_UID)
    user_logged_in.connect(_logged_in, dispatch_uid=_UID)


def _saved(instance: Any, update_fields: Any = None, raw: bool = False, **kwargs: Any) -> None:
    # An inactive user has no sessions, unless this save has just deactivated the user.
    if not raw and getattr(instance, "is_active", True) is False and _may_have_changed(update_fields):
        with suppress(NotRevocable):  # ModelBackend refuses inactive users anyway
            revoke_all(instance)


def _may_have_changed(update_fields: Any) -> bool:
    return update_fields is None or "is_active" in update_fields


def _deleted(instance: Any, **kwargs: Any) -> None:
    """Put the keys of a user's sessions into the outbox before the rows are deleted; delete the records on commit."""
    found = RegisteredSession.objects.using(alias()).filter(user=instance.pk)
    with transaction.atomic(alias()):
        rows.lock_users([instance.pk], holds_logins=True)
        keys = [key for row in found for key in rows.keys_of(row)]
        keys += pending.of_rows(found.values_list("pk", flat=True))
        pending.add(keys)
        if keys:
            transaction.on_commit(lambda: run_sync(delete_later(keys)), using=alias(), robust=True)


def _logged_in(request: Any, user: Any, **kwargs: Any) -> None:
    """Let a session whose user logs in again get a new key and time of login (ASVS 5, 7.2.4). No I/O.

    Django itself changes the key only if another user, or nobody, was logged in before.
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
