"""One tree of exceptions; those that are Django's UpdateError are in sessions/exceptions.py.

None of them holds a session key, a payload or a password.
"""


class MultisessionError(Exception):
    """Base of every error that this package raises at run time."""


class StoreUnavailable(MultisessionError):
    """The store is down, hung, or was refused by the circuit breaker. It says nothing of the session.

    ``location`` names the store, without its password, and ``reason`` says what happened. ``retryable`` tells whether
    the same operation may be asked for once more at once: true after a connection that was lost, false after a timeout,
    an open breaker, or a second loss.
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

    Other calls may well succeed, so the circuit breaker takes no notice, and nothing is tried again.
    """

    def __str__(self) -> str:
        return f"The session store at {self.location} refused: {self.reason}"


class BudgetSpent(StoreUnavailable):
    """The request has waited for its stores as long as it may (TIMEOUT). It says nothing of the server."""

    def __str__(self) -> str:
        return f"No time is left to ask the session store at {self.location}: {self.reason}"


class QueueFull(BudgetSpent):
    """Others had all connections to the server for as long as the request may wait. Allow more, or ask less."""


class SessionTooLarge(MultisessionError, ValueError):
    """The session does not fit into its store or cookie. What was stored before is unchanged."""


class SessionNotSerializable(MultisessionError, TypeError):
    """A value of the session cannot be serialised. What was stored before is unchanged."""


class InvalidRecord(MultisessionError):
    """A record or cookie is damaged, forged, moved, or of a key that is no longer configured."""
