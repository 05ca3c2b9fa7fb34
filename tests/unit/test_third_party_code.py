"""What code that was written for Django's own sessions is told, where it cannot do what it means to."""

from __future__ import annotations

from typing import Any

import pytest

from django_multisession.engines import db, memory, signed_cookies


@pytest.mark.parametrize("method", ["encode", "decode"])
@pytest.mark.parametrize("engine", [memory, signed_cookies])
def test_override_of_encode_or_decode_is_refused(engine: Any, method: str) -> None:
    # They would never be called: a project that encrypts in them would store its sessions as they are.
    with pytest.raises(TypeError, match=rf"'{method}'.*SERIALIZER"):
        type("Mine", (engine.SessionStore,), {method: lambda self, value: value})


@pytest.mark.parametrize("engine", [db, memory, signed_cookies])
def test_model_of_djangos_engine_is_refused_with_what_to_do_instead(engine: Any) -> None:
    with pytest.raises(NotImplementedError, match=r"get_model_class.*delete\(session_key\)"):
        engine.SessionStore.get_model_class()
    with pytest.raises(NotImplementedError, match=r"create_model_instance.*delete\(session_key\)"):
        engine.SessionStore().create_model_instance({})
