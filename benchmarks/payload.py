"""The contents of the measured sessions: a logged-in visitor with a small basket, and one with a large basket."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

AUTH: Mapping[str, Any] = {
    "_auth_user_id": "42",
    "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
    "_auth_user_hash": "0123456789abcdef" * 4,
}
"""What ``django.contrib.auth.login()`` puts into a session."""

READ = "_auth_user_id"
"""The key that a load reads."""
CHANGED = "visits"
"""The key that a change writes: a number that keeps its length."""

_SMALL: Mapping[str, Any] = {
    **AUTH,
    "_language": "en",
    "theme": {"colour": "dark", "compact": False, "columns": [1, 2, 5]},
    "basket": [
        {"article": 1001, "title": "A kettle, 1.7 litres", "count": 1, "price": "39.90"},
        {"article": 1002, "title": "A set of six glasses", "count": 2, "price": "18.50"},
    ],
    "next": "/shop/checkout/?step=address",
    CHANGED: 100_000,
}
_WORDS = (
    *("kettle", "glass", "lamp", "chair", "linen", "walnut", "copper", "blue", "folding", "garden", "candle"),
    *("basket", "stool", "oak", "ceramic", "bowl", "large", "set", "striped", "towel", "steel", "round", "mirror"),
)


def _with_basket(size: int) -> Mapping[str, Any]:
    """Return a session with so many articles that it takes about ``size`` bytes as JSON."""
    chosen = random.Random(size)  # the same in every run
    basket: list[dict[str, Any]] = list(_SMALL["basket"])
    data = {**_SMALL, "basket": basket}
    taken = len(json.dumps(data))
    while taken < size:
        title = " ".join(chosen.sample(_WORDS, 4))
        price = f"{chosen.uniform(1, 400):.2f}"
        article = {"article": chosen.randrange(1000, 100_000), "title": title, "count": 1, "price": price}
        basket.append(article)
        taken += len(json.dumps(article)) + 2
    return data


SMALL, LARGE = "0.5 kB", "64 kB"
PAYLOADS = {SMALL: _SMALL, LARGE: _with_basket(64_000)}
"""By the size that the tables name."""
