"""A site whose users have another primary key: ``python -m tests.registry.keyed ENGINE``. Fails where it does not work.

A process of its own, since AUTH_USER_MODEL is not changed in one that has models.
"""

from __future__ import annotations

import sys
from typing import Any

import django
from django.conf import settings


def configure(engine: str) -> None:
    """Set Django up."""
    settings.configure(
        SECRET_KEY="not-a-secret-only-for-the-tests",
        ALLOWED_HOSTS=["testserver"],
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "tests.registry.people",
            "django_multisession",
            "django_multisession.registry",
        ],
        AUTH_USER_MODEL="people.Person",
        MIDDLEWARE=[
            "django_multisession.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        SESSION_ENGINE=f"django_multisession.engines.{engine}",
        MULTISESSION={
            "default": {"REVOCABLE": True, "REVOCABLE_CACHE": None} if engine.endswith("cookies") else {},
        },
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        ROOT_URLCONF=__name__,
        USE_TZ=True,
    )
    django.setup()


def main(engine: str) -> None:
    """Log in, log in again, log out, and revoke."""
    configure(engine)
    from django.contrib.auth import login, logout
    from django.core.management import call_command
    from django.http import HttpRequest, HttpResponse
    from django.test import Client
    from django.urls import include, path

    from django_multisession.registry import revoke, revoke_all, sessions_of
    from tests.registry.people.models import Person

    call_command("migrate", run_syncdb=True, verbosity=0)
    is_text = Person._meta.pk.get_internal_type() == "CharField"
    ann, bob = (
        Person.objects.create(**({"pk": f"{name}@example.com"} if is_text else {}), name=name)
        for name in ("ann", "bob")
    )

    def look(request: Any) -> HttpResponse:
        return HttpResponse(request.user.name if request.user.is_authenticated else "-")

    def log_in(request: HttpRequest, name: str) -> HttpResponse:
        user: Any = Person.objects.get(name=name)
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        return HttpResponse()

    def log_out(request: HttpRequest) -> HttpResponse:
        logout(request)
        return HttpResponse()

    globals()["urlpatterns"] = [
        path("", look),
        path("login/<str:name>", log_in),
        path("logout", log_out),
        path("devices/", include("django_multisession.registry.urls")),
    ]

    def client_of(name: str) -> Client:
        client = Client()
        client.get(f"/login/{name}")
        return client

    def seen(*clients: Client) -> list[str]:
        return [client.get("/").content.decode() for client in clients]

    one, two, other = client_of("ann"), client_of("ann"), client_of("bob")
    assert seen(one, two, other) == ["ann", "ann", "bob"]
    assert (len(sessions_of(ann)), len(sessions_of(bob))) == (2, 1)
    one.get("/login/ann")  # anew
    assert len(sessions_of(ann)) == 2
    assert len(one.get("/devices/api/sessions").json()["sessions"]) == 2
    assert one.delete("/devices/api/sessions").json()["count"] == 1
    assert seen(one, two, other) == ["ann", "-", "bob"]
    one.get("/logout")
    assert sessions_of(ann) == []
    assert revoke(sessions_of(bob)[0]) == 1
    assert seen(one, two, other) == ["-", "-", "-"]
    one, two = client_of("ann"), client_of("bob")
    assert revoke_all(ann) == 1
    call_command("revokesessions", "--user", "bob", "--yes", verbosity=0)
    assert seen(one, two) == ["-", "-"]
    one = client_of("ann")
    ann.is_active = False
    ann.save()
    bob.delete()
    assert seen(one) == ["-"]


if __name__ == "__main__":
    main(*sys.argv[1:])
