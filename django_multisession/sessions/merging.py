"""Compare and merge sessions: merge.py with the settings and the serializer of a session name."""

import logging
from collections.abc import Mapping
from typing import Any

from ..equality import same
from ..merge import MergeConflict, Rule, append, merge
from .body import Body
from .config import SessionConfig
from .draft import Draft
from .exceptions import SessionConflict
from .loaded import Loaded

logger = logging.getLogger("django_multisession")


class Merger:
    """Compares and merges the sessions of one name."""

    def __init__(self, config: SessionConfig) -> None:
        self._config = config
        self._bodies = config.bodies
        self._name = config.name

    def is_unchanged(self, loaded: Loaded, plaintext: bytes) -> bool:
        """Tell whether different bytes hold the same data: a serializer may write one value differently each time."""
        before, now = self._bodies.parse(loaded.plaintext), self._bodies.parse(plaintext)
        return before.options == now.options and self._same(before.data, now.data)

    def merge(self, base: Loaded, stored: Loaded, draft: Draft, *, rotates: bool = False) -> Body:
        """Apply a draft's changes since ``base`` to what is stored; SessionConflict if that is not allowed.

        See merge() for ``rotates``.
        """
        entry, theirs = self._config.entry, self._bodies.parse(stored.plaintext)
        try:
            merged = merge(
                self._bodies.parse(base.plaintext).data,
                theirs.data,
                # Dumped and parsed, so as it will be read: JSON turns tuples into lists, and integer keys into strings.
                self._bodies.parse(self._bodies.dump(draft.options, draft.data)).data,
                rules=self.rules(draft),
                guard=entry.guard,
                read=draft.was_read,
                same=self._same,
                rotates=rotates,
            )
        except MergeConflict as conflict:
            raise SessionConflict(f"Session {self._name!r} cannot be merged: {conflict}") from conflict
        options = {**theirs.options, **draft.new_options}
        if entry.on_conflict == "overwrite":
            # Except for guarded keys: a permission that was taken away meanwhile must not come back.
            kept = {key: merged.data[key] for key in entry.guard if key in merged.data}
            return Body(options, {key: value for key, value in draft.data.items() if key not in entry.guard} | kept)
        if merged.overwritten:
            logger.info(
                "Session %r: this save replaced %d of the keys that another changed.",
                self._name,
                len(merged.overwritten),
            )
        return Body(options, merged.data)

    def rules(self, draft: Draft) -> Mapping[str, Rule]:
        """Return the merge rules for a draft, by session key."""
        return {**dict.fromkeys(draft.flash_keys, append), **self._config.merge_rules}

    def _same(self, one: Any, other: Any) -> bool:
        return same(one, other, self._bodies.dumps)
