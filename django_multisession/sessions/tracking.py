"""A dictionary that remembers which of its keys were read, for ON_CONFLICT "strict" (decisions.md, D4)."""

from collections.abc import Iterator
from typing import Any


class TrackedDict(dict[str, Any]):
    """A session's data; ``read`` holds the keys whose value, or absence, the request may have relied on."""

    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__(data)
        self.read: set[str] = set()

    def plain(self) -> dict[str, Any]:
        """Return the same data as a plain dictionary, without counting that as a read."""
        return dict(zip(super().keys(), super().values(), strict=True))

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.read.add(str(key))
        return super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        self.read.add(key)
        return super().pop(key, *default)

    def __iter__(self) -> Iterator[str]:
        self._read_all()
        return super().__iter__()

    def keys(self) -> Any:
        self._read_all()
        return super().keys()

    def values(self) -> Any:
        self._read_all()
        return super().values()

    def items(self) -> Any:
        self._read_all()
        return super().items()

    def _read_all(self) -> None:
        self.read.update(super().keys())
