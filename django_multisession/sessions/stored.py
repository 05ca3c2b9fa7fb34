"""What the bodies in saving, ending, key_change and server_login need of a session.

ServerSession is its only implementation.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Protocol

from ..deadline import OperationOwner
from ..exceptions import StoreUnavailable
from .cookie_changes import CookieChanges
from .draft import Draft
from .lifecycle import Lifecycle
from .registering import SessionWithLogin
from .repository import Repository
from .rolled_back import Ended
from .state import State
from .turn import LoadableSession, Turn


class StoredSession(OperationOwner, SessionWithLogin, LoadableSession, Protocol):
    """A session object whose record is in a store."""

    session_name: ClassVar[str]
    modified: bool
    outage: StoreUnavailable | None
    is_login_outdated: Callable[[Mapping[str, Any]], Awaitable[bool]] | None
    is_logged_out: bool
    ended_keys: Ended | None
    continues: bool
    commits_with_response: bool
    _session_key: str | None
    _changes: CookieChanges | None
    _turn: Turn | None

    @property
    def state(self) -> State: ...
    @property
    def life(self) -> Lifecycle: ...
    @classmethod
    def repository(cls) -> Repository: ...
    def clock(self) -> float: ...
    def clear(self) -> None: ...
    def cookie_changes(self) -> CookieChanges: ...
    def _draft(self, data: dict[str, Any], user_before: Any) -> Draft: ...
    def _get_session(self) -> dict[str, Any]: ...
    async def _aget_session(self) -> dict[str, Any]: ...
    def _get_new_session_key(self) -> str: ...
    def _validate_session_key(self, key: str | None) -> bool: ...

    # Methods that a subclass may override.

    def save(self, must_create: bool = False) -> None: ...
    async def asave(self, must_create: bool = False) -> None: ...
    def create(self) -> None: ...
    async def acreate(self) -> None: ...
    def delete(self, session_key: str | None = None) -> None: ...
    async def adelete(self, session_key: str | None = None) -> None: ...
