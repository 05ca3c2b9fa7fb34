"""Cookie options at request time: set on a session, stored with its data, applied by our middleware."""

from collections.abc import Mapping
from typing import Any, Final, TypedDict

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ..cookies import LONGEST, CookieOptions
from ..runtime import cached
from .config import session_config


class CookieAttributes(TypedDict, total=False):
    """The attributes that can be set for a session's cookie. ``max_age`` is in seconds; None leaves one out."""

    path: str
    domain: str | None
    max_age: int
    httponly: bool
    secure: bool
    samesite: str | None
    partitioned: bool


OWNER: Final = "owner"
"""The key, among the options of a body, of the id of the session's owner; no cookie attribute has this name."""


class CookieChanges:
    """The options of a session's cookie that differ from the settings, and its owner: the stored ones and new ones.

    Mappings are replaced, never changed in place.
    """

    def __init__(self, session_name: str) -> None:
        self._session_name = session_name
        # Plain dictionaries, which can be pickled with their session.
        self.stored: Mapping[str, Any] = {}
        self.new: Mapping[str, Any] = {}
        self._at_load: Mapping[str, Any] = {}

    def loaded(self, options: Mapping[str, Any]) -> None:
        """Take over the options that were stored with the session."""
        self.stored = self._at_load = options

    def saved(self, options: Mapping[str, Any]) -> None:
        """Note the options that are stored now; those that another task has set meanwhile are still new."""
        self.new = {name: value for name, value in self.new.items() if name not in options or options[name] != value}
        self.stored = dict(options)

    def change(self, changes: Mapping[str, Any], request: Any = None) -> None:
        """Set attributes; ValueError, naming rule and source, for what browsers would refuse."""
        self.cookie(request).changed(changes)
        self.new = {**self.new, **changes}

    @property
    def owner(self) -> str | None:
        """The id of the user whom the session belongs to."""
        found: str | None = self.all().get(OWNER)
        return found

    def set_owner(self, user: str) -> None:
        """Seal the id of a user; see http/ownership.py."""
        if self.owner != user:
            self.new = {**self.new, OWNER: user}

    def all(self) -> Mapping[str, Any]:
        """Return all options that differ from the settings, as they are to be stored."""
        return {**self.stored, **self.new} if self.new else self.stored

    def cookie(self, request: Any = None) -> CookieOptions:
        """Return the cookie's options, including those that this response will set."""
        return self._applied(self.all(), request)

    def cookie_at_load(self, request: Any = None) -> CookieOptions:
        """Return the options under which the browser holds the cookie."""
        return self._applied(self._at_load, request)

    def _applied(self, changes: Mapping[str, Any], request: Any) -> CookieOptions:
        configured = session_config(self._session_name).cookie_options(request)
        changes = {name: value for name, value in changes.items() if name in _TYPES}
        if not changes:
            return configured
        try:
            return configured.changed(changes)
        except (TypeError, ValueError):
            return configured  # the settings have changed, and the stored options are inconsistent with them now


_TYPES: Final[dict[str, tuple[Any, str]]] = {
    "path": (str, "a string (RFC 6265, section 4.1.2.4)"),
    "domain": (str | None, "a string, or None for the host alone (RFC 6265, section 4.1.2.3)"),
    "httponly": (bool, "True or False (RFC 6265, section 4.1.2.6)"),
    "secure": (bool, "True or False (RFC 6265, section 4.1.2.5)"),
    "samesite": (str | None, '"Lax", "Strict", "None", or None to leave it out (RFC 6265bis, section 4.1.2.7)'),
    "partitioned": (bool, "True or False (CHIPS)"),
}


def checked(given: CookieAttributes) -> tuple[dict[str, Any], int | None]:
    """Return the given attributes without max_age, and max_age; ValueError if a value has a wrong type.

    TypeError for a name that is no attribute, and ImproperlyConfigured without our middleware: Django's would ignore
    the options.
    """
    if not our_middleware():
        raise ImproperlyConfigured(
            "set_cookie_options() needs django_multisession.middleware.SessionMiddleware in MIDDLEWARE, in the "
            "place of Django's SessionMiddleware, which would ignore it."
        )
    changes: dict[str, Any] = dict(given)
    max_age = changes.pop("max_age", None)
    if "max_age" in given and (type(max_age) is not int or not -1 <= max_age <= LONGEST):
        raise ValueError(
            f"max_age of the cookie is {max_age!r}; it must be whole seconds up to {LONGEST}, 0 for a cookie that "
            "ends with the browser, or -1 to delete (RFC 6265, section 4.1.2.2)."
        )
    for name, value in changes.items():
        if name not in _TYPES:
            raise TypeError(
                f"{name!r} is no attribute of a cookie; there are {', '.join(CookieAttributes.__annotations__)}."
            )
        kind, allowed = _TYPES[name]
        if not isinstance(value, kind):
            raise ValueError(f"{name} of the cookie is {value!r}; it must be {allowed}.")
    if isinstance(changes.get("samesite"), str):
        changes["samesite"] = changes["samesite"].capitalize()
    return changes, max_age


@cached
def our_middleware() -> bool:
    """Tell whether MIDDLEWARE has our SessionMiddleware, or a subclass of it."""
    return any(getattr(import_string(dotted), "applies_cookie_options", False) for dotted in settings.MIDDLEWARE)
