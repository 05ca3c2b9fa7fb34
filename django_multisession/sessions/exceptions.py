"""What a save can meet, as Django knows it: UpdateError, which its middleware and ours answer with 400."""

from django.contrib.sessions.backends.base import UpdateError

from ..exceptions import MultisessionError


class SessionEnded(MultisessionError, UpdateError):
    """The session was deleted meanwhile: by a logout, a revocation, or the end of its life. It does not come back."""


class SessionConflict(MultisessionError, UpdateError):
    """Another request changed the session in a way that must not be merged with this one's changes."""
