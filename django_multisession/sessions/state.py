"""What a session knows of its record, and what it does in place of a save."""

import enum


class State(enum.Enum):
    """What a session knows of its record."""

    NEW = "nothing: it has not been looked at, or there is none"
    LOADED = "as it was read or written"
    CLEARED = "nothing of it counts: a save replaces all"
    UNREADABLE = "it is there, and we cannot read it"
    ANONYMOUS = "the store is away, and this page is made without it"
    GONE = "there was none under the key of the cookie"
    MOVED = "it goes on under another key"


class Next(enum.Enum):
    """What is to be done in place of a save."""

    CREATE = "make a record under a new key"
    DELETE = "delete the record: it is to end now"
    NOTHING = "leave everything as it is"
