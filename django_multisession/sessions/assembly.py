"""From the settings of a session name to its repository: store, codec and merger, put together once."""

import copyreg
from collections.abc import Callable

from django.core.exceptions import ImproperlyConfigured

from ..moving.composition import places_of
from ..runtime import Event, Kept, cached, on
from ..stores.base import Store, StoreOptions
from .config import session_config
from .records import Records
from .repository import Repository

_stores: Kept[list[Store]] = Kept(list, Event(0))


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
    _stores.value.append(store)
    records = places_of(store, config) or Records(store, config.record_codec, config.storage_keys, entry.max_size)
    return Repository(records, config)


# Who copies or pickles a session means its data, and goes on with the repository of his process.
copyreg.pickle(Repository, lambda found: (repository_of, (type(found.records.store), found.name)))


@on(Event.SETTINGS | Event.TEST)
def _close_stores() -> None:
    while _stores.value:
        _stores.value.pop().close()
