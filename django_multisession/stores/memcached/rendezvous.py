"""Which node has a key: the one with the highest hash of node and key together (rendezvous hashing).

A dead node keeps its keys. pymemcache's HashClient gives them to its neighbours instead: that brought back a session
that had logged out meanwhile, since its old copy was on the node that returned. Adding a node to n others moves one key
in n + 1, and removing a node moves its own keys only.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

N = TypeVar("N")


def choose(nodes: Sequence[tuple[bytes, N]], key: bytes) -> N:
    """Return the node of a key; ``nodes`` are pairs of a name, the same in every process, and the node."""
    return max(nodes, key=lambda pair: blake2b(pair[0] + b"\0" + key, digest_size=8).digest())[1]
