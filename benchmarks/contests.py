"""A contest: an engine of ours on a server, who it is compared with there, and who cannot take part."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from benchmarks.payload import Payload
from benchmarks.sides import OURS, SessionSide, Side
from django_multisession.exceptions import SessionTooLarge

COLOURS = ("sync", "async")
Loop = asyncio.AbstractEventLoop


@dataclass(frozen=True)
class LeftOut:
    """Who was not measured, where, and why."""

    engine: str
    name: str
    reason: str


@dataclass(frozen=True)
class Entrant:
    """How to make a side for a payload, asynchronous with a loop."""

    name: str
    make: Callable[[Payload, Loop | None], Side]
    colours: Sequence[str] = COLOURS
    package: str | None = None
    """What to install for it; a package that is absent or does not run is left out."""
    module: str = ""

    def side(self, payload: Payload, loop: Loop | None) -> Side | str:
        """Return the side, or why there is none."""
        try:
            if self.module:
                import_module(self.module)
            return self.make(payload, loop)
        except SessionTooLarge as error:
            return f"{payload.name}: {error}".partition(", and CHUNKS")[0]
        except Exception as error:
            if not self.package:
                raise
            if isinstance(error, ModuleNotFoundError) and error.name == self.module:
                return f"not installed: pip install {self.package}"
            return f"{self.package} does not run here: {type(error).__name__}: {error}"


@dataclass(frozen=True)
class Lineup:
    """The sides that can take part, ours first, and those that cannot; no sides where ours cannot."""

    sides: Sequence[Side]
    left_out: Sequence[LeftOut]


@dataclass(frozen=True)
class Contest:
    """An engine on a server, by the name that the report shows; the first of its entrants is ours."""

    engine: str
    where: str
    entrants: Sequence[Entrant] = field(repr=False)

    @contextmanager
    def lineup(self, payload: Payload, colour: str = "sync", *, only: str = "") -> Iterator[Lineup]:
        """Make the sides for a payload in one colour, of the entrants that ``only`` begins the name of or ours."""
        sides: list[Side] = []
        left_out: list[LeftOut] = []
        with asyncio.Runner() as runner:
            loop = runner.get_loop() if colour == "async" else None
            try:
                for entrant in self.entrants:
                    if colour not in entrant.colours or not entrant.name.startswith((only, OURS)):
                        continue
                    made = entrant.side(payload, loop)
                    if isinstance(made, Side):
                        sides.append(made)
                    else:
                        left_out.append(LeftOut(self.engine, entrant.name, made))
                yield Lineup(sides if sides and sides[0].name == OURS else [], left_out)
            finally:
                for side in sides:
                    side.close()


def ours(engine: str) -> Entrant:
    """Return an engine of this package."""
    return engine_entrant(OURS, f"django_multisession.engines.{engine}")


def djangos(engine: str) -> Entrant:
    """Return an engine of Django's."""
    return engine_entrant(f"Django's {engine}", f"django.contrib.sessions.backends.{engine}")


def engine_entrant(name: str, engine: str, **more: Any) -> Entrant:
    """Return what measures the SessionStore of an engine's module."""

    def make(payload: Payload, loop: Loop | None) -> Side:
        return SessionSide(name, import_module(engine).SessionStore, payload, loop)

    return Entrant(name, make, **more)
