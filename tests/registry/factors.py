"""A site with allauth and django-otp, set up as docs/devices.md says: ``python -m tests.registry.factors``.

A process of its own, since INSTALLED_APPS are not changed in one that has models. Prints a line for each recipe.
"""

from __future__ import annotations

import warnings

import django
from django.conf import settings

APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_multisession",
    "django_multisession.registry",
]


def configure() -> None:
    """Set Django up."""
    settings.configure(
        SECRET_KEY="not-a-secret-only-for-the-tests",
        ALLOWED_HOSTS=["testserver"],
        INSTALLED_APPS=APPS,
        MIDDLEWARE=[
            "django_multisession.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "allauth.account.middleware.AccountMiddleware",
        ],
        SESSION_ENGINE="django_multisession.engines.db",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend",
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


def main() -> None:
    """Change a factor in each way, in one of two browsers of a user; print who is logged in afterwards."""
    configure()
    from allauth.account.signals import email_changed  # type: ignore[import-untyped]  # it has no types
    from allauth.mfa.signals import authenticator_added  # type: ignore[import-untyped]  # it has no types
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.http import HttpRequest, HttpResponse
    from django.test import Client
    from django.urls import include, path
    from django_otp.plugins.otp_totp.models import TOTPDevice  # type: ignore[import-untyped]  # it has no types

    from tests.registry.test_recipes import recipe

    call_command("migrate", verbosity=0)
    _kept = recipe("shop/factors.py")  # receivers are held weakly
    otp = recipe("shop/views.py")
    ann = User.objects.create_user("ann", "ann@example.com", "old-password-of-ann")

    def whoami(request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.user.get_username())

    def change(request: HttpRequest, how: str) -> HttpResponse:
        match how:
            case "mail":
                email_changed.send(User, request=request, user=request.user)
            case "mfa":
                authenticator_added.send(User, request=request, user=request.user, authenticator=None)
            case "otp":
                otp.confirm_device(request, TOTPDevice(user=request.user, name="phone"))
        return HttpResponse()

    globals()["urlpatterns"] = [
        path("accounts/", include("allauth.urls")),
        path("", whoami),
        path("change/<str:how>", change),
    ]

    def logged_in() -> Client:
        client = Client()
        client.force_login(ann, backend="django.contrib.auth.backends.ModelBackend")
        client.get("/")
        return client

    for how in ("mail", "mfa", "otp", "password"):
        here, there = logged_in(), logged_in()
        if how == "password":
            form = {"oldpassword": "old-password-of-ann", "password1": "new-9-Password", "password2": "new-9-Password"}
            assert here.post("/accounts/password/change/", form).status_code == 302
        else:
            here.get(f"/change/{how}")
        print(how, here.get("/").content.decode() or "-", there.get("/").content.decode() or "-")  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
