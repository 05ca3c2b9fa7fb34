"""The collection of a KEY_PREFIX, as each client sees it, and its index."""

from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from pymongo import ReadPreference, WriteConcern

COLLECTION: Final = "multisession"
TTL_INDEX: Final = "multisession_expiry"


class Collection:
    """Reads from the primary, and has the majority confirm each write."""

    def __init__(self, database: str, prefix: str) -> None:
        """Raise ImproperlyConfigured if no collection can have the prefix in its name."""
        if "$" in prefix or "\0" in prefix or len(prefix.encode()) > 100:
            raise ImproperlyConfigured(
                f"MULTISESSION's KEY_PREFIX {prefix!r} becomes part of a collection's name: at most 100 bytes, "
                "without '$'."
            )
        self._database = database
        self.name = f"{COLLECTION}_{prefix}" if prefix else COLLECTION
        # A client and its collection, which it takes 10 µs to make; most processes have one, in threads or in a loop.
        self._latest: tuple[Any, Any] = None, None

    def of(self, client: Any) -> Any:
        """Return a client's collection."""
        known, collection = self._latest
        if client is not known:
            # Another w than ours may be asked for by LOCATION or OPTIONS; inspect() says what that means.
            concern = WriteConcern(**{"w": "majority", **client.write_concern.document})
            collection = client[self._database].get_collection(
                self.name, read_preference=ReadPreference.PRIMARY, write_concern=concern
            )
            self._latest = client, collection
        return collection


def create_index(collection: Any) -> Any:
    """Make the TTL index."""
    return collection.create_index("e", name=TTL_INDEX, expireAfterSeconds=0)
