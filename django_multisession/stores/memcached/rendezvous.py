"""Which node holds a key: the one with the highest hash of node and key together, for ever.

A dead node keeps its keys. Handing them to its neighbours, as pymemcache's HashClient does, brought
a session back that had logged out meanwhile: its old copy was on the node that returned. Adding a
node to n others moves one key in n + 1, removing one moves its own alone.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

N = TypeVar("N")


def choose(nodes: Sequence[tuple[bytes, N]], key: bytes) -> N:
    """Return the node of a key; ``nodes`` are pairs of a name, equal everywhere, and a node."""
    return max(nodes, key=lambda pair: blake2b(pair[0] + b"\0" + key, digest_size=8).digest())[1]
