"""What every session shares, wherever it is kept: its name and settings, expiry, and encoding of its data."""

import logging
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ..conf import Entry, entry
from ..cookies import CookieOptions, cookie_options
from ..envelope import Header, clamp
from ..exceptions import InvalidRecord, StoreUnavailable
from ..fast_json import fastest
from ..keys import Keyring, new_session_key
from ..merge import RULES, Rule, append, append_messages
from ..runtime import cached
from . import body
from .cookie_control import CookieControl
from .flashes import FLASH_KEY, Flashes

logger = logging.getLogger("django_multisession")
security_logger = logging.getLogger("django.security.SuspiciousSession")


class MultisessionBase(Flashes, CookieControl):
    """SessionBase with one session name of the MULTISESSION setting behind it."""

    outage: StoreUnavailable | None = None
    """What kept the store from answering this request."""
    may_be_anonymous = False
    """Whether an outage makes this an empty session that is never saved; the middleware decides."""
    anonymous = False
    """Whether one has."""
    accessed = False
    modified = False
    _unreadable = False
    _loaded_user: Any = None

    def __init__(self, session_key: str | None = None) -> None:
        # Not super().__init__(): it imports the serializer by its dotted path for every request.
        self._session_key = session_key

    if TYPE_CHECKING:  # django-stubs leaves it out
        _session_key: str | None

    def _get_session(self, no_load: bool = False) -> dict[str, Any]:
        # As Django's, but for the exception that every request's first look would cost there.
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            self._session_cache: dict[str, Any] = {} if no_load or self.session_key is None else self.load()
        return self._session_cache

    _session = property(_get_session)

    @classmethod
    def named(cls, name: str) -> type[Self]:
        """Return the subclass for another session name; the same one each time."""
        return _named(cls, name) if name != cls.session_name else cls

    @classmethod
    def entry(cls) -> Entry:
        """Return this session's entry of the MULTISESSION setting."""
        return entry(cls.session_name)

    @classmethod
    def keyring(cls) -> Keyring:
        return _keyring(cls.session_name)

    @classmethod
    def cookie_options(cls) -> CookieOptions:
        """Return the attributes of this session's cookie."""
        return cookie_options(cls.session_name)

    @classmethod
    def joined(cls, cookies: Mapping[str, str]) -> str | None:
        """Return what a request's cookies hold for this session, None if nothing."""
        return cookies.get(cls.cookie_options().name)

    def prepare(self) -> None:
        """Raise now what save() would raise of data that cannot be kept."""
        raise NotImplementedError

    async def apreload(self) -> None:
        """See preload()."""
        accessed = self.accessed
        if not hasattr(self, "_session_cache"):
            self._session_cache = {} if self.session_key is None else await self.aload()
        self.accessed = accessed

    def preload(self) -> None:
        """Load the session without that counting as access: reading it later does no I/O."""
        accessed = self.accessed
        self._get_session()
        self.accessed = accessed

    def cookie_parts(self) -> list[str]:
        """Return the values of the cookie and of its chunks, if the session needs more than one."""
        return [self.session_key or ""]

    @classmethod
    def merge_rules(cls) -> Mapping[str, Rule]:
        """Return the functions that MERGE names, by session key."""
        return _merge_rules(cls.session_name)

    @property
    def serializer(self) -> Any:
        """The class of the serializer: SERIALIZER of the entry, else SESSION_SERIALIZER."""
        return _serializer(self.session_name)

    def _get_new_session_key(self) -> str:
        # No look-up whether it is taken: insert() finds out in the same round trip.
        return new_session_key()

    async def _aget_new_session_key(self) -> str:
        return self._get_new_session_key()

    async def adelete_test_cookie(self) -> None:
        # Django's forgets that the session was modified.
        await self._aget_session()
        self.delete_test_cookie()

    def get_session_cookie_age(self) -> int:
        """Return the seconds that a session lives: MAX_AGE of its COOKIE, else SESSION_COOKIE_AGE."""
        return _cookie_age(self.session_name)

    def get_expiry_age(self, **kwargs: Any) -> int:
        # Django's asks for the time also where no expiry was set.
        if kwargs or self.get("_session_expiry"):
            return super().get_expiry_age(**kwargs)
        return self.get_session_cookie_age()

    async def aget_expiry_age(self, **kwargs: Any) -> int:
        if kwargs or await self.aget("_session_expiry"):
            return await super().aget_expiry_age(**kwargs)
        return self.get_session_cookie_age()

    def get_expire_at_browser_close(self) -> bool:
        return self._expires_at_browser_close(self.get("_session_expiry"))

    async def aget_expire_at_browser_close(self) -> bool:
        return self._expires_at_browser_close(await self.aget("_session_expiry"))

    def _expires_at_browser_close(self, expiry: Any) -> bool:
        if expiry is not None:
            return bool(expiry == 0)
        max_age = self.cookie_options().max_age
        return settings.SESSION_EXPIRE_AT_BROWSER_CLOSE if max_age is None else max_age == 0

    @property
    def unreadable(self) -> bool:
        """Whether what the request's cookie leads to cannot be read; it is left alone then."""
        return self._unreadable

    def __bool__(self) -> bool:
        self.accessed = True
        return not self.is_empty()

    def is_empty(self) -> bool:
        """Return True when there is no key and no data; the middleware deletes the cookie then.

        False for a session that could not be read: its cookie must survive a rolling deploy.
        """
        return not self._unreadable and super().is_empty()

    def _dump(self, data: Mapping[str, Any]) -> bytes:
        return body.dump(self.session_name, self.serializer(), self.options(), data)

    def _parse(self, plaintext: bytes) -> dict[str, Any]:
        return body.parse(self.serializer(), plaintext)[1]

    def _take(self, plaintext: bytes) -> dict[str, Any]:
        """Return the data of what was loaded, and remember its options."""
        options, data = body.parse(self.serializer(), plaintext)
        self._stored_options = self._options_at_load = options
        self._loaded_user = data.get("_auth_user_id")
        return data

    def _largest(self, data: Mapping[str, Any]) -> str:
        return body.largest(self.serializer(), data)

    def clock(self) -> float:
        """Return this host's time in seconds since 1970; its siblings' may differ by envelope.SKEW."""
        return time.time()

    def _header(self, data: Mapping[str, Any], age: int, previous: Header | None) -> Header:
        """Return the header of a payload that lives for age seconds and follows on previous."""
        created_at = authenticated_at = now = clamp(self.clock())
        user = data.get("_auth_user_id")
        if user is None:
            authenticated_at = 0
        if previous is not None:
            created_at = previous.created_at
            if user is not None and user == self._loaded_user:
                authenticated_at = previous.authenticated_at
        return Header.new(os.urandom(8), created_at, authenticated_at, clamp(now + age), now)

    def _reject(self, reason: InvalidRecord) -> dict[str, Any]:
        """Note that the session cannot be read, and return the empty data that stands in for it."""
        security_logger.warning("Session %r unreadable: %s", self.session_name, reason)
        self._unreadable = True
        return {}


_classes: dict[tuple[type[MultisessionBase], str], type[Any]] = {}


def _named(cls: type[MultisessionBase], name: str) -> type[Any]:
    found = _classes.get((cls, name))
    if found is None:
        body = {"session_name": name, "__module__": cls.__module__, "__doc__": cls.__doc__}
        found = _classes.setdefault((cls, name), type(cls.__name__, (cls,), body))
    return found


@cached
def _keyring(name: str) -> Keyring:
    options = entry(name)
    return Keyring(options.secrets, options.key_prefix, name)


@cached
def _cookie_age(name: str) -> int:
    return cookie_options(name).max_age or settings.SESSION_COOKIE_AGE


@cached
def _serializer(name: str) -> Any:
    return fastest(import_string(entry(name).serializer or settings.SESSION_SERIALIZER))


@cached
def _merge_rules(name: str) -> Mapping[str, Rule]:
    rules: dict[str, Rule] = {"_messages": append_messages, FLASH_KEY: append}
    for key, rule in entry(name).merge.items():
        if callable(rule):
            rules[key] = rule
        elif rule in RULES:
            rules[key] = RULES[rule]
        else:
            try:
                rules[key] = import_string(rule)
            except ImportError as error:
                raise ImproperlyConfigured(
                    f"MULTISESSION[{name!r}]['MERGE'][{key!r}] is {rule!r}; it must be one of "
                    f"{', '.join(map(repr, RULES))} or the dotted path of a function f(base, theirs, ours)."
                ) from error
    return rules
