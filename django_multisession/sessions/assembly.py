"""Assemble the repository of a session name from its settings: store, codec and merger, once until they change."""

import copyreg
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from ..moving.composition import into_cookies, places_of
from ..moving.into_cookies import IntoCookies
from ..moving.source import Source
from ..runtime import Event, Kept, cached, on
from ..stores.base import Store, StoreOptions
from .config import session_config
from .records import Records
from .repository import Repository

_opened: Kept[list[Store | Source]] = Kept(list, Event(0))


@cached
def repository_of(store_class: Callable[[StoreOptions], Store], name: str) -> Repository:
    """Return the repository of a session name on a class of stores; ImproperlyConfigured if its settings are wrong."""
    config = session_config(name)
    entry = config.entry
    options = StoreOptions(entry.location, entry.key_prefix, entry.timeout, entry.options, entry.connect_timeout)
    try:
        store = store_class(options)
    except ImproperlyConfigured as error:
        raise ImproperlyConfigured(f"Session {name!r}: {error}") from error
    _opened.value.append(store)
    places = places_of(store, config)
    if places is None:
        return Repository(Records(store, config.record_codec, config.storage_keys, entry.max_size), config)
    _opened.value.append(places.source)
    return Repository(places, config)


@cached
def former_of(session: type[Any]) -> IntoCookies | None:
    """Return the FALLBACK of a cookie session's class; None if it has none. See moving/into_cookies.py."""
    return into_cookies(session.config())


# A copy or pickle of a session has its data only, and uses the repository of the process that it is in.
copyreg.pickle(Repository, lambda found: (repository_of, (type(found.records.store), found.name)))


@on(Event.SETTINGS | Event.TEST)
def _close() -> None:
    while _opened.value:
        _opened.value.pop().close()
