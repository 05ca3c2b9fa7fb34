"""checksessions tries the new place for itself, and asks whether the old one answers."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

ENGINES = "django_multisession.engines"


def checked(**fallback: Any) -> str:
    entry = {"FALLBACK": {"ENGINE": f"{ENGINES}.memory", "KEY_PREFIX": "old:", "UNTIL": "2100-01-01", **fallback}}
    output = io.StringIO()
    with override_settings(SESSION_ENGINE=f"{ENGINES}.memory", MULTISESSION={"default": entry}):
        call_command("checksessions", stdout=output)
    return output.getvalue()


@pytest.mark.parametrize("carry", [True, False])
def test_checksessions_with_two_working_places_succeeds(carry: bool) -> None:
    assert "memory" in checked(CARRY=carry)


@pytest.mark.parametrize("carry", [True, False])
def test_where_a_move_stands_is_no_problem_to_checksessions(carry: bool) -> None:
    stands = [line for line in checked(CARRY=carry).splitlines() if "['FALLBACK']" in line]
    assert [line.split()[0] for line in stands] == ["note"]


@pytest.mark.parametrize("carry", [True, False])
def test_checksessions_tells_that_the_old_place_does_not_answer(carry: bool) -> None:
    with pytest.raises(CommandError):
        checked(CARRY=carry, ENGINE=f"{ENGINES}.redis", LOCATION="redis://127.0.0.1:1/0")
