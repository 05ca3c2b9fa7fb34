"""What the engines promise, as the most that a ratio ``ours ÷ other`` may be."""

from __future__ import annotations

from benchmarks.sides import OPERATIONS

ANY_FASTER = 1.0

TARGETS: dict[tuple[str, str, str], float] = {
    ("redis", "load", "bare redis-py"): 1.15,
    **{
        (engine, operation, other): ANY_FASTER
        for engine, other in [
            ("redis", "Django's cache"),
            ("memcached", "Django's cache"),
            ("postgresql", "Django's db"),
        ]
        for operation in OPERATIONS
    },
    ("signed_cookies", "load", "Django's signed_cookies"): ANY_FASTER,
    ("encrypted_cookies", "load", "Django's signed_cookies"): ANY_FASTER,
}
"""By engine, operation and the other side. No target, no promise."""
