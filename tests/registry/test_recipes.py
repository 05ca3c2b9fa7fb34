"""The recipes of docs/devices.md, run as they stand there."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import RequestFactory
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from django_multisession.registry.models import RegisteredSession
from tests.allauth import lines_of
from tests.registry.rows import row_of

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "devices.md").read_text()
EVENT = "http://schemas.openid.net/event/backchannel-logout"
KEY = ECKey.generate_key("P-256", {"kid": "one", "use": "sig", "alg": "ES256"})
STRANGERS = ECKey.generate_key("P-256", {"kid": "one", "use": "sig", "alg": "ES256"})


def recipe(name: str) -> ModuleType:
    """Return the module that the page shows under this file name."""
    found = re.search(rf"^```python\n# {re.escape(name)}.*?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found, name
    module = ModuleType("recipe")
    exec(compile(found[1], name, "exec"), module.__dict__)  # noqa: S102 - our own documents
    return module


Ask = Callable[..., Any]


@pytest.fixture
def back_channel() -> Ask:
    """Ask the recipe's view to log out, with a token that has these claims."""
    module = recipe("shop/logout.py")
    module.provider_keys = lambda: KeySet([KEY])  # type: ignore[attr-defined]  # a module that is made of a document

    def ask(key: ECKey = KEY, algorithm: str = "ES256", **claims: Any) -> int:
        now = int(time.time())
        given = {
            "iss": "https://login.example.com",
            "aud": "my-client-id",
            "iat": now,
            "exp": now + 120,
            "jti": secrets.token_hex(8),
            "sid": "sid-of-the-provider",
            "events": {EVENT: {}},
        }
        given = {name: value for name, value in (given | claims).items() if value is not None}
        token = jwt.encode({"alg": algorithm, "kid": "one", "typ": "logout+jwt"}, given, key)
        response = module.back_channel_logout(RequestFactory().post("/logout", {"logout_token": token}))
        assert isinstance(response.status_code, int)
        return response.status_code

    return ask


@pytest.fixture
def row() -> RegisteredSession:
    return row_of(User.objects.create_user("ann"), external_id="sid-of-the-provider")


def is_live(row: RegisteredSession) -> bool:
    row.refresh_from_db()
    return row.is_live


def test_back_channel_logout_ends_the_sessions_of_the_provider(back_channel: Ask, row: RegisteredSession) -> None:
    other = row_of(row.user, external_id="another")
    assert back_channel() == 200
    assert not is_live(row)
    assert is_live(other)
    assert back_channel(sid="unknown") == 200  # ended already, or never here


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "another-client"},
        {"exp": 1},
        {"iat": 10**10},
        {"exp": None},
        {"jti": None},
        {"sid": None},
        {"sid": ["sid-of-the-provider"]},
        {"sid": ""},
        {"events": None},
        {"events": {}},
        {"events": 7},
        {"nonce": "x"},
        {"key": STRANGERS},
    ],
)
def test_back_channel_logout_refuses_any_other_token(
    back_channel: Ask, row: RegisteredSession, claims: dict[str, Any]
) -> None:
    bystander = row_of(row.user)
    assert back_channel(**claims) == 400
    assert is_live(row)
    assert is_live(bystander)


def test_back_channel_logout_refuses_what_is_no_token_or_has_come_before(
    back_channel: Ask, row: RegisteredSession
) -> None:
    view = recipe("shop/logout.py")
    view.provider_keys = lambda: KeySet([KEY])  # type: ignore[attr-defined]  # a module that is made of a document
    header = "eyJhbGciOiJub25lIn0"  # {"alg": "none"}
    for token in ("", "x", "a.b.c", f"{header}.e30.", "ü"):
        assert view.back_channel_logout(RequestFactory().post("/logout", {"logout_token": token})).status_code == 400
    assert view.back_channel_logout(RequestFactory().get("/logout")).status_code == 405
    assert is_live(row)
    assert back_channel(jti="once", sid="unknown") == 200
    assert back_channel(jti="once") == 400
    assert is_live(row)


@pytest.mark.slow
def test_change_of_a_factor_ends_the_other_sessions_with_allauth_and_otp() -> None:
    assert lines_of("tests.registry.factors") == ["mail ann -", "mfa ann -", "otp ann -", "password ann -"]
