"""Errors of this package come without the frames inside of it, whose variables hold what sessions contain."""

from __future__ import annotations

import os
import traceback
from typing import Any

import pytest
from django.test import override_settings

from django_multisession.engines import memory, signed_cookies
from django_multisession.exceptions import SessionTooLarge

SERVER, COOKIE = memory.SessionStore, signed_cookies.SessionStore
FAILS = {SERVER: ("save", "create", "validate"), COOKIE: ("save", "create", "validate", "cycle_key")}


@pytest.mark.parametrize(("session_class", "method"), [(kind, method) for kind in FAILS for method in FAILS[kind]])
def test_error_of_a_session_hides_what_is_below(session_class: Any, method: str) -> None:
    with override_settings(MULTISESSION={"default": {"MAX_SIZE": 1024}}):
        session = session_class()
        session["large"] = os.urandom(4096).hex()
        with pytest.raises(SessionTooLarge) as caught:
            getattr(session, method)()
    frames = traceback.extract_tb(caught.value.__traceback__)[1:]
    # The public method itself knows no more than the session; what wraps one is called "method" or "hiding".
    assert [frame.name for frame in frames if frame.name not in (method, "method", "hiding")] == []
    assert [frame.filename for frame in frames if "repository" in frame.filename] == []
