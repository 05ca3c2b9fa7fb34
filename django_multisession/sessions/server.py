"""SessionStore over a store: Django's semantics, in both colours, on the bodies of repository.py."""

from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar, Final

from django.contrib.sessions.backends.base import CreateError

from ..bridge import foreign, here, iterate, maybe_await
from ..deadline import in_both_colours
from ..exceptions import InvalidRecord, StoreUnavailable
from ..stores.base import Store
from . import ending, registering
from .assembly import repository_of
from .base import MultisessionBase
from .draft import Draft
from .frames import hiding_frames
from .key_change import cycle_key
from .lifecycle import Lifecycle
from .lifetime import Origin
from .loaded import Saved
from .records import Records
from .repository import Repository
from .rolled_back import Ended
from .server_login import ServerLogin
from .state import Next, State
from .tracking import TrackedDict
from .turn import Turn, turn_of

KEY_ATTEMPTS = 5


class ServerSession(MultisessionBase):
    """A session kept on a server; engines name their store in ``store_class``.

    Loading, saving and creating take one round trip each. save() sends nothing for a session that is as it was
    loaded, and merges changes when the record was written meanwhile (see merge.py).
    """

    store_class: ClassVar[type[Store]]

    may_be_anonymous = False
    """Whether an outage makes this an empty session that is never saved; the middleware decides."""
    is_outdated: Callable[[Mapping[str, Any]], Awaitable[bool]] | None = None
    """Tells whether the user of a session has another password by now; the middleware sets it."""
    is_logged_out = False
    """Whether django.contrib.auth has told that the user logs out."""
    ended: Ended | None = None
    """What the request has ended in a store that shares Django's transaction."""
    _turn: Turn | None = None
    continues = False
    """Whether a record that is being made continues the one of this session."""
    commits_with_response = False
    """Whether a change of key waits for key_change.commit(): the middleware calls it once a response is to be sent."""

    @classmethod
    def repository(cls) -> Repository:
        """Return the sessions of this session name, made from the settings at first use."""
        return repository_of(cls.store_class, cls.session_name)

    @classmethod
    def records(cls) -> Records:
        """Return the records below the repository."""
        return cls.repository().records

    # Without I/O.

    @cached_property
    def life(self) -> Lifecycle:
        """The session's record in the course of this request."""
        life = Lifecycle()
        life.repository = self.repository()
        return life

    @property
    def state(self) -> State:
        """What the session knows of its record."""
        return self.life.state if "life" in self.__dict__ else State.NEW

    @property
    def has_rotated(self) -> bool:
        """Whether a change of key waits for key_change.commit() or abandon()."""
        return "life" in self.__dict__ and self.life.rotation is not None

    @property
    def unreadable(self) -> bool:
        return self.state is State.UNREADABLE

    def is_empty(self) -> bool:
        # The browser may have the cookie of the new key by now, which must not be deleted.
        return self.state is not State.MOVED and super().is_empty()

    def clear(self) -> None:
        """Empty the session; what save() writes then replaces everything that is stored."""
        super().clear()
        self.life.state = State.CLEARED

    @hiding_frames
    def validate(self) -> None:
        """Raise now what save() would raise of data that cannot be kept."""
        if hasattr(self, "_session_cache"):
            self.repository().validate(self.draft())

    def _accepts(self, key: str) -> bool:
        # A cookie of another engine may be a key as well, which only its FALLBACK knows.
        return self.config().entry.fallback is not None and self.records().accepts(key)

    def _origin(self) -> Origin:
        return self.life.origin

    def draft(self) -> Draft:
        """Return what is to be stored."""
        return self._draft(self._session_cache, self.life.user_before)

    def keep(self, saved: Saved) -> None:
        """Go on with what the store holds now."""
        secret = saved.loaded.key.secret
        if secret != self.session_key:
            self._session_key = secret
        self._session_cache = self._tracked(saved.body.data)
        if self._changes is not None or saved.body.options:
            self.cookie_changes().saved(saved.body.options)

    def _take_key(self) -> None:
        """Go on under the key of the record, where that is not the one of the cookie: see moving/keys.py."""
        loaded = self.life.loaded
        if loaded is not None and loaded.key.secret != self._session_key:
            self._session_key = loaded.key.secret
            self.modified = True

    def _tracked(self, data: dict[str, Any]) -> dict[str, Any]:
        return TrackedDict(data) if self.repository().tracks_reads else data

    # With I/O: each body is written once, and serves both colours.

    async def _data(self) -> dict[str, Any]:
        if hasattr(self, "_session_cache"):
            self.accessed = True
            return self._session_cache
        return foreign(self._get_session) if here.driven else await self._aget_session()

    async def _load(self) -> dict[str, Any]:
        """Return the session's data; empty, and without a key, if there is no such session.

        Empty as well, with a line in the log django.security.SuspiciousSession, if the record is not as we wrote it.
        """
        key = self.session_key
        if key is None:
            return {}
        try:
            body = await self.life.load(key, self.clock(), has_data=hasattr(self, "_session_cache"))
        except InvalidRecord as reason:
            await self._reject(reason)
            return {}
        except StoreUnavailable as error:
            if not self.may_be_anonymous:
                raise
            self.outage = self.life.outage = error
            self.life.state = State.ANONYMOUS
            return {}
        if self.registration is not None and not hasattr(self, "_session_cache") and not await registering.admit(self):
            await ending.refuse(self)
            body = None
        if body is None:
            if self.state in (State.GONE, State.MOVED):
                self._session_key = None  # a key that somebody made up is never adopted
            return {}
        self._take_key()
        if hasattr(self, "_session_cache"):
            return body.data
        if body.options:
            self.cookie_changes().loaded(body.options)
        return self._tracked(body.data)

    load, aload = in_both_colours(_load)

    async def _save(self, must_create: bool = False) -> None:
        """Write what has changed since load(), creating the session if it has no key.

        Raises SessionEnded (an UpdateError) if the session was deleted meanwhile (it does not come back),
        SessionConflict if what was written meanwhile must not be merged, SessionTooLarge and SessionNotSerializable for
        data that cannot be kept, and CreateError with must_create if the key is taken.
        """
        if must_create:
            await (self._created() if self.session_key is None else self._insert())  # as Django's do
            return
        had_key = self.session_key is not None
        await self._data()
        if had_key and self.session_key is None:
            raise self.life.ended()
        if self.session_key is None:
            saved = await self._write()  # asks nobody
        # One at a time: another task of this request would take what this one is just writing for somebody else's
        # change, and apply a rule of MERGE twice.
        elif here.driven:
            with (self._turn or turn_of(self)).of_threads:
                saved = await self._write()
        else:
            async with turn_of(self).of_tasks():
                saved = await self._write()
        if saved is Next.CREATE:
            await self._created()
        elif saved is Next.DELETE:
            await self._deleted()
        elif not (saved is Next.NOTHING or saved.written or self.commits_with_response or await self.life.exists()):
            # The middleware sends no cookie for what was not written; elsewhere nobody else would notice.
            raise self.life.ended()
        if self.registration is not None and not self.commits_with_response:
            await registering.register(self)

    async def _write(self) -> Saved | Next:
        if self.session_key is None:
            return self.life.without_key(self._session_cache)
        saved = await self.life.save(self.session_key, self.draft())
        if isinstance(saved, Saved):
            self.keep(saved)
        return saved

    save, asave = in_both_colours(_save)

    async def _insert(self) -> None:
        self._session_cache = getattr(self, "_session_cache", {})
        draft = self.draft()
        if draft.age > 0:
            saved = await self.life.insert(self.session_key or "", draft)
            if saved is None:
                raise CreateError
            self.keep(saved)

    async def _create(self) -> None:
        """Give the session a new key and write it under that."""
        if self.state is State.ANONYMOUS and self.outage is not None:
            raise self.outage
        previous = self.session_key
        try:
            for _ in range(KEY_ATTEMPTS):
                self._session_key = self._get_new_session_key()
                try:
                    await self._honour(self.save if here.driven else self.asave, self._save, True)
                except CreateError:
                    continue
                self.modified = True
                if self.registration is not None and not self.continues:
                    await registering.begin(self, is_awaited=self.commits_with_response)
                return
        except BaseException:
            self._session_key = previous
            raise
        self._session_key = previous
        raise RuntimeError(f"Session {self.session_name!r}: {KEY_ATTEMPTS} new session keys were all taken.")

    create, acreate = in_both_colours(_create)

    _delete = ending.delete
    delete, adelete = in_both_colours(ending.delete)

    flush, aflush = in_both_colours(ending.flush)

    async def _created(self) -> None:
        await self._honour(self.create if here.driven else self.acreate, self._create)

    async def _deleted(self) -> None:
        await self._honour(self.delete if here.driven else self.adelete, self._delete)

    async def _honour(
        self, public: Callable[..., object], body: Callable[..., Awaitable[None]], *arguments: bool
    ) -> None:
        """Call a public method where it is not ours, but a subclass'; else its body, which is the same at less cost."""
        if getattr(public, "__func__", None) in _OURS:
            await body(*arguments)
        else:
            await maybe_await(foreign(public, *arguments))

    async def _exists(self, session_key: str) -> bool:
        """Tell whether there is a live session with this key."""
        records = self.records()
        return self._validate_session_key(session_key) and await records.exists(records.key(session_key))

    exists, aexists = in_both_colours(_exists)

    cycle_key, acycle_key = in_both_colours(cycle_key)

    @property
    def login(self) -> ServerLogin:
        return ServerLogin(self)

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


_OURS: Final = frozenset(
    vars(ServerSession)[name] for name in ("save", "asave", "create", "acreate", "delete", "adelete")
)
