"""SessionStore over a store, in Django's semantics and both colours."""

from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar, cast

from django.contrib.sessions.backends.base import CreateError
from django.core.exceptions import ImproperlyConfigured

from ..bridge import driven, iterate, own, run_sync
from ..codec import RecordCodec
from ..deadline import Operation
from ..exceptions import InvalidRecord, StoreUnavailable
from ..runtime import Event, cached, on
from ..stores.base import Store, StoreOptions
from .cookie_control import our_middleware
from .records import Records
from .saving import Saving

T = TypeVar("T")

KEY_ATTEMPTS = 5
_MAX_KEY_LENGTH = 128


class ServerSession(Saving):
    """A session kept on a server; engines name their store in ``store_class``.

    Loading, saving and creating take one round trip each. save() sends nothing for a session that is as it was
    loaded, and merges changes when the record was written meanwhile (see merge.py).
    """

    store_class: ClassVar[type[Store]]

    @classmethod
    def records(cls) -> Records:
        """Return the records of this session name, made from the settings at first use."""
        return _records(cls)

    def _validate_session_key(self, key: str | None) -> bool:
        # The key comes with the request: anything may be in it.
        return key is not None and 8 <= len(key) <= _MAX_KEY_LENGTH and key.isascii()

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

    def _own(self, method: str, *args: Any) -> Coroutine[Any, Any, Any]:
        name = method if driven() else f"a{method}"
        if getattr(getattr(self, name), "__func__", None) is getattr(ServerSession, name):
            body: Coroutine[Any, Any, Any] = getattr(self, f"_{method}")(*args)
            return body  # what the public method would start anew is running already
        return own(self, method, *args)

    def load(self) -> dict[str, Any]:
        """Return the session's data; empty, and without a key, if there is no such session.

        Empty as well, with a line in the log django.security.SuspiciousSession, if the record is not as we wrote it.
        """
        return run_sync(self._load())

    async def aload(self) -> dict[str, Any]:
        """See load()."""
        return await self._load()

    def save(self, must_create: bool = False) -> None:
        """Write what has changed since load(), creating the session if it has no key.

        Raises UpdateError if the session was deleted meanwhile (it does not come back), SessionConflict if what was
        written meanwhile must not be merged, SessionTooLarge and SessionNotSerializable for data that cannot be
        kept, and CreateError with must_create if the key is taken.
        """
        self._sync(self._save(must_create))

    async def asave(self, must_create: bool = False) -> None:
        """See save()."""
        await self._async(self._save(must_create))

    def create(self) -> None:
        """Give the session a new key and write it under that."""
        self._sync(self._create())

    async def acreate(self) -> None:
        """See create()."""
        await self._async(self._create())

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

        Raises UpdateError if the session was deleted meanwhile: then the new key does not live either.
        """
        self._sync(self._cycle_key())

    async def acycle_key(self) -> None:
        """See cycle_key()."""
        await self._async(self._cycle_key())

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

    def flush(self) -> None:
        """Delete the session, with its record; even if the store does not answer, the browser's cookie goes."""
        self._sync(self._flush())

    async def aflush(self) -> None:
        """See flush()."""
        await self._async(self._flush())

    async def _flush(self) -> None:
        try:
            if our_middleware():
                await self._data()  # the cookie is deleted where set_cookie_options() has put it
            self.clear()
            await self._own("delete")
        finally:
            self._session_key = None

    async def _load(self) -> dict[str, Any]:
        key = self.session_key
        if key is None:
            return {}
        try:
            snapshot = await self.records().read(key)
            if snapshot is None or snapshot.header.expired(self.clock()):
                # A key that somebody made up is never adopted.
                self._session_key = None
                return {}
            if hasattr(self, "_session_cache"):
                # load() on a session in use only looks: what save() merges against stays what it was.
                return self._parse(snapshot.plaintext)
            return self._settle(snapshot, self._take(snapshot.plaintext))
        except InvalidRecord as reason:
            return self._reject(reason)
        except StoreUnavailable as error:
            self.outage = error
            if not self.may_be_anonymous:
                raise
            self.anonymous = True
            return {}

    async def _save(self, must_create: bool = False) -> None:
        if self.anonymous:
            return
        if self.session_key is None:
            await self._own("create")
        elif must_create:
            await self._insert()
        else:
            await self._write()

    async def _create(self) -> None:
        if self.outage is not None and self.anonymous:
            raise self.outage
        previous, loaded = self.session_key, self._loaded
        try:
            for _ in range(KEY_ATTEMPTS):
                self._session_key = self._get_new_session_key()
                try:
                    await self._own("save", True)
                except CreateError:
                    continue
                self.modified = True
                return
        except BaseException:
            self._session_key, self._loaded = previous, loaded
            raise
        raise RuntimeError(f"Session {self.session_name!r}: {KEY_ATTEMPTS} new session keys were all taken.")

    async def _delete(self, session_key: str | None = None) -> None:
        key = self.session_key if session_key is None else session_key
        if self._validate_session_key(key):
            await self.records().delete(cast(str, key))
        if key == self.session_key:
            self._loaded = None

    async def _exists(self, session_key: str) -> bool:
        return self._validate_session_key(session_key) and await self.records().exists(session_key)


@cached
def _records(cls: type[ServerSession]) -> Records:
    entry = cls.entry()
    try:
        store = cls.store_class(StoreOptions(entry.location, entry.key_prefix, entry.timeout, entry.options))
    except ImproperlyConfigured as error:
        raise ImproperlyConfigured(f"Session {entry.name!r}: {error}") from error
    codec = RecordCodec(cls.keyring(), encrypt=entry.encrypt, compress=entry.compress)
    _stores.append(store)
    return Records(store, codec, entry.key_prefix, entry.name)


_stores: list[Store] = []


@on(Event.SETTINGS)
def _close_stores() -> None:
    while _stores:
        _stores.pop().close()
