"""A site with allauth and django-otp, set up as docs/devices.md says: ``python -m tests.registry.factors``.

Prints a line for each recipe.
"""

from __future__ import annotations

from tests.allauth import configure


def main() -> None:
    """Change a factor in each way, in one of two browsers of a user; print who is logged in afterwards."""
    configure(
        [
            "allauth.mfa",
            "django_otp",
            "django_otp.plugins.otp_totp",
            "django_multisession",
            "django_multisession.registry",
        ],
        SESSION_ENGINE="django_multisession.engines.db",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        ROOT_URLCONF=__name__,
    )
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
