"""Which commands a server does not know, found by asking it.

Servers that compare a value (Redis 8.4: ``SET … IFEQ``, ``DELEX``; Valkey 8.1: ``SET … IFEQ``, 9: ``DELIFEQ``) save a
script. A version says nothing of managed services and forks, so the command is tried; a server that refuses it is not
asked again for MEMORY seconds. It may be another one by then: a failover leads from one that knows it to one that
does not, and back.
"""

from typing import Any, Final

import redis

from ...runtime import monotonic

MEMORY: Final = 10.0
"""Seconds for which a server is taken to lack what it lacked."""


class Abilities:
    """What each server (by any hashable name) was seen to lack."""

    def __init__(self) -> None:
        self._lacking: dict[tuple[object, str], float] = {}

    def has(self, server: object, command: str) -> bool:
        """Tell whether a command is worth a try."""
        since = self._lacking.get((server, command))
        return since is None or monotonic() - since > MEMORY

    def refused(self, server: object, command: str, answer: Any) -> bool:
        """Tell whether an answer says that the server lacks a command, or forbids it; remember that."""
        if not isinstance(answer, redis.ResponseError) or not _says_unknown(answer):
            return False
        self._lacking[server, command] = monotonic()
        return True


def _says_unknown(refusal: redis.ResponseError) -> bool:
    text = str(refusal)
    return refusal.status_code == "NOPERM" or "unknown command" in text or "syntax error" in text
