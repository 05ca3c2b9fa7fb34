"""The collection for a KEY_PREFIX, and its TTL index."""

from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from pymongo import ReadPreference, WriteConcern

COLLECTION: Final = "multisession"
TTL_INDEX: Final = "multisession_expiry"


class Collection:
    """The collection of a store: reads go to the primary, and a majority confirms each write."""

    def __init__(self, database: str, prefix: str) -> None:
        """Raise ImproperlyConfigured if no collection can have the prefix in its name."""
        if "$" in prefix or "\0" in prefix or len(prefix.encode()) > 100:
            raise ImproperlyConfigured(
                f"MULTISESSION's KEY_PREFIX {prefix!r} becomes part of a collection's name: at most 100 bytes, "
                "without '$'."
            )
        self._database = database
        self.name = f"{COLLECTION}_{prefix}" if prefix else COLLECTION
        # The last client and its collection: making one takes 10 µs, and most processes have just one client.
        self._latest: tuple[Any, Any] = None, None

    def of(self, client: Any) -> Any:
        """Return a client's collection."""
        known, collection = self._latest
        if client is not known:
            # LOCATION or OPTIONS may ask for another w than ours; inspect() says what that means.
            concern = WriteConcern(**{"w": "majority", **client.write_concern.document})
            collection = client[self._database].get_collection(
                self.name, read_preference=ReadPreference.PRIMARY, write_concern=concern
            )
            self._latest = client, collection
        return collection


def create_index(collection: Any) -> Any:
    """Create the TTL index, unless it is there."""
    return collection.create_index("e", name=TTL_INDEX, expireAfterSeconds=0)
