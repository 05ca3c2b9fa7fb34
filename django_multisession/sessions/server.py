"""The session on a server: Django's semantics over a store, in both colours."""

from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar

from ..bridge import iterate
from ..deadline import in_both_colours
from ..exceptions import InvalidRecord, StoreUnavailable
from ..stores.base import Store
from . import ending, registering, saving
from .adoption import go_along
from .assembly import repository_of
from .base import MultisessionBase
from .frames import hiding_frames
from .key_change import cycle_key
from .lifecycle import Lifecycle
from .lifetime import Origin
from .records import Records
from .repository import Repository
from .rolled_back import Ended
from .saving import draft_of
from .server_login import ServerLogin
from .state import State
from .tracking import TrackedDict
from .turn import Turn


class ServerSession(MultisessionBase):
    """A session kept on a server; engines name their store in ``store_class``.

    Loading, saving and creating take one round trip each. save() sends nothing for an unchanged session, unless it
    is due to be prolonged, and merges changes if the record was written meanwhile (see merging.py).
    """

    store_class: ClassVar[type[Store]]

    may_be_anonymous = False
    """Whether an outage makes this an empty session that is never saved; http/sessions.py sets it."""
    is_login_outdated: Callable[[Mapping[str, Any]], Awaitable[bool]] | None = None
    """Tells whether the user of a session has changed the password since the login; http/sessions.py sets it."""
    is_logged_out = False
    """Whether django.contrib.auth has signalled that the user logs out."""
    ended_keys: Ended | None = None
    """The keys of the sessions that the request has ended in a store that shares Django's transaction."""
    _turn: Turn | None = None
    continues = False
    """Whether create() is making the new record of a change of key, not a new session."""
    commits_with_response = False
    """Whether our middleware finishes the request: the end of an old key, what the registry is to know, and the check
    that the session lives wait for http/handle.py."""

    @classmethod
    def repository(cls) -> Repository:
        """Return the repository of this session name, made from the settings at first use."""
        return repository_of(cls.store_class, cls.session_name)

    @classmethod
    def records(cls) -> Records:
        """Return the records below the repository."""
        return cls.repository().records

    # Without I/O.

    @cached_property
    def life(self) -> Lifecycle:
        """The life of the session's record in this request."""
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
        # A session that has moved is not empty: the browser may have the cookie with its new key, which must stay.
        return self.state is not State.MOVED and super().is_empty()

    def clear(self) -> None:
        """Empty the session; save() then replaces everything that is stored."""
        super().clear()
        self.life.state = State.CLEARED

    @hiding_frames
    def validate(self) -> None:
        """Raise the error that save() would raise for data that cannot be kept. Does no I/O."""
        if hasattr(self, "_session_cache"):
            self.repository().validate(draft_of(self))

    def _accepts(self, key: str) -> bool:
        # With a FALLBACK, the cookie of another engine may lead to a session.
        return self.config().entry.fallback is not None and self.records().accepts(key)

    def _origin(self) -> Origin:
        return self.life.origin

    # With I/O: each body serves both colours; see also saving.py, ending.py and key_change.py.

    async def _load(self) -> dict[str, Any]:
        """Return the session's data; empty, and without a key, if there is no such session.

        Also empty, with a line in the log django.security.SuspiciousSession, if the record cannot be read: damaged,
        forged, copied from elsewhere, or sealed with an unknown secret.
        """
        key = self.session_key
        if key is None:
            return {}
        life = self.life
        try:
            body = await life.load(key, self.clock(), has_data=hasattr(self, "_session_cache"))
            if body is None and life.state is State.MOVED and self.ownership is not None:
                body = await go_along(life, await self.ownership.current_user())
        except InvalidRecord as reason:
            await self._reject(reason)
            return {}
        except StoreUnavailable as error:
            if not self.may_be_anonymous:
                raise
            self.outage = life.outage = error
            life.state = State.ANONYMOUS
            return {}
        if self.registration is not None and not hasattr(self, "_session_cache") and not await registering.admit(self):
            await ending.refuse(self)
            body = None
        if body is None:
            if self.state in (State.GONE, State.MOVED):
                self._session_key = None  # a key without a session is never adopted: it may be made up
            return {}
        if life.loaded is not None and life.loaded.key.secret != key:
            # The record is not under the key of the cookie: see go_along(), and moving/keys.py.
            self._session_key = life.loaded.key.secret
            self.modified = True
        if hasattr(self, "_session_cache"):
            return body.data
        if body.options:
            self.cookie_changes().loaded(body.options)
        return TrackedDict(body.data) if life.repository.tracks_reads else body.data

    load, aload = in_both_colours(_load)

    save, asave = saving.save, saving.asave
    create, acreate = saving.create, saving.acreate
    delete, adelete = in_both_colours(ending.delete)
    flush, aflush = in_both_colours(ending.flush)
    cycle_key, acycle_key = in_both_colours(cycle_key)

    async def _exists(self, session_key: str) -> bool:
        """Tell whether there is a live session with this key."""
        records = self.records()
        return self._validate_session_key(session_key) and await records.exists(records.key(session_key))

    exists, aexists = in_both_colours(_exists)

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
