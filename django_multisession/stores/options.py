"""What a store is made from, and how long it may wait for its server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What a store is made from; all of it comes from an entry of the MULTISESSION setting.

    ``timeout`` is the whole of a request's budget in seconds, of which one answer may take half, and connecting as much
    as ``connect_timeout`` says (half if that is None). ``prefix`` is KEY_PREFIX, for servers whose keys are shared with
    others; the storage key contains it already.
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
