"""Settings of the measured site: what all sides share, and from the environment what makes a side."""

from __future__ import annotations

import json
import os

from benchmarks.http.site import SETTINGS

SECRET_KEY = "not-a-secret-this-is-a-benchmark"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_multisession",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.dummy"}}
USE_TZ = True
# Django's default keeps the errors of a site without DEBUG to itself; here they explain a failed run.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}

globals().update(json.loads(os.environ[SETTINGS]))
