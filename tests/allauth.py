"""Sites with allauth: processes of their own, since INSTALLED_APPS are not changed in one that has models."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import django
from django.conf import settings

ROOT = Path(__file__).parents[1]
APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.messages", "allauth", "allauth.account"]


def configure(apps: list[str], **changes: Any) -> None:
    """Set Django up for a site with allauth, further apps, and settings of the site's own."""
    settings.configure(
        SECRET_KEY="not-a-secret-only-for-the-tests",
        ALLOWED_HOSTS=["testserver"],
        INSTALLED_APPS=[*APPS, *apps],
        MIDDLEWARE=[
            "django_multisession.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "allauth.account.middleware.AccountMiddleware",
        ],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
            }
        ],
        USE_TZ=True,
        **changes,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # allauth's own affair
        django.setup()


def lines_of(site: str) -> list[str]:
    """Run the module of a site, which must succeed, and return the lines that it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    program = [sys.executable, "-m", site]
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
