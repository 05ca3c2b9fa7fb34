"""Imports what most processes of tests need; see processes.py."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

# After the set-up, for they import models.
import pytest  # noqa: E402, F401

from django_multisession.sessions import server  # noqa: E402, F401
from django_multisession.testing import stores  # noqa: E402, F401
