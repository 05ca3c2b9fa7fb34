"""Settings of the demo project.

Environment: MULTISESSION_ENGINE and others say which sessions there are and where they are kept (see engine.py);
DJANGO_DEBUG=1 shows errors in the browser; DEMO_DATABASE is the path of the demo's SQLite file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from testproject.engine import databases, missing, multisession, session_engine

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = "not-a-secret-this-is-the-demo-and-the-tests"
DEBUG = os.environ.get("DJANGO_DEBUG") == "1"
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "testproject",  # its templates come before the registry's
    "django_multisession",
    "django_multisession.registry",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django_multisession.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "testproject.urls"
WSGI_APPLICATION = "testproject.wsgi.application"
CSRF_FAILURE_VIEW = "testproject.views.csrf_failure"
LOGIN_URL = "login"
# The demo's password is public, and tests log in often: the slow hashes of a real project protect nothing here.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DEMO_DATABASE", BASE_DIR / "demo.sqlite3"),
        "OPTIONS": {
            # Readers do not wait for a writer.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            # A transaction takes its turn at once; one that reads first could not wait for it.
            "transaction_mode": "IMMEDIATE",
        },
    },
    **databases(),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

SESSION_ENGINE = session_engine()
MULTISESSION = multisession()
DEMO_MISSING = missing()
# More than other servers take, but runserver's accepts 64 kB of cookies.
SILENCED_SYSTEM_CHECKS = ["multisession.W003"]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
