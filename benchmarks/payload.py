"""What the measured sessions hold: an empty login, and logged-in visitors with baskets of three sizes."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

AUTH: Mapping[str, Any] = {
    "_auth_user_id": "42",
    "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
    "_auth_user_hash": "0123456789abcdef" * 4,
}
"""What django.contrib.auth.login() puts into a session. Values are obviously made up."""

# A logged-in visitor with a small basket: about 0.5 kB as JSON.
LOGGED_IN: Mapping[str, Any] = {
    **AUTH,
    "_language": "en",
    "theme": {"colour": "dark", "compact": False, "columns": [1, 2, 5]},
    "basket": [
        {"article": 1001, "title": "A kettle, 1.7 litres", "count": 1, "price": "39.90"},
        {"article": 1002, "title": "A set of six glasses", "count": 2, "price": "18.50"},
    ],
    "next": "/shop/checkout/?step=address",
    "visits": 100_000,
}
READ = "_auth_user_id"
"""The key that a load reads."""
CHANGED = "visits"
"""The key that a change writes: a number that keeps its length. An empty login gains it."""


@dataclass(frozen=True)
class Payload:
    """The content of a session, and the name it is asked for and reported by."""

    name: str
    data: Mapping[str, Any]

    @property
    def anonymous(self) -> Mapping[str, Any]:
        """The same visitor's session before the login; never empty, for what is empty is not kept."""
        return {key: value for key, value in self.data.items() if key not in AUTH} or {"next": "/"}


_WORDS = (
    *("kettle", "glass", "lamp", "chair", "linen", "walnut", "copper", "blue", "folding", "garden", "candle"),
    *("basket", "stool", "oak", "ceramic", "bowl", "large", "set", "striped", "towel", "steel", "round", "mirror"),
)


def _with_basket(size: int) -> Mapping[str, Any]:
    """Return LOGGED_IN with so many articles that it takes about ``size`` bytes as JSON."""
    chosen = random.Random(size)  # the same in every run
    basket: list[dict[str, Any]] = list(LOGGED_IN["basket"])
    data = {**LOGGED_IN, "basket": basket}
    while len(json.dumps(data)) < size - 50:
        number = chosen.randrange(1000, 100_000)
        title = " ".join(chosen.sample(_WORDS, 4))
        price = f"{chosen.uniform(1, 400):.2f}"
        basket.append({"article": number, "title": title, "count": chosen.randrange(1, 9), "price": price})
    return data


HALF = Payload("0.5kB", LOGGED_IN)
"""The one that the targets are for."""
PAYLOADS = {
    payload.name: payload
    for payload in (
        Payload("login", AUTH),
        HALF,
        Payload("4kB", _with_basket(4_000)),
        Payload("64kB", _with_basket(64_000)),
    )
}
