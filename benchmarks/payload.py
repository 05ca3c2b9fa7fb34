"""What the measured sessions hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# A logged-in visitor with a small basket: about 0.5 kB as JSON. Values that are obviously made up.
LOGGED_IN: Mapping[str, Any] = {
    "_auth_user_id": "42",
    "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
    "_auth_user_hash": "0123456789abcdef" * 4,
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
"""The key that a change writes: a number that keeps its length."""
