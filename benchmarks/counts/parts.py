"""Where the time of the session layer goes: its parts alone, and what is left of an operation without them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.counts.layer import best
from benchmarks.counts.null_store import NullSession
from benchmarks.payload import Payload
from benchmarks.project import project
from benchmarks.sides import BASIC, OURS, SessionSide
from django_multisession.keys import new_session_key

REST = "the rest: Django's SessionBase, coroutines, bookkeeping; and that parts alone run faster"
CALLS = 400
ROUNDS = 10


@dataclass(frozen=True)
class Part:
    """Microseconds of CPU that a part takes of each operation that has it."""

    name: str
    us: Mapping[str, float]


def parts(payload: Payload) -> Sequence[Part]:
    """Return the parts of load, change and create over a null store; the last is what is left of them."""
    with project():
        side = SessionSide(OURS, NullSession, payload)
        key = side.keys("load", 1)[0]
        known = list(_parts(key))
        measured: dict[str, Callable[[Any], Any]] = {name: call for name, call, _ in known}
        measured |= {operation: side.operation(operation) for operation in BASIC}
        us = {name: float("inf") for name in measured}
        for _ in range(ROUNDS):
            for name, call in measured.items():
                us[name] = min(us[name], best(call, key, CALLS))
    found = [Part(name, dict.fromkeys(operations, us[name])) for name, _, operations in known]
    rest = {operation: us[operation] - sum(part.us.get(operation, 0) for part in found) for operation in BASIC}
    return [*found, Part(REST, rest)]


def _parts(key: str) -> Iterator[tuple[str, Callable[[Any], Any], Sequence[str]]]:
    """Yield parts by name, how to do them once, and the operations that do."""
    session = NullSession(key)
    session.load()
    records, loaded, serializer = session.records(), session._loaded, session.serializer()
    assert loaded is not None
    data, header = serializer.loads(loaded.plaintext[2:]), loaded.header
    codec, age = records._codec, session.get_session_cookie_age()
    payload = codec.encode(header, loaded.plaintext, loaded.storage_key, key)
    yield "make the session object", lambda _: NullSession(key), BASIC
    yield "hash the session key", lambda _: records.storage_key(key), BASIC
    yield (
        "check the record's tag, unpack its header",
        lambda _: codec.decode(payload, loaded.storage_key, key),
        ("load", "change"),
    )
    yield "parse JSON", lambda _: serializer.loads(loaded.plaintext[2:]), ("load", "change")
    yield "write JSON, as Django's serialiser would", lambda _: serializer.dumps(data), ("change", "create")
    yield "make the header, with a random version", lambda _: session._header(data, age, header), ("change", "create")
    yield (
        "make the record's tag",
        lambda _: codec.encode(header, loaded.plaintext, loaded.storage_key, key),
        ("change", "create"),
    )
    yield "make a session key", lambda _: new_session_key(), ("create",)
