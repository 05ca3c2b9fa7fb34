"""The login of a session on a server, for registering.py."""

import os

from ..codec import Header
from ..envelope import REGISTERED
from ..exceptions import StoreUnavailable
from .ending import refuse
from .key_change import abandon
from .registration import StoredLogin
from .stored import StoredSession


class ServerLogin:
    """The login of one session object. A Login of registration.py."""

    __slots__ = ("_session",)

    def __init__(self, session: StoredSession) -> None:
        self._session = session

    def stored_login(self) -> StoredLogin | None:
        life = self._session.life
        if life.loaded is None or not life.loaded.is_here:
            # It is still in the place of a FALLBACK, where the mark REGISTERED cannot be stored: it is registered once
            # it has been carried over.
            return None
        return StoredLogin(life.loaded.key.storage_key, life.loaded.header, life.user_before)

    def forget_user(self) -> None:
        self._session.life.user_before = None

    @property
    def previous_key(self) -> str | None:
        rotation = self._session.life.rotation
        return rotation and rotation.key.storage_key

    def adopt_sid(self, key: str) -> None:
        raise NotImplementedError  # on a server, the store decides between two changes of the key

    async def restamp(self, *, registers: bool = False) -> bool:
        """See Login.restamp(). False, too, if others have written the session meanwhile, or in an outage."""
        life, now = self._session.life, self._session.clock()
        if life.loaded is None:
            return False
        before = life.loaded.header
        flags = REGISTERED if registers else before.flags & REGISTERED
        header = Header.new(
            os.urandom(8), before.created_at, before.authenticated_at, before.expires_at, now, flags=flags
        )
        age = max(before.expires_at - int(now), 1)  # the session expires when it did before
        try:
            written = await life.repository.records.replace(life.loaded, life.loaded.plaintext, header, age)
        except StoreUnavailable:
            return False
        life.loaded = written or life.loaded
        return written is not None

    async def withdraw(self) -> None:
        if self._session.life.rotation is not None:
            await abandon(self._session)
        else:
            await refuse(self._session)
