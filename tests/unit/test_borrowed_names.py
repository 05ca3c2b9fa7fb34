"""Names of other packages that are not documented, and why each is borrowed: all of them are here.

Each must exist at the installed version; pyproject.toml bounds the versions to those that were tried.
"""

from __future__ import annotations

from importlib import import_module

import pytest

BORROWED = {
    "redis": [
        ("redis.connection:Connection._connect", "makes the socket, which is bounded as a whole"),
        ("redis.connection:SSLConnection._connect", "the same over TLS"),
        ("redis.connection:UnixDomainSocketConnection._connect", "the same over a local socket"),
    ],
}


@pytest.mark.parametrize("name", [name for names in BORROWED.values() for name, _ in names])
def test_borrowed_name_is_there(name: str) -> None:
    module, _, path = name.partition(":")
    found = import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
