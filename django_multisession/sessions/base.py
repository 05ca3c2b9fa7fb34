"""What every session shares, wherever it is kept: its name and settings, its lifetime, and what its cookie is to be."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self, Unpack

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase

from ..bridge import driven, run_sync
from ..conf import DEFAULT
from ..cookies import CookieOptions
from ..exceptions import InvalidRecord, StoreUnavailable
from ..keys import new_session_key
from ..runtime import Event, Kept
from .config import SessionConfig, session_config
from .cookie_changes import CookieAttributes, CookieChanges, checked
from .flashes import FLASH_KEY, FlashBag
from .lifetime import Lifetime, Origin
from .turn import Turn
from .unreadable import report_unreadable

_classes: Kept[dict[tuple[type[Any], str], type[Any]]] = Kept(dict, Event(0))


class Belonging(Protocol):
    """Knows the user of the request; see http/belonging.py."""

    async def is_anothers(self, owner: str) -> bool:
        """Tell whether another user than the owner is logged in."""

    async def claim(self, session: "MultisessionBase") -> None:
        """Seal the user in a session that is about to be saved."""

    async def adopt(self, session: "MultisessionBase") -> None:
        """Give a visitor's session to the user who has just logged in."""


class LeftSession(NamedTuple):
    """A session that ends with the response, and whether its cookie's options are known."""

    was_loaded: bool


class MultisessionBase(SessionBase):
    """SessionBase with one session name of the MULTISESSION setting behind it.

    Attributes are the class' until they are set: a session is made for every request, and most are never used.
    """

    session_name: ClassVar[str] = DEFAULT
    accessed = False
    modified = False
    brought_key: str | None
    """The session key that the session was opened with, as it came with the request."""
    outage: StoreUnavailable | None = None
    """What kept the store from answering this request."""
    ends = False
    """Whether set_cookie_options(max_age=-1) asked for the end of this session."""
    belonging: Belonging | None = None
    """What knows whether a session that ends with the login is another user's; the middleware sets it."""
    is_to_be_adopted = False
    """Whether a login in this request makes this visitor's session the user's."""
    left: LeftSession | None = None
    """What was there when this session was left, by a logout."""
    _changes: CookieChanges | None = None
    _flashes: FlashBag | None = None

    def __init__(self, session_key: str | None = None) -> None:
        # Not super().__init__(): it imports the serializer by its dotted path for every request.
        self._session_key = session_key
        self.brought_key = session_key

    if TYPE_CHECKING:  # django-stubs leaves it out
        _session_key: str | None

    @classmethod
    def named(cls, name: str) -> type[Self]:
        """Return the subclass for another session name; the same one each time."""
        if name == cls.session_name:
            return cls
        found = _classes.value.get((cls, name))
        if found is None:
            attributes = {"session_name": name, "__module__": cls.__module__, "__doc__": cls.__doc__}
            found = _classes.value.setdefault((cls, name), type(cls.__name__, (cls,), attributes))
        return found

    @classmethod
    def config(cls) -> SessionConfig:
        """Return what the settings say of this session; ImproperlyConfigured if that is wrong."""
        return session_config(cls.session_name)

    @property
    def serializer(self) -> Any:
        """The class of the serializer: SERIALIZER of the entry, else SESSION_SERIALIZER."""
        return self.config().serializer

    def clock(self) -> float:
        """Return this host's time in seconds since 1970; its siblings' may differ by envelope.SKEW."""
        return time.time()

    def validate(self) -> None:
        """Raise now what save() would raise of data that cannot be kept."""
        raise NotImplementedError

    # The data.

    # As Django's, but for the exception that every request's first look would cost there, and for threads and tasks
    # that look at once: one of them loads, and the others wait for it. Each would have a dictionary of its own
    # otherwise, and all changes but one's would be lost.

    def _get_session(self, no_load: bool = False) -> dict[str, Any]:
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            if no_load or self.session_key is None:
                self._session_cache: dict[str, Any] = {}
            else:
                with self._turn().of_threads:
                    if not hasattr(self, "_session_cache"):
                        data = self.load()
                        self._loaded_as(data if self.owner is None else run_sync(self._shown(data)))
        return self._session_cache

    async def _aget_session(self, no_load: bool = False) -> dict[str, Any]:
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            if no_load or self.session_key is None:
                self._session_cache = {}
            else:
                async with self._turn().of_tasks():
                    if not hasattr(self, "_session_cache"):
                        data = await self.aload()
                        self._loaded_as(data if self.owner is None else await self._shown(data))
        return self._session_cache

    def _turn(self) -> Turn:
        found: Turn | None = self.__dict__.get("_turns")
        return self.__dict__.setdefault("_turns", Turn()) if found is None else found

    def _loaded_as(self, data: dict[str, Any]) -> None:
        # A thread and a task do not wait for one another: whoever is first has made the one dictionary.
        self.__dict__.setdefault("_session_cache", data)

    _session = property(_get_session)

    def preload(self) -> None:
        """Load the session without that counting as access: reading it later does no I/O."""
        accessed = self.accessed
        self._get_session()
        self.accessed = accessed

    async def apreload(self) -> None:
        """See preload()."""
        accessed = self.accessed
        await self._aget_session()
        self.accessed = accessed

    @property
    def unreadable(self) -> bool:
        """Whether what the request's cookie leads to cannot be read; it is left alone then."""
        raise NotImplementedError

    def __bool__(self) -> bool:
        self.accessed = True
        return not self.is_empty()

    def is_empty(self) -> bool:
        """Return True when there is no key and no data; the middleware deletes the cookie then.

        False for a session that could not be read: its cookie must survive a rolling deploy.
        """
        return not self.unreadable and super().is_empty()

    def _reject(self, reason: InvalidRecord) -> None:
        report_unreadable(self.session_name, reason)

    def _get_new_session_key(self) -> str:
        # No look-up whether it is taken: insert() finds out in the same round trip.
        return new_session_key()

    async def _aget_new_session_key(self) -> str:
        return self._get_new_session_key()

    async def adelete_test_cookie(self) -> None:
        # Django's forgets that the session was modified.
        await self._aget_session()
        self.delete_test_cookie()

    # Its owner.

    @property
    def owner(self) -> str | None:
        """The id of the user for whom this session was saved last, as far as it is loaded."""
        return None if self._changes is None else self._changes.owner

    async def _shown(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return what was loaded; nothing of a session that is another user's, which ends."""
        if self.owner is None or self.belonging is None or not await self.belonging.is_anothers(self.owner):
            return data
        self._session_cache = {}
        if driven():
            self.flush()
        else:
            await self.aflush()
        return self._session_cache

    def leave(self) -> None:
        """Have the session end with the response; what is written from now on is a new one. No I/O."""
        if self.left is None:
            self.left = LeftSession(hasattr(self, "_session_cache"))
        self._session_cache = {}
        self.modified = True

    def take_written(self) -> dict[str, Any]:
        """Return what was written since leave(), and have the session be the one that was left."""
        written = self._session_cache
        if self.left is not None and self.left.was_loaded:
            self._session_cache = {}
        else:
            del self._session_cache
        self.left = None
        return written

    # Its lifetime.

    def get_session_cookie_age(self) -> int:
        """Return the seconds that a session lives: MAX_AGE of its COOKIE, else SESSION_COOKIE_AGE."""
        return self.config().cookie_age()

    def get_expiry_age(self, **kwargs: Any) -> int:
        expiry = kwargs["expiry"] if "expiry" in kwargs else self.get("_session_expiry")
        # Django's asks for the time also where no expiry was set.
        age = super().get_expiry_age(**kwargs) if kwargs or expiry else self.get_session_cookie_age()
        limits = self._lifetime()
        if limits.is_unlimited:
            return age
        now, user = self.clock(), self._get_session().get("_auth_user_id")
        return limits.bounded(age, self._origin().begun(user, now), now, expiry, self.get_session_cookie_age())

    async def aget_expiry_age(self, **kwargs: Any) -> int:
        await self._aget_session()
        return self.get_expiry_age(**kwargs)

    def get_expire_at_browser_close(self) -> bool:
        return self._expires_at_browser_close(self.get("_session_expiry"))

    async def aget_expire_at_browser_close(self) -> bool:
        return self._expires_at_browser_close(await self.aget("_session_expiry"))

    def _expires_at_browser_close(self, expiry: Any) -> bool:
        if expiry is not None:
            return bool(expiry == 0)
        max_age = self.config().entry.cookie.get("MAX_AGE")
        return settings.SESSION_EXPIRE_AT_BROWSER_CLOSE if max_age is None else max_age == 0

    def _lifetime(self) -> Lifetime:
        return self.config().lifetime

    def _origin(self) -> Origin:
        """Return what this session continues."""
        raise NotImplementedError

    def _age_of(self, data: Mapping[str, Any]) -> int:
        """Return the seconds that the session lives with this data."""
        return int(self.get_expiry_age(expiry=data.get("_session_expiry")))

    # Flashes.

    def add_flash(self, value: Any, key: str = FLASH_KEY) -> None:
        """Append a value, which the serializer must know, to the flashes under key."""
        self[key] = self._flash_bag().added(key, self.get(key, ()), value)

    async def aadd_flash(self, value: Any, key: str = FLASH_KEY) -> None:
        """See add_flash()."""
        await self.aset(key, self._flash_bag().added(key, await self.aget(key, ()), value))

    def flashes(self, key: str = FLASH_KEY) -> list[Any]:
        """Return the flashes under key, the oldest first, and forget them; an empty list if there are none."""
        return self._flash_bag().taken(key, self.pop(key, ()))

    async def aflashes(self, key: str = FLASH_KEY) -> list[Any]:
        """See flashes()."""
        return self._flash_bag().taken(key, await self.apop(key, ()))

    def _flash_bag(self) -> FlashBag:
        if self._flashes is None:
            self._flashes = FlashBag()
        return self._flashes

    # Its cookie.

    def set_cookie_options(self, **options: Unpack[CookieAttributes]) -> None:
        """Change attributes of this session's cookie, from this response on until they are changed again.

        ``max_age`` is in seconds: above 0 it is set_expiry(), 0 ends the session with the browser, and -1 deletes
        record and cookie. Raises ValueError, naming the rule and its source, for what browsers would refuse, and
        ImproperlyConfigured where our middleware does not serve requests: Django's would ignore the options.
        """
        changes, max_age = checked(options)
        if changes:
            self._get_session()  # what was set by an earlier request goes together with it, or does not
        self._change_cookie(changes, max_age)
        if max_age is not None and max_age >= 0:
            self.set_expiry(max_age)

    async def aset_cookie_options(self, **options: Unpack[CookieAttributes]) -> None:
        """See set_cookie_options()."""
        changes, max_age = checked(options)
        if changes:
            await self._aget_session()
        self._change_cookie(changes, max_age)
        if max_age is not None and max_age >= 0:
            await self.aset_expiry(max_age)

    def _change_cookie(self, changes: dict[str, Any], max_age: int | None) -> None:
        if changes:
            self.cookie_changes().change(changes)
            self.modified = True
        if max_age is not None:
            self.ends = max_age == -1

    def cookie_changes(self) -> CookieChanges:
        """Return what this session's cookie has beside the settings."""
        if self._changes is None:
            self._changes = CookieChanges(self.session_name)
        return self._changes

    def cookie(self) -> CookieOptions:
        """Return the options that this session's cookie has, or will have with this response."""
        return self.config().cookie_options() if self._changes is None else self._changes.cookie()

    def cookie_at_load(self) -> CookieOptions:
        """Return the options under which the browser holds the cookie."""
        return self.config().cookie_options() if self._changes is None else self._changes.cookie_at_load()

    def cookie_parts(self) -> list[str]:
        """Return the values of the cookie and of its chunks, if the session needs more than one."""
        return [self.session_key or ""]

    @classmethod
    def joined(cls, cookies: Mapping[str, str]) -> str | None:
        """Return what a request's cookies hold for this session, None if nothing."""
        return cookies.get(cls.config().cookie_name())
