"""The errors of a save that are Django's UpdateError, which its middleware and ours answer with 400."""

from django.contrib.sessions.backends.base import UpdateError

from ..exceptions import MultisessionError


class SessionEnded(MultisessionError, UpdateError):
    """The session was deleted meanwhile, by a logout or a revocation, or has expired. A save does not bring it back."""


class SessionConflict(MultisessionError, UpdateError):
    """Another request changed the session in a way that must not be merged with this one's changes."""
