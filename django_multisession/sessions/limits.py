"""How large a session may be, and an error that says what takes the room."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..exceptions import SessionTooLarge
from .config import SessionConfig
from .draft import Draft


class Limits:
    """MAX_KEYS of one session name; MAX_SIZE is the records', which know how large a session is once it is sealed."""

    def __init__(self, config: SessionConfig) -> None:
        self._config = config

    @contextmanager
    def of(self, draft: Draft) -> Iterator[None]:
        """Check what is about to be written; a SessionTooLarge of the block leaves with the largest keys' sizes."""
        name, most = self._config.name, self._config.entry.max_keys
        if len(draft.data) > most:
            raise SessionTooLarge(f"Session {name!r} has {len(draft.data)} keys; MAX_KEYS allows {most}.")
        try:
            yield
        except SessionTooLarge as error:
            raise SessionTooLarge(f"Session {name!r} {error}. {self._config.bodies.largest(draft.data)}") from error
