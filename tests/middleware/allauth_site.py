"""A site with allauth whose store goes away as somebody logs out: ``python -m tests.middleware.allauth_site``.

A process of its own, since INSTALLED_APPS are not changed in one that has models. Prints a line for each attempt: how,
the status, and whether the browser loses its cookie.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import django
from django.conf import settings

APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.messages", "allauth", "allauth.account"]


def configure() -> None:
    """Set Django up."""
    settings.configure(
        SECRET_KEY="not-a-secret-only-for-the-tests",
        ALLOWED_HOSTS=["testserver"],
        INSTALLED_APPS=[*APPS, "django_multisession"],
        MIDDLEWARE=[
            "django_multisession.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "allauth.account.middleware.AccountMiddleware",
        ],
        SESSION_ENGINE="tests.middleware.engine",
        MULTISESSION={"default": {"LOCATION": "first"}},
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "file:it?mode=memory&cache=shared"}},
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF=__name__,
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
            }
        ],
        USE_TZ=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # allauth's own affair
        django.setup()
    logging.disable()


def main() -> None:
    """Log out in an outage, by a form and by a link, where links do so and where they do not."""
    configure()
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.test import AsyncClient, Client
    from django.urls import include, path

    from tests.middleware.engine import Switchable

    call_command("migrate", verbosity=0)
    globals()["urlpatterns"] = [path("accounts/", include("allauth.account.urls"))]
    ann = User.objects.create_user("ann")

    def attempt(method: str) -> Iterator[tuple[str, Any]]:
        for kind in (Client, AsyncClient):
            client = kind(raise_request_exception=False)
            client.force_login(ann, backend="django.contrib.auth.backends.ModelBackend")
            Switchable.go_down()
            response = getattr(client, method)("/accounts/logout/")
            yield ("sync", response) if kind is Client else ("async", asyncio.run(response))
            Switchable.come_back()

    for links in (False, True):
        settings.ACCOUNT_LOGOUT_ON_GET = links
        for method in ("post", "get", "head"):
            for colour, response in attempt(method):
                cookie = response.cookies.get("sessionid")
                gone = cookie is not None and cookie["max-age"] == 0
                print(f"{colour}, {method}, links log out: {links}: {response.status_code} {gone}")  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
