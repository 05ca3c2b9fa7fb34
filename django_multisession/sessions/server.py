"""SessionStore over a store: Django's semantics, in both colours, on the bodies of repository.py."""

import enum
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, ClassVar, NamedTuple, TypeVar

from django.contrib.sessions.backends.base import CreateError
from django.core.exceptions import ImproperlyConfigured

from ..bridge import iterate, maybe_await, run_sync
from ..deadline import Operation
from ..exceptions import InvalidRecord, StoreUnavailable
from ..keys import SessionKey
from ..runtime import Event, Kept, cached, on
from ..stores.base import Store, StoreOptions
from .base import MultisessionBase
from .body import NONE, Body
from .cookie_changes import our_middleware
from .draft import Draft
from .exceptions import SessionEnded
from .loaded import Loaded, Moved
from .records import Records
from .repository import Repository, Saved
from .tracking import TrackedDict

T = TypeVar("T")

Method = Callable[..., Any]
"""A public method of the session in the colour of the body: what it returns may be awaitable."""

KEY_ATTEMPTS = 5
_MAX_KEY_LENGTH = 128


class State(enum.Enum):
    """What a session knows of its record."""

    NEW = "nothing: it has not been looked at, or there is none"
    LOADED = "as it was read or written"
    CLEARED = "nothing of it counts: a save replaces all"
    UNREADABLE = "it is there, and we cannot read it"
    ANONYMOUS = "the store is away, and this page is made without it"
    GONE = "there was none under the key of the cookie"
    MOVED = "it goes on under another key"


class Rotation(NamedTuple):
    """A change of key that waits for the response: the old key, and what was loaded under it, if that counts."""

    key: SessionKey
    base: Loaded | None
    state: State


class ServerSession(MultisessionBase):
    """A session kept on a server; engines name their store in ``store_class``.

    Loading, saving and creating take one round trip each. save() sends nothing for a session that is as it was
    loaded, and merges changes when the record was written meanwhile (see merge.py).
    """

    store_class: ClassVar[type[Store]]

    state = State.NEW
    may_be_anonymous = False
    """Whether an outage makes this an empty session that is never saved; the middleware decides."""
    commits_with_response = False
    """Whether a change of key waits for commit(): the middleware calls it once a response is to be sent."""
    written = False
    """Whether a save has extended the life of the record."""
    _loaded: Loaded | None = None
    _user_before: Any = None
    _rotation: Rotation | None = None

    @classmethod
    def repository(cls) -> Repository:
        """Return the sessions of this session name, made from the settings at first use."""
        return _repository(cls)

    @classmethod
    def records(cls) -> Records:
        """Return the records below the repository."""
        return cls.repository().records

    # Both colours.

    def _sync(self, body: Coroutine[Any, Any, T]) -> T:
        with Operation():
            try:
                return run_sync(body)
            except StoreUnavailable as error:
                self.outage = error
                raise

    async def _async(self, body: Coroutine[Any, Any, T]) -> T:
        with Operation():
            try:
                return await body
            except StoreUnavailable as error:
                self.outage = error
                raise

    def load(self) -> dict[str, Any]:
        """Return the session's data; empty, and without a key, if there is no such session.

        Empty as well, with a line in the log django.security.SuspiciousSession, if the record is not as we wrote it.
        """
        return self._sync(self._load())

    async def aload(self) -> dict[str, Any]:
        """See load()."""
        return await self._async(self._load())

    def save(self, must_create: bool = False) -> None:
        """Write what has changed since load(), creating the session if it has no key.

        Raises SessionEnded (an UpdateError) if the session was deleted meanwhile (it does not come back),
        SessionConflict if what was written meanwhile must not be merged, SessionTooLarge and SessionNotSerializable
        for data that cannot be kept, and CreateError with must_create if the key is taken.
        """
        self._sync(self._save(must_create, self._get_session, self.save, self.delete))

    async def asave(self, must_create: bool = False) -> None:
        """See save()."""
        await self._async(self._save(must_create, self._aget_session, self.asave, self.adelete))

    def create(self) -> None:
        """Give the session a new key and write it under that."""
        self._sync(self._create(self.save))

    async def acreate(self) -> None:
        """See create()."""
        await self._async(self._create(self.asave))

    def delete(self, session_key: str | None = None) -> None:
        """Delete the record under session_key, or this session's own; nothing happens if there is none."""
        self._sync(self._delete(session_key))

    async def adelete(self, session_key: str | None = None) -> None:
        """See delete()."""
        await self._async(self._delete(session_key))

    def exists(self, session_key: str) -> bool:
        """Tell whether there is a live session with this key."""
        return self._sync(self._exists(session_key))

    async def aexists(self, session_key: str) -> bool:
        """See exists()."""
        return await self._async(self._exists(session_key))

    def cycle_key(self) -> None:
        """Move the session to a new key and end the old one, with all that was saved under it until then.

        Under our middleware the old one ends when the response is made: see commit(). Elsewhere it ends at once, and
        SessionEnded is raised if the session was deleted meanwhile: then the new key does not live either.
        """
        self._sync(self._cycle_key(self._get_session, self.create))

    async def acycle_key(self) -> None:
        """See cycle_key()."""
        await self._async(self._cycle_key(self._aget_session, self.acreate))

    def flush(self) -> None:
        """End the session, wherever it is; even if the store does not answer, the browser's cookie goes."""
        self._sync(self._flush(self._get_session, self.delete))

    async def aflush(self) -> None:
        """See flush()."""
        await self._async(self._flush(self._aget_session, self.adelete))

    def commit(self) -> None:
        """End the old key of a cycle_key(); SessionEnded if its session was logged out, or is somebody else's now.

        If another request has changed the key as well, this session goes on under the key that won.
        """
        self._sync(self._commit())

    async def acommit(self) -> None:
        """See commit()."""
        await self._async(self._commit())

    def abandon(self) -> None:
        """Take a cycle_key() back: the old session stays as it was, and the new one goes."""
        self._sync(self._abandon())

    async def aabandon(self) -> None:
        """See abandon()."""
        await self._async(self._abandon())

    @classmethod
    def clear_expired(cls) -> None:
        """Remove expired records, where the server does not do it by itself."""
        for _ in iterate(cls.records().store.purge()):
            pass

    @classmethod
    async def aclear_expired(cls) -> None:
        """See clear_expired()."""
        async for _ in cls.records().store.purge():
            pass

    # Without I/O.

    def clear(self) -> None:
        """Empty the session; what save() writes then replaces everything that is stored."""
        super().clear()
        self.state = State.CLEARED

    def validate(self) -> None:
        """Raise now what save() would raise of data that cannot be kept."""
        if hasattr(self, "_session_cache"):
            self.repository().validate(self._draft())

    @property
    def unreadable(self) -> bool:
        return self.state is State.UNREADABLE

    @property
    def anonymous(self) -> bool:
        """Whether an outage has made this an empty session that is never saved."""
        return self.state is State.ANONYMOUS

    def is_empty(self) -> bool:
        # The browser may have the cookie of the new key by now, which must not be deleted.
        return self.state is not State.MOVED and super().is_empty()

    def _validate_session_key(self, key: str | None) -> bool:
        # The key comes with the request: anything may be in it.
        return key is not None and 8 <= len(key) <= _MAX_KEY_LENGTH and key.isascii()

    def _key(self) -> SessionKey:
        if self._loaded is not None and self._loaded.key.secret == self.session_key:
            return self._loaded.key
        return self.records().key(self.session_key or "")

    def _draft(self) -> Draft:
        changes, flashes = self._changes, self._flashes
        return Draft(
            data=self._session_cache,
            age_of=self._age_of,
            now=self.clock(),
            options=NONE if changes is None else changes.stored,
            new_options=NONE if changes is None else changes.new,
            user_before=self._user_before,
            flash_keys=frozenset() if flashes is None else frozenset(flashes.keys),
        )

    def _settle(self, loaded: Loaded, body: Body) -> dict[str, Any]:
        """Note that the store holds this, and return its data as the session keeps it."""
        self._loaded, self.state = loaded, State.LOADED
        self._user_before = body.data.get("_auth_user_id")
        if self._changes is not None or body.options:
            self.cookie_changes().saved(body.options)
        return TrackedDict(body.data) if self.config().is_strict else body.data

    def _keep(self, saved: Saved) -> None:
        self._session_cache = self._settle(saved.loaded, saved.body)
        self._session_key = saved.loaded.key.secret
        self.written = self.written or saved.written

    # The bodies.

    async def _load(self) -> dict[str, Any]:
        key = self.session_key
        if key is None:
            return {}
        try:
            found = await self.repository().load(self.records().key(key), self.clock())
        except InvalidRecord as reason:
            self._reject(reason)
            self.state = State.UNREADABLE
            return {}
        except StoreUnavailable as error:
            if not self.may_be_anonymous:
                raise
            self.outage, self.state = error, State.ANONYMOUS
            return {}
        if found is not None and not isinstance(found, Moved):
            loaded, body = found
            if hasattr(self, "_session_cache"):
                # load() on a session in use only looks: what save() merges against stays what it was.
                return body.data
            if body.options:
                self.cookie_changes().loaded(body.options)
            return self._settle(loaded, body)
        # A key that somebody made up is never adopted, and a pointer never followed by who has not loaded before it.
        self.state = State.GONE
        if found is not None:
            self.state, self._rotation = State.MOVED, Rotation(self.records().key(key), None, State.MOVED)
        self._session_key = None
        return {}

    async def _save(self, must_create: bool, get_session: Method, save: Method, delete: Method) -> None:
        if must_create:
            await self._insert()
            return
        if self.state is State.ANONYMOUS:
            if self._session_cache and self.outage is not None:
                raise self.outage  # what was written on it would be lost in silence
            return
        if self.session_key is None:
            if self.state is not State.MOVED or "_auth_user_id" in self._session_cache:
                await self._create(save)
            elif self._session_cache:
                # A new cookie would take the place of the one that the browser has by now.
                raise self._ended()
            return
        data = await maybe_await(get_session())
        if self.state is State.UNREADABLE:
            # The record stays for the process that can read it, as in a rolling deploy with a new secret.
            if data:
                await self._create(save)
        elif self.session_key is None:
            raise self._ended()
        elif self._draft().age() <= 0:
            await maybe_await(delete())
        else:
            await self._write(save)

    async def _write(self, save: Method) -> None:
        repository, loaded = self.repository(), self._loaded
        if loaded is not None and self.state is not State.CLEARED:
            saved = await repository.save(loaded, self._draft())
            self._keep(saved)
            # The middleware sends no cookie for what was not written; elsewhere nobody else would notice.
            if not saved.written and not self.commits_with_response and not await self.records().exists(loaded.key):
                raise self._ended()
            return
        if loaded is None:
            try:
                found = await repository.load(self._key(), self.clock())
            except InvalidRecord:
                await self._create(save)  # what is stored cannot be read, and so is not ours to replace
                return
            if found is None:
                raise self._ended()
            if not isinstance(found, Moved):
                loaded, body = found
                self.cookie_changes().loaded(body.options)
        self._keep(await repository.replace_all(self._key(), loaded, self._draft()))

    async def _insert(self) -> None:
        self._session_cache = getattr(self, "_session_cache", {})
        draft = self._draft()
        if draft.age() <= 0:
            return
        saved = await self.repository().insert(self._key(), draft, self._loaded)
        if saved is None:
            raise CreateError
        self._keep(saved)

    async def _create(self, save: Method) -> None:
        if self.state is State.ANONYMOUS and self.outage is not None:
            raise self.outage
        previous = self.session_key
        try:
            for _ in range(KEY_ATTEMPTS):
                self._session_key = self._get_new_session_key()
                try:
                    await maybe_await(save(True))
                except CreateError:
                    continue
                self.modified = True
                return
        except BaseException:
            self._session_key = previous
            raise
        self._session_key = previous
        raise RuntimeError(f"Session {self.session_name!r}: {KEY_ATTEMPTS} new session keys were all taken.")

    async def _delete(self, session_key: str | None) -> None:
        key = self.session_key if session_key is None else session_key
        if self._validate_session_key(key) and key is not None:
            is_ours = key == self.session_key
            loaded = self._loaded if is_ours else None
            await self.repository().end(self._key() if is_ours else self.records().key(key), loaded)
            if is_ours:
                self._loaded = None

    async def _exists(self, session_key: str) -> bool:
        return self._validate_session_key(session_key) and await self.records().exists(self.records().key(session_key))

    async def _flush(self, get_session: Method, delete: Method) -> None:
        rotation = self._rotation
        try:
            if our_middleware():
                await maybe_await(get_session())  # the cookie is deleted where set_cookie_options() has put it
            self.clear()
            await maybe_await(delete())
            if rotation is not None:
                await self.repository().end(rotation.key, rotation.base)
        finally:
            self._session_key, self._loaded, self._rotation, self.state = None, None, None, State.NEW

    async def _cycle_key(self, get_session: Method, create: Method) -> None:
        await maybe_await(get_session())
        old = None
        if self.session_key is not None and self.state is not State.UNREADABLE:
            base = None if self.state is State.CLEARED else self._loaded
            old = Rotation(self._key(), base, self.state)
        await maybe_await(create())
        if old is not None and self._rotation is not None:
            await self.records().delete(old.key)  # the second change of key in this request: nobody knows the first
        elif old is not None:
            self._rotation = old
            if not self.commits_with_response:
                try:
                    await self._commit()
                except BaseException:
                    await self._abandon()
                    raise

    async def _commit(self) -> None:
        rotation, new = self._rotation, self._loaded
        if rotation is None or new is None:
            return
        repository, draft = self.repository(), self._draft()
        if rotation.state is State.MOVED:
            with suppress(SessionEnded):  # it is somebody else's: then this login stands by itself
                self._keep(await repository.join(rotation.key, new, draft))
        else:
            saved = await repository.retire(rotation.key, rotation.base, new, draft)
            if saved is not None:
                self._keep(saved)
        self._rotation = None

    async def _abandon(self) -> None:
        rotation, new = self._rotation, self._loaded
        if rotation is None:
            return
        self._rotation = None
        self._session_key = None if rotation.state is State.MOVED else rotation.key.secret
        self._loaded, self.state = rotation.base, rotation.state
        if new is not None:
            # Nobody was told of the new key; without an answer, its record ends by itself.
            with suppress(StoreUnavailable):
                await self.records().delete(new.key)

    def _ended(self) -> SessionEnded:
        return SessionEnded(f"Session {self.session_name!r} was deleted.")


@cached
def _repository(cls: type[ServerSession]) -> Repository:
    config = cls.config()
    entry = config.entry
    options = StoreOptions(entry.location, entry.key_prefix, entry.timeout, entry.options, entry.connect_timeout)
    try:
        store = cls.store_class(options)
    except ImproperlyConfigured as error:
        raise ImproperlyConfigured(f"Session {entry.name!r}: {error}") from error
    _stores.value.append(store)
    return Repository(Records(store, config.record_codec, config.storage_keys, entry.max_size), config)


_stores: Kept[list[Store]] = Kept(list, Event(0))


@on(Event.SETTINGS | Event.TEST)
def _close_stores() -> None:
    while _stores.value:
        _stores.value.pop().close()
