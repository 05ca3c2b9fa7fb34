"""Cookie options at request time: set on a session, kept in its envelope, applied by our middleware."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ..conf import DEFAULT
from ..cookies import LONGEST, CookieOptions, cookie_options
from ..runtime import cached

_KEEP: Final[Any] = object()
_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


class CookieControl(SessionBase):
    """The options of a session's cookie: those of the settings, changed by what was set at request time."""

    session_name: ClassVar[str] = DEFAULT
    ends = False
    """Whether set_cookie_options(max_age=-1) asked for the end of this session."""

    # Replaced, never changed in place: most sessions have none, and a session is made for every request.
    _stored_options: Mapping[str, Any] = _NONE
    _new_options: Mapping[str, Any] = _NONE
    _options_at_load: Mapping[str, Any] = _NONE

    if TYPE_CHECKING:  # django-stubs leaves out what subclasses need

        def _get_session(self, no_load: bool = False) -> dict[str, Any]: ...

        async def _aget_session(self, no_load: bool = False) -> dict[str, Any]: ...

    def set_cookie_options(
        self,
        *,
        path: str = _KEEP,
        domain: str | None = _KEEP,
        max_age: int = _KEEP,
        httponly: bool = _KEEP,
        secure: bool = _KEEP,
        samesite: str | None = _KEEP,
        partitioned: bool = _KEEP,
    ) -> None:
        """Change attributes of this session's cookie, from this response on until they are changed again.

        ``max_age`` is in seconds: above 0 it is set_expiry(), 0 ends the session with the browser, and -1 deletes
        record and cookie. Raises ValueError, naming the rule and its source, for what browsers would refuse, and
        ImproperlyConfigured where our middleware does not serve requests: Django's would ignore the options.
        """
        changes = _checked(path, domain, httponly, secure, samesite, partitioned, max_age)
        if changes:
            self._get_session()  # what was set by an earlier request goes together with it, or does not
        self._change(changes, max_age)
        if max_age is not _KEEP and max_age >= 0:
            self.set_expiry(max_age)

    async def aset_cookie_options(
        self,
        *,
        path: str = _KEEP,
        domain: str | None = _KEEP,
        max_age: int = _KEEP,
        httponly: bool = _KEEP,
        secure: bool = _KEEP,
        samesite: str | None = _KEEP,
        partitioned: bool = _KEEP,
    ) -> None:
        """See set_cookie_options()."""
        changes = _checked(path, domain, httponly, secure, samesite, partitioned, max_age)
        if changes:
            await self._aget_session()
        self._change(changes, max_age)
        if max_age is not _KEEP and max_age >= 0:
            await self.aset_expiry(max_age)

    def _change(self, changes: dict[str, Any], max_age: Any) -> None:
        if changes:
            self.cookie().changed(changes)
            self._new_options = {**self._new_options, **changes}
            self.modified = True
        if max_age is not _KEEP:
            self.ends = max_age == -1

    def cookie(self) -> CookieOptions:
        """Return the options that this session's cookie has, or will have with this response."""
        return self._options(self.options())

    def cookie_at_load(self) -> CookieOptions:
        """Return the options under which the browser holds the cookie."""
        return self._options(self._options_at_load)

    def options(self) -> Mapping[str, Any]:
        """Return what differs from the settings, as it is stored."""
        return {**self._stored_options, **self._new_options} if self._new_options else self._stored_options

    def _settle_options(self) -> None:
        """Note that what was set is stored now."""
        if self._new_options:
            self._stored_options = self.options()
            del self._new_options  # of the instance: the class has none

    def _options(self, changes: Mapping[str, Any]) -> CookieOptions:
        configured = cookie_options(self.session_name)
        if not changes:
            return configured
        try:
            return configured.changed(changes)
        except (TypeError, ValueError):
            return configured  # the settings have changed since, so that the two don't go together any more


_TYPES: Final[dict[str, tuple[Any, str]]] = {
    "path": (str, "a string (RFC 6265, section 4.1.2.4)"),
    "domain": (str | None, "a string, or None for the host alone (RFC 6265, section 4.1.2.3)"),
    "httponly": (bool, "True or False (RFC 6265, section 4.1.2.6)"),
    "secure": (bool, "True or False (RFC 6265, section 4.1.2.5)"),
    "samesite": (str | None, '"Lax", "Strict", "None", or None to leave it out (RFC 6265bis, section 4.1.2.7)'),
    "partitioned": (bool, "True or False (CHIPS)"),
}


def _checked(*values: Any) -> dict[str, Any]:
    """Return the attributes that are given, without max_age; ValueError if one has not even the right type."""
    if not our_middleware():
        raise ImproperlyConfigured(
            "set_cookie_options() needs django_multisession.middleware.SessionMiddleware in MIDDLEWARE, in the "
            "place of Django's SessionMiddleware, which would ignore it."
        )
    *attributes, max_age = values
    changes = {name: value for name, value in zip(_TYPES, attributes, strict=True) if value is not _KEEP}
    if max_age is not _KEEP and (type(max_age) is not int or not -1 <= max_age <= LONGEST):
        raise ValueError(
            f"max_age of the cookie is {max_age!r}; it must be whole seconds up to {LONGEST}, 0 for a cookie that "
            "ends with the browser, or -1 to delete (RFC 6265, section 4.1.2.2)."
        )
    for name, value in changes.items():
        kind, allowed = _TYPES[name]
        if not isinstance(value, kind):
            raise ValueError(f"{name} of the cookie is {value!r}; it must be {allowed}.")
    if isinstance(changes.get("samesite"), str):
        changes["samesite"] = changes["samesite"].capitalize()
    return changes


@cached
def our_middleware() -> bool:
    """Tell whether our middleware, or a subclass of it, serves the project's requests."""
    return any(getattr(import_string(dotted), "applies_cookie_options", False) for dotted in settings.MIDDLEWARE)
