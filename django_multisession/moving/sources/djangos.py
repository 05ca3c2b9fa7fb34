"""The base of the sources for Django's engines, and for those of other packages that work like them."""

import pickletools
import re
import time
from collections.abc import Mapping
from datetime import datetime
from importlib import import_module
from typing import Any, Final

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ...conf import Entry, Fallback
from ...exceptions import InvalidRecord
from ..source import Source

_KEY: Final = re.compile(r"[a-z0-9]{8,40}", re.ASCII)
"""Django's session keys (django.contrib.sessions.backends.base): 8 characters at least, 40 at most as in its table."""


class DjangosEngine:
    """The engine that FALLBACK names, with Django's settings for it."""

    def __init__(self, fallback: Fallback) -> None:
        entry = fallback.entry
        self.path = str(entry.engine)
        _refuse_other_keys(entry)
        try:
            self.store_class: type[SessionBase] = import_module(self.path).SessionStore
        except (ImportError, AttributeError) as error:
            raise ImproperlyConfigured(f"ENGINE is {self.path!r}: {error}.") from error
        self.serializer: type[Any] = import_string(entry.serializer or settings.SESSION_SERIALIZER)

    def store(self, key: str, data: Mapping[str, Any] | None = None) -> Any:
        """Return a session of the engine; with data, it has these and loads nothing."""
        store: Any = self.store_class(key)
        store.serializer = self.serializer
        if data is not None:
            store.clear()
            store.update(data)
        return store

    @property
    def cookie_age(self) -> int:
        """Seconds that a session without set_expiry() lives."""
        return int(self.store_class().get_session_cookie_age())

    @property
    def pickles(self) -> bool:
        """Whether its serializer loads pickles."""
        return loads_pickles(self.serializer())


class DjangosSource(Source):
    """A source for an engine of Django's kind."""

    def __init__(self, fallback: Fallback) -> None:
        super().__init__(fallback)
        self.engine = DjangosEngine(fallback)
        if self.pickles and not fallback.allow_pickle:
            raise ImproperlyConfigured(
                f"{self.engine.path} reads pickles. Loading a pickle runs the code that it names: "
                "whoever can write there, or knows what signs it, can take over this process, as so far. "
                "Set ALLOW_PICKLE to True to go on with that until UNTIL."
            )

    @property
    def pickles(self) -> bool:
        """See Source.pickles."""
        return self.engine.pickles

    def accepts(self, key: str) -> bool:
        """See Source.accepts()."""
        return _KEY.fullmatch(key) is not None


def _refuse_other_keys(entry: Entry) -> None:
    given = {
        "KEY_PREFIX": entry.key_prefix,
        "ENCRYPT": entry.encrypt,
        "COMPRESS": entry.compress,
        "KEYS": entry.keys,
        "OPTIONS": entry.options,
    }
    for key, value in given.items():
        if value:
            raise ImproperlyConfigured(
                f"{key} is for engines of django_multisession; {entry.engine} has Django's settings. Remove it."
            )


class _Any:
    """A class whose instances survive pickling, but no serializer of plain data."""


def loads_pickles(serializer: Any) -> bool:
    """Tell whether a serializer reads pickles, even compressed or sealed ones, or any format that restores any object.

    It is tried out: it must read what it has just written.
    """
    return _is_pickle(serializer.dumps({"a": 1})) or _brings_objects_back(serializer)


def _is_pickle(dumped: Any) -> bool:
    try:
        return bool([*pickletools.genops(dumped)])
    except (ValueError, TypeError, LookupError):
        return False


def _brings_objects_back(serializer: Any) -> bool:
    try:
        return isinstance(serializer.loads(serializer.dumps({"a": _Any()}))["a"], _Any)
    except Exception:  # noqa: BLE001 - a serializer is the project's own code, and one of plain data must fail here
        return False


def as_session(data: Any) -> dict[str, Any]:
    """Return deserialised data if they can be a session; InvalidRecord otherwise."""
    if not isinstance(data, dict):
        raise InvalidRecord("it is no dictionary")
    return data


def seconds_left(data: Mapping[str, Any], written_at: float, cookie_age: int) -> int:
    """Return the whole seconds that a session has left; ``written_at`` is in seconds since 1970.

    By Django's rules for set_expiry(): a number counts from the last write, a date is the end; without either,
    ``cookie_age`` counts from the last write.
    """
    expiry = data.get("_session_expiry")
    try:
        if isinstance(expiry, str):
            expiry = datetime.fromisoformat(expiry)
        ends_at = expiry.timestamp() if isinstance(expiry, datetime) else written_at + (expiry or cookie_age)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidRecord("its _session_expiry is no time") from error
    return int(ends_at - time.time())
