"""Fixtures of the whole that unit tests use as well."""

from tests.system.conftest import backend

__all__ = ["backend"]
