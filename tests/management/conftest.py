"""Fixtures of the whole that the commands' tests use as well."""

import pytest

from django_multisession.runtime import reset
from tests.system.conftest import backend

__all__ = ["backend"]


@pytest.fixture(autouse=True)
def _nothing_of_other_tests() -> None:
    reset()
