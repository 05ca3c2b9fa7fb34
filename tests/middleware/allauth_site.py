"""A site with allauth whose store goes away as somebody logs out: ``python -m tests.middleware.allauth_site``.

Prints a line for each attempt: how, the status, and whether the browser loses its cookie.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

from django.conf import settings

from tests.allauth import configure


def main() -> None:
    """Log out in an outage, by a form and by a link, where links do so and where they do not."""
    configure(
        ["django_multisession"],
        SESSION_ENGINE="tests.middleware.engine",
        MULTISESSION={"default": {"LOCATION": "first"}},
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "file:it?mode=memory&cache=shared"}},
        ROOT_URLCONF=__name__,
    )
    logging.disable()
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
