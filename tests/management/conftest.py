"""Fixtures of the whole that the commands' tests use as well."""

from tests.system.conftest import backend

__all__ = ["backend"]
