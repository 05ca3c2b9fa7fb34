"""The states of a session, and what it may have to do instead of a save."""

import enum


class State(enum.Enum):
    """What a session knows about its record."""

    NEW = "nothing: it has not been loaded, or there is no key"
    LOADED = "it was read or written"
    CLEARED = "its content does not count: a save replaces everything"
    UNREADABLE = "it is there, but cannot be read"
    ANONYMOUS = "the store does not answer, and the page is made without the session"
    GONE = "there is none under the key of the cookie"
    MOVED = "the session continues under another key"


class Next(enum.Enum):
    """What to do instead of a save."""

    CREATE = "create a record under a new key"
    DELETE = "delete the record: its life is over"
    NOTHING = "leave everything as it is"
