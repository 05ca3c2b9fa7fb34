"""The draft of a save: what a session wants to have stored."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..reprs import shown_as
from .body import NONE, Body
from .cookie_changes import OWNER
from .loaded import has_same_identity
from .tracking import TrackedDict


@shown_as(lambda draft: f"{len(draft.data)} keys")
class Draft(NamedTuple):
    """The data of a session and what belongs to it.

    ``age`` is how many seconds the session lives; ``age_of`` computes that for any data, since a merge may bring
    another set_expiry(). ``now`` is the time, in seconds since 1970. ``options`` are the options of its cookie that
    differ from the settings, and ``new_options`` are those of them that this request has set. ``user_before`` is the
    user of the session as it was loaded. ``flash_keys`` hold flashes, which are merged by appending unless MERGE has a
    rule. ``is_registered`` tells that the registry has a row of the login, or will have it before the key is sent.
    """

    data: dict[str, Any]
    age: int
    age_of: Callable[[Mapping[str, Any]], int]
    now: float
    options: Mapping[str, Any] = NONE
    new_options: Mapping[str, Any] = NONE
    user_before: Any = None
    flash_keys: frozenset[str] = frozenset()
    is_registered: bool = False

    def with_data(self, data: dict[str, Any]) -> "Draft":
        """Return a draft with other data; it is written even if that has expired, and so lives for 1 second or more."""
        return self._replace(data=data, age=max(self.age_of(data), 1))

    def on(self, options: Mapping[str, Any]) -> "Draft":
        """Return a draft with other options, to which the new ones are added."""
        return self._replace(options={**options, **self.new_options})

    @property
    def was_read(self) -> frozenset[str]:
        """The keys that the request may have relied on; empty where reads are not tracked."""
        return frozenset(self.data.read) if isinstance(self.data, TrackedDict) else frozenset()

    def may_continue(self, found: Body, base: Body | None) -> bool:
        """Tell whether the draft, which began as ``base``, may be saved into the session to which a pointer leads.

        It may if both have the same login; or if both are one visitor's named session, which this request and another
        one have given to the same user. A ``base`` that was already the user's is no proof: whoever copied its key has
        that, too.
        """
        if has_same_identity(found.data, self.data):
            return True
        owner = self.options.get(OWNER)
        return (
            owner is not None and owner == found.options.get(OWNER) and base is not None and OWNER not in base.options
        )
