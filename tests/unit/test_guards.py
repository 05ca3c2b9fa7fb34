"""The keys of GUARD's presets are those that the packages write, as far as these are installed."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from django_multisession.guards import PRESETS

PACKAGES = {"django_otp": "django_otp", "allauth.account": "allauth/account", "allauth.mfa": "allauth/mfa"}
_CONSTANT = re.compile(r'^_?[A-Z_]*SESSION_KEY = \(?\s*"?\'?([\w.]+)["\']', re.MULTILINE)


def source(package: str) -> str:
    spec = find_spec(package.partition("/")[0])
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent / package.partition("/")[2]
    return "\n".join(path.read_text() for path in root.rglob("*.py") if "tests" not in path.parts)


@pytest.mark.parametrize("application", PACKAGES)
def test_preset_has_the_keys_that_the_package_names(application: str) -> None:
    text = source(PACKAGES[application])
    named = set(_CONSTANT.findall(text))
    assert named
    assert named <= PRESETS[application]
    assert all(f'"{key}"' in text or f"'{key}'" in text for key in PRESETS[application])
