"""The package's exceptions. Those that also are Django's UpdateError are in sessions/exceptions.py.

None of them holds a session key, a payload or a password.
"""


class MultisessionError(Exception):
    """Base of every error that this package raises at run time."""


class StoreUnavailable(MultisessionError):
    """The store is down or does not answer, or its circuit breaker is open. Whether the session exists is not known.

    ``location`` names the store, without its password, and ``reason`` says what happened. ``retryable`` tells whether
    the same operation may be tried once more, immediately: true after a lost connection; false after a timeout, while
    the breaker is open, or after a second lost connection.
    """

    def __init__(self, location: str, reason: str, retryable: bool = False) -> None:
        super().__init__(location, reason, retryable)  # so that it survives pickling
        self.location = location
        self.reason = reason
        self.retryable = retryable

    def __str__(self) -> str:
        return f"The session store at {self.location} is unavailable: {self.reason}"


class StoreRefused(StoreUnavailable):
    """The server answered, and refused this one call: it is full, read-only, locked, or does not allow it.

    Other calls may well succeed, so this does not count for the circuit breaker, and the call is not tried again.
    """

    def __str__(self) -> str:
        return f"The session store at {self.location} refused: {self.reason}"


class BudgetSpent(StoreUnavailable):
    """The request has waited for its stores for as long as TIMEOUT allows. That is not evidence against this server."""

    def __str__(self) -> str:
        return f"No time is left to ask the session store at {self.location}: {self.reason}"


class QueueFull(BudgetSpent):
    """Other callers held all connections for as long as the request could wait. Allow more connections, or ask less."""


class SessionTooLarge(MultisessionError, ValueError):
    """The session does not fit into its store or cookie. What was stored before is unchanged."""


class SessionNotSerializable(MultisessionError, TypeError):
    """A value of the session cannot be serialised. What was stored before is unchanged."""


class InvalidRecord(MultisessionError):
    """A record or cookie is damaged, forged, copied from elsewhere, or made with a key that is no longer configured."""
