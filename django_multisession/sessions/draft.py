"""What a session wants to have stored."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..envelope import REGISTERED, Header
from .body import NONE
from .tracking import TrackedDict


@dataclass(slots=True)
class Draft:
    """The data of a session and what belongs to it.

    ``options`` are the attributes of its cookie that differ from the settings, and ``new_options`` those of them that
    this request has set. ``user_before`` is the user of the session as it was loaded. ``flash_keys`` are appended to,
    whatever MERGE says. ``age`` is how many seconds the session lives; ``age_of`` tells that of any data, as a merge
    may have brought another set_expiry(). ``now`` is the time, in seconds since 1970. ``all_options`` are the options
    as they are to be stored. ``is_registered`` tells that the registry has, or will have before anybody learns the key,
    a row of the login.
    """

    data: dict[str, Any] = field(repr=False)
    age_of: Callable[[Mapping[str, Any]], int]
    now: float
    options: Mapping[str, Any] = field(default_factory=lambda: NONE, repr=False)
    new_options: Mapping[str, Any] = field(default_factory=lambda: NONE, repr=False)
    user_before: Any = None
    flash_keys: frozenset[str] = frozenset()
    is_registered: bool = False
    age: int = field(init=False)
    all_options: Mapping[str, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.age = self.age_of(self.data)
        self.all_options = {**self.options, **self.new_options} if self.new_options else self.options

    @property
    def was_read(self) -> frozenset[str]:
        """The keys that the request may have relied on, where that is tracked."""
        return frozenset(self.data.read) if isinstance(self.data, TrackedDict) else frozenset()

    def header(self, age: int, previous: Header | None, *, is_new: bool = False) -> Header:
        """Return the header of a session that lives for age seconds and continues a previous one, or its key is new."""
        created_at = authenticated_at = now = self.now
        user = self.data.get("_auth_user_id")
        flags = REGISTERED if self.is_registered and user is not None else 0
        if user is None:
            authenticated_at = 0
        if previous is not None:
            created_at = previous.created_at
            if user is not None and user == self.user_before:
                authenticated_at = previous.authenticated_at
                flags |= 0 if is_new else previous.flags & REGISTERED
        return Header.new(os.urandom(8), created_at, authenticated_at, int(now) + age, now, flags=flags)
