"""From the settings of a session name to its repository: store, codec and merger, put together once."""

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
    """Return the repository of a session name on a kind of store; ImproperlyConfigured if its settings are wrong."""
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
    """Return where the sessions of a cookie engine come from, None if from nowhere; see moving/into_cookies.py."""
    return into_cookies(session.config())


# A copy of a session, or a pickle, is of its data: it goes on with the repository of the process that it is in.
copyreg.pickle(Repository, lambda found: (repository_of, (type(found.records.store), found.name)))


@on(Event.SETTINGS | Event.TEST)
def _close() -> None:
    while _opened.value:
        _opened.value.pop().close()
