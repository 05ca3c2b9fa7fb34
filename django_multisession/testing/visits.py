"""Sessions as requests use them, in the colour of the test, so that each test is written once, as ``async def``."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from ..bridge import driven, foreign
from ..codec import Header
from ..envelope import VERSION
from ..http.handle import Handle
from ..sessions import key_change
from ..sessions.loading import named
from ..sessions.repository import Repository
from ..sessions.server import ServerSession
from ..stores.base import Record
from .drive import Drive, either
from .interleaved import Interleaved, Plan

C = TypeVar("C", bound=type[Any])

HOUR = 3600


def in_both_colours(cls: C) -> C:
    """Make the ``async def`` tests of a class callable for pytest, which runs each by the drive of its ``visits``."""
    for name, test in list(vars(cls).items()):
        if name.startswith("test_") and inspect.iscoroutinefunction(test):
            setattr(cls, name, _driven(test))
    return cls


def _driven(test: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(test)
    def drive(self: Any, *, visits: "Visits", **fixtures: Any) -> None:
        visits.drive(test(self, visits=visits, **fixtures))

    return drive


class Observed(ServerSession):
    """Mixed into the engine under test: its store follows a plan, and its clock can be set ahead."""

    plan: ClassVar[Plan]
    ahead: ClassVar[float] = 0.0
    """Seconds by which clock() is ahead."""

    @classmethod
    def repository(cls) -> Repository:
        repository = super().repository()
        if not isinstance(repository.records.store, Interleaved):
            repository.records.store = Interleaved.around(repository.records.store, cls.plan)
        return repository

    def clock(self) -> float:
        return super().clock() + self.ahead


class Visit:
    """One request's session; ``await visit.save()`` calls save(), or asave() in an event loop, and so on."""

    def __init__(self, session: Any) -> None:
        self.session = session

    @property
    def key(self) -> Any:
        return self.session.session_key

    async def set(self, key: str, value: Any) -> None:
        if driven():
            self.session[key] = value
        else:
            await self.session.aset(key, value)

    async def data(self) -> dict[str, Any]:
        return dict(await either(self.session.items, self.session.aitems))

    async def store(self, data: dict[str, Any], expiry: Any = None) -> str:
        """Save data, after set_expiry(expiry) unless that is None; return the key."""
        for key, value in data.items():
            await self.set(key, value)
        if expiry is not None:
            await self.set_expiry(expiry)
        await self.save()
        return str(self.key)

    async def answer(self) -> str | None:
        """End the request as our middleware does; return the key in the cookie that is sent, or None."""
        handle = Handle(self.session)
        if await handle.is_dirty():
            await handle.save()
        else:
            await handle.abandon()
        return self.session.session_key if handle.is_saved else None

    async def commit(self) -> None:
        """Commit a change of key, as a response does."""
        await key_change.commit(self.session)

    async def abandon(self) -> None:
        """Abandon a change of key, as a response of 500 or above does."""
        await key_change.abandon(self.session)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        async def call(*arguments: Any, **named: Any) -> Any:
            if driven():
                return foreign(functools.partial(getattr(self.session, method), *arguments, **named))
            return await getattr(self.session, f"a{method}")(*arguments, **named)

        return call


class Visits:
    """Makes requests with one session class, and reads what its store holds."""

    def __init__(self, session_class: type[Observed], drive: Drive) -> None:
        self.session_class = session_class
        self.drive = drive
        self.plan = session_class.plan
        self.opened: list[Visit] = []

    def named(self, name: str) -> "Visits":
        """Return the Visits of another session name, on the same plan."""
        visits = Visits(named(self.session_class, name), self.drive)
        visits.opened = self.opened
        return visits

    def open(self, key: str | None = None, *, commits_with_response: bool = False) -> Visit:
        """Begin a request with this key in its cookie, as with our middleware or without; nothing is read yet."""
        self.opened.append(Visit(self.session_class(key)))
        self.opened[-1].session.commits_with_response = commits_with_response
        return self.opened[-1]

    async def load(self, key: str, *, commits_with_response: bool = False) -> Visit:
        """Begin a request and load its session."""
        visit = self.open(key, commits_with_response=commits_with_response)
        await visit.data()
        return visit

    async def store(self, **data: Any) -> str:
        """Create a session in a request of its own; return its key."""
        visit = self.open()
        for key, value in data.items():
            await visit.set(key, value)
        await visit.save()
        self.plan.calls.clear()
        return str(visit.key)

    async def change(self, session_key: str, *gone: str, **data: Any) -> None:
        """Set keys to values, and remove those in ``gone``, in a request of its own."""
        visit = await self.load(session_key)
        for key, value in data.items():
            await visit.set(key, value)
        for key in gone:
            await visit.pop(key)
        await visit.save()

    def changing(self, session_key: str, *gone: str, **data: Any) -> Callable[[], Any]:
        """Return change() with these arguments, as an action of a plan."""
        return lambda: self.change(session_key, *gone, **data)

    def flushing(self, session_key: str) -> Callable[[], Any]:
        """Return a logout in a request of its own, as an action of a plan."""
        return lambda: self.open(session_key).flush()

    async def data(self, key: str) -> dict[str, Any] | None:
        """Return what a new request finds under a key; None if there is no such session."""
        visit = self.open(key)
        data = await visit.data()
        return None if visit.key is None else data

    def storage_key(self, key: str) -> str:
        """Return the storage key of a session key."""
        return self.session_class.records().key(key).storage_key

    async def raw(self, key: str) -> Record | None:
        """Return what the store holds under a session key."""
        return await self.session_class.records().store.read(self.storage_key(key))

    async def payload(self, key: str) -> bytes:
        """Return the bytes that the store holds under a session key."""
        record = await self.raw(key)
        assert record is not None
        return record.payload

    async def header(self, key: str) -> Header:
        """Return the header that the store holds under a session key."""
        return Header.unpack(await self.payload(key))

    async def overwrite(self, key: str, payload: bytes) -> None:
        """Write bytes directly into the store, as an attacker with access to it could."""
        store, version = self.session_class.records().store, payload[VERSION].ljust(8, b"\0")
        found = await self.raw(key)
        if found is None:
            assert await store.insert(self.storage_key(key), payload, HOUR, version) is not None
        else:
            assert await store.replace(self.storage_key(key), payload, HOUR, found.token, version) is not None
        assert await self.payload(key) == payload
