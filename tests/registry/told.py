"""What the registry's signals have told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django_multisession.registry import signals

SIGNALS = {name: getattr(signals, f"session_{name}") for name in ("started", "rotated", "ended", "rejected")}


@dataclass
class Told:
    """The signals that have come, in order: the name of each without "session_", and what it was sent with."""

    all: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    on: dict[str, Callable[[dict[str, Any]], object]] = field(default_factory=dict)
    """What else is to be done as a signal comes."""

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.all]

    def reasons(self, name: str = "ended") -> list[str]:
        return [arguments["reason"] for each, arguments in self.all if each == name]

    def receiver(self, name: str) -> Callable[..., None]:
        def receive(**arguments: Any) -> None:
            self.all.append((name, arguments))
            if name in self.on:
                self.on[name](arguments)

        return receive
