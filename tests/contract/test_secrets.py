"""What stays behind on the servers and in the logs: storage keys, never session keys."""

from __future__ import annotations

import asyncio
import base64
import os

import pytest

from django_multisession.sessions.server import ServerSession
from tests.contract.conftest import Backend

SECRET = "what nobody else may read"


def _use(engine: type[ServerSession]) -> list[ServerSession]:
    """Use sessions as a site does; return the living ones and those that have ended."""
    session = engine()
    session["a"] = SECRET
    session.save()
    keys = [str(session.session_key)]
    session["b"] = 1
    session.save()
    session.cycle_key()
    keys.append(str(session.session_key))
    again = engine(session.session_key)
    again["c"] = 2
    again.save()
    session["b"] = 3
    session.save()  # a merge
    engine(os.urandom(16).hex()).load()
    loggedout = engine()
    loggedout.save()
    keys.append(str(loggedout.session_key))
    loggedout.flush()
    return [session, *map(engine, keys)]


async def _ause(engine: type[ServerSession]) -> list[ServerSession]:
    session = engine()
    await session.aset("a", SECRET)
    await session.asave()
    keys = [str(session.session_key)]
    await session.aset("b", 1)
    await session.asave()
    await session.acycle_key()
    again = engine(session.session_key)
    await again.aset("c", 2)
    await again.asave()
    await session.aset("b", 3)
    await session.asave()
    await engine(os.urandom(16).hex()).aload()
    return [session, *map(engine, keys)]


@pytest.mark.parametrize("encrypt", [False, True])
def test_session_keys_are_neither_on_the_server_nor_in_a_log(
    backend: Backend, caplog: pytest.LogCaptureFixture, encrypt: bool
) -> None:
    caplog.set_level("DEBUG")
    with backend.configured(ENCRYPT=encrypt) as engine:
        used = [*_use(engine), *asyncio.run(_ause(engine))]
        assert len(used) == 6
        dump = backend.dump()
        for session in used:
            key = str(session.session_key)
            for form in (key.encode(), key.encode().hex().encode(), base64.b64encode(key.encode())):
                assert form not in dump
            assert key not in caplog.text
            assert key not in repr(session)
        for living in (used[0], used[4]):
            assert engine.records().key(str(living.session_key)).storage_key.encode() in dump


@pytest.mark.parametrize("encrypt", [False, True])
def test_values_are_readable_on_the_server_unless_encrypted(backend: Backend, encrypt: bool) -> None:
    secret = os.urandom(16).hex()
    with backend.configured(ENCRYPT=encrypt) as engine:
        session = engine()
        session["a"] = secret
        session.save()
        assert (secret.encode() in backend.dump()) is not encrypt
        assert engine(session.session_key)["a"] == secret
