"""The options of a store, and how long it may wait for its server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What a store is made from; all of it comes from an entry of the MULTISESSION setting.

    ``timeout`` is the whole budget of a request in seconds, of which one answer may take half. ``connect_limit`` is
    CONNECT_TIMEOUT, None for half of the budget. ``prefix`` is KEY_PREFIX, for servers that others use too; a storage
    key already depends on it.
    """

    location: str | tuple[str, ...] | None = field(default=None, repr=False)
    prefix: str = ""
    timeout: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    connect_limit: float | None = None

    @property
    def connect_timeout(self) -> float:
        """How many seconds connecting may take."""
        return self.timeout / 2 if self.connect_limit is None else self.connect_limit

    @property
    def read_timeout(self) -> float:
        """How many seconds one answer may take, connecting included."""
        return self.timeout / 2
