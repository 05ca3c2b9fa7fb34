"""The base of all sessions, wherever they are kept: name and settings, lifetime, flashes, and the cookie's options."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, Unpack

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase

from ..conf import DEFAULT
from ..cookies import CookieOptions
from ..exceptions import StoreUnavailable
from ..keys import looks_like_a_key, new_session_key
from .body import NONE
from .brought import brought
from .config import SessionConfig, session_config
from .cookie_changes import CookieAttributes, CookieChanges, checked
from .draft import Draft
from .flashes import FLASH_KEY, FlashBag
from .foreign import no_model, refuse_overrides
from .frames import hide_frames
from .lifetime import Lifetime, Origin
from .registration import RegistrableSession, registrations
from .turn import OwnershipCheck, afirst_look, first_look

_NO_KEYS: Final = frozenset[str]()


class MultisessionBase(RegistrableSession, SessionBase):
    """Django's SessionBase for one session name of MULTISESSION.

    The class attributes are defaults of the instances' attributes, so that an unused session costs little to make.
    """

    session_name: ClassVar[str] = DEFAULT
    accessed = False
    modified = False
    brought_key: str | None
    """The session key that the session was opened with, as it came with the request."""
    ends = False
    """Whether set_cookie_options(max_age=-1) asked for the end of this session."""
    ownership: OwnershipCheck | None = None
    """Knows the user of the request, for a session that ends with the login; http/sessions.py sets it."""
    outage: StoreUnavailable | None = None
    """The outage that this session has met in this request."""
    request: Any = None
    """The request, where the domain of the cookie is a function of it; http/sessions.py sets it."""
    _changes: CookieChanges | None = None
    _flash_bag: FlashBag | None = None

    def __init__(self, session_key: str | None = None) -> None:
        # Without super().__init__(), which imports the serializer by its dotted path in every request.
        self._session_key = session_key
        self.brought_key = session_key
        if registrations.make is not None:
            self.registration = registrations.make(self)

    if TYPE_CHECKING:  # missing from django-stubs
        _session_key: str | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_overrides(cls)

    @classmethod
    def config(cls) -> SessionConfig:
        """Return the settings of this session; ImproperlyConfigured if they are wrong."""
        return session_config(cls.session_name)

    @property
    def serializer(self) -> Any:  # the attribute that Django sets in __init__()
        return self.config().serializer

    @classmethod
    def get_model_class(cls) -> NoReturn:
        """Raise NotImplementedError: these sessions have no model that could be queried."""
        raise no_model(cls, "get_model_class")

    def create_model_instance(self, data: Any) -> NoReturn:
        """See get_model_class()."""
        raise no_model(type(self), "create_model_instance")

    def clock(self) -> float:
        """Return this host's time in seconds since 1970; other hosts' clocks may differ by envelope.SKEW."""
        return time.time()

    def failed(self, error: Exception) -> None:
        """Remember an outage, and remove from the error the frames that show keys and data."""
        if isinstance(error, StoreUnavailable):
            self.outage = error
        hide_frames(error)

    def validate(self) -> None:
        """Raise the error that save() would raise for data that cannot be kept. Does no I/O."""
        raise NotImplementedError

    def _validate_session_key(self, key: str | None) -> bool:
        return key is not None and (looks_like_a_key(key) is not None or self._accepts(key))

    def _accepts(self, key: str) -> bool:
        """Tell whether a key that does not look like ours may lead to a session all the same."""
        return False

    # Without asking whether the key is taken: insert() finds that out.
    _get_new_session_key = staticmethod(new_session_key)

    # Like Django's, but threads and tasks take turns, and the first access costs no AttributeError.
    _get_session, _aget_session = first_look, afirst_look
    _session = property(first_look)
    _session_cache: dict[str, Any]

    @property
    def unreadable(self) -> bool:
        """Whether the record or cookie of the request cannot be read, and is therefore left alone."""
        raise NotImplementedError

    def __bool__(self) -> bool:
        self.accessed = True
        return not self.is_empty()

    def is_empty(self) -> bool:
        """Return True if there is no key and no data; a session that cannot be read is not empty."""
        return not self.unreadable and super().is_empty()

    async def adelete_test_cookie(self) -> None:
        # Django's does not note that the session was modified.
        await self._aget_session()
        self.delete_test_cookie()

    def add_flash(self, value: Any, key: str = FLASH_KEY) -> None:
        """Append a value to the flashes under key; the serializer must be able to write it."""
        self[key] = self._flashes().added(value, key, self.get(key, ()))

    async def aadd_flash(self, value: Any, key: str = FLASH_KEY) -> None:
        """See add_flash()."""
        await self.aset(key, self._flashes().added(value, key, await self.aget(key, ())))

    def flashes(self, key: str = FLASH_KEY) -> list[Any]:
        """Return the flashes under key, the oldest first, and remove them; an empty list if there are none."""
        return self._flashes().taken(key, self.pop(key, ()))

    async def aflashes(self, key: str = FLASH_KEY) -> list[Any]:
        """See flashes()."""
        return self._flashes().taken(key, await self.apop(key, ()))

    def _flashes(self) -> FlashBag:
        self._flash_bag = self._flash_bag or FlashBag()
        return self._flash_bag

    def _draft(self, data: dict[str, Any], user_before: Any) -> Draft:
        """Return the draft of what is to be stored; ``user_before`` is the user of the session as it was loaded."""
        changes, bag = self._changes, self._flash_bag
        options, new = (NONE, NONE) if changes is None else (changes.all(), changes.new)
        keys = _NO_KEYS if bag is None else bag.keys
        registers = self.registration is not None and self.registration.marks
        return Draft(data, self._age_of(data), self._age_of, self.clock(), options, new, user_before, keys, registers)

    # Its lifetime.

    def get_session_cookie_age(self) -> int:
        """Return the seconds that a session lives: MAX_AGE of its COOKIE, else SESSION_COOKIE_AGE."""
        return self.config().max_age or settings.SESSION_COOKIE_AGE

    def get_expiry_age(self, **kwargs: Any) -> int:
        expiry = kwargs["expiry"] if "expiry" in kwargs else self.get("_session_expiry")
        cookie_age = self.get_session_cookie_age()
        # Not Django's where no expiry was set: it would read the clock for nothing.
        age = super().get_expiry_age(**kwargs) if expiry else cookie_age
        limits = self._lifetime()
        if limits.is_unlimited:
            return age
        now, user = self.clock(), self._get_session().get("_auth_user_id")
        return limits.bounded(age, self._origin().begun(user, now), now, expiry, cookie_age)

    async def aget_expiry_age(self, **kwargs: Any) -> int:
        await self._aget_session()
        return self.get_expiry_age(**kwargs)

    def get_expire_at_browser_close(self) -> bool:
        return self.config().ends_with_browser(self.get("_session_expiry"))

    async def aget_expire_at_browser_close(self) -> bool:
        return self.config().ends_with_browser(await self.aget("_session_expiry"))

    def _lifetime(self) -> Lifetime:
        return self.config().lifetime

    def _origin(self) -> Origin:
        """Return what this session continues, for its lifetime."""
        raise NotImplementedError

    def _age_of(self, data: Mapping[str, Any]) -> int:
        """Return the seconds that the session lives with this data."""
        return int(self.get_expiry_age(expiry=data.get("_session_expiry")))

    # Its cookie.

    def set_cookie_options(self, **options: Unpack[CookieAttributes]) -> None:
        """Change attributes of this session's cookie, from this response on until they are changed again.

        ``max_age`` is in seconds: above 0 it is set_expiry(), 0 ends the session with the browser, and -1 deletes
        record and cookie. Raises ValueError, naming the rule and its source, for what browsers would refuse, and
        ImproperlyConfigured without our middleware, since Django's would ignore the options.
        """
        changes, max_age = checked(options)
        if changes:
            self._get_session()  # the options of earlier requests, with which the new ones must be consistent
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
            self.cookie_changes().change(changes, self.request)
            self.modified = True
        if max_age is not None:
            self.ends = max_age == -1

    def cookie_changes(self) -> CookieChanges:
        """Return the options of this session's cookie that differ from the settings."""
        self._changes = self._changes or CookieChanges(self.session_name)
        return self._changes

    def cookie(self) -> CookieOptions:
        """Return the options of this session's cookie, including those that this response will set."""
        changes = self._changes
        return self.config().cookie_options(self.request) if changes is None else changes.cookie(self.request)

    def cookie_at_load(self) -> CookieOptions:
        """Return the options under which the browser holds the cookie."""
        return self.cookie_changes().cookie_at_load(self.request)

    def cookie_parts(self) -> list[str]:
        """Return the values of the cookie and of its chunks, if the session needs more than one."""
        return [self.session_key or ""]

    @classmethod
    def joined(cls, cookies: Mapping[str, str]) -> str | None:
        """Return the value of this session's cookie in a request; None if there is none."""
        config = cls.config()
        return cookies.get(config.cookie_name()) if config.entry.fallback is None else brought(config, cookies)
