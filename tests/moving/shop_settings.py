"""Settings of the processes of shop.py: what one of them has beside the common ones is JSON in its environment."""

from __future__ import annotations

import json
import os
from typing import Any

_own: dict[str, Any] = json.loads(os.environ["SHOP"])

SECRET_KEY = "not-a-secret-only-for-the-shop"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.moving.shop"
AUTHENTICATION_BACKENDS = ["tests.moving.shop.Users"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_multisession",
    *_own.pop("APPS", []),
]
MIDDLEWARE = [
    _own.pop("SESSIONS", "django_multisession.middleware.SessionMiddleware"),
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"log": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["log"], "level": "WARNING"},
}
globals().update(_own)
