"""How large a session may be, and an error that says what takes the room."""

from ..exceptions import SessionTooLarge
from .config import SessionConfig
from .draft import Draft


class Limits:
    """MAX_KEYS of one session name; MAX_SIZE is the records', which know how large a session is once it is sealed."""

    def __init__(self, config: SessionConfig) -> None:
        self._config = config

    def check(self, draft: Draft) -> None:
        """Raise SessionTooLarge if what is about to be written has too many keys."""
        most = self._config.entry.max_keys
        if len(draft.data) > most:
            raise SessionTooLarge(f"Session {self._config.name!r} has {len(draft.data)} keys; MAX_KEYS allows {most}.")

    def explained(self, error: SessionTooLarge, draft: Draft) -> SessionTooLarge:
        """Return what the records say of a session that is too large, with the largest keys' sizes."""
        return SessionTooLarge(f"Session {self._config.name!r} {error}. {self._config.bodies.largest(draft.data)}")
