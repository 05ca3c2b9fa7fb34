"""What the command line asks for."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.contests import COLOURS
from benchmarks.engines import ENGINES
from benchmarks.payload import HALF, PAYLOADS, Payload
from benchmarks.sides import BASIC, OPERATIONS

PARTS = ("sessions", "counts", "http")


@dataclass(frozen=True)
class Pass:
    """Operations that a contest's sides are measured in, with one payload and in one colour."""

    colour: str
    payload: Payload
    operations: Sequence[str]

    def promised(self, operation: str) -> bool:
        """Tell whether targets are for an operation of this pass."""
        return (self.colour, self.payload) == ("sync", HALF) and operation in BASIC


@dataclass(frozen=True)
class Options:
    """One run."""

    engines: Sequence[str]
    parts: Sequence[str]
    passes: Sequence[Pass]
    quick: bool
    json: Path | None
    plot: Path | None
    docs: Path | None

    @property
    def payloads(self) -> Sequence[Payload]:
        """The payloads of all passes, by their size."""
        return [payload for payload in PAYLOADS.values() if any(one.payload is payload for one in self.passes)]


def options(arguments: Sequence[str] | None) -> Options:
    """Return what the arguments ask for; those of this process if None."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    choice = (asked.op, asked.payload, asked.colour)
    if asked.docs is not None and choice != (None, None, None):
        parser.error("--docs chooses operations, payloads and colours itself.")
    if (asked.plot or asked.docs) and find_spec("matplotlib") is None:
        parser.error("pictures need matplotlib; it is in the dependency group benchmarks.")
    return Options(
        engines=asked.engine,
        parts=asked.part or (PARTS if asked.docs else PARTS[:2]),
        passes=_of_docs() if asked.docs else _chosen(*choice),
        quick=asked.quick,
        json=asked.json,
        plot=asked.plot,
        docs=asked.docs,
    )


def _chosen(
    operations: Sequence[str] | None, payloads: Sequence[str] | None, colours: Sequence[str] | None
) -> list[Pass]:
    return [
        Pass(colour, PAYLOADS[payload], operations or BASIC)
        for colour in colours or COLOURS[:1]
        for payload in payloads or [HALF.name]
    ]


def _of_docs() -> list[Pass]:
    others = [payload for payload in PAYLOADS.values() if payload is not HALF]
    return [
        Pass("sync", HALF, list(OPERATIONS)),
        *(Pass("sync", payload, BASIC) for payload in others),
        Pass("async", HALF, list(OPERATIONS)),
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time the engines against Django's and against the bare client, on servers "
        "that are started for it. Ratios are ours ÷ theirs: below 1, ours is faster.",
        epilog="Operations: " + "; ".join(f"{name}: {what}" for name, what in OPERATIONS.items()) + ".",
    )
    parser.add_argument("--engine", type=_names(ENGINES), default=list(ENGINES), metavar="NAME,…")
    parser.add_argument("--part", type=_names(PARTS), metavar="NAME,…", help="by default sessions,counts")
    parser.add_argument("--op", type=_names(OPERATIONS), metavar="NAME,…", help="by default load,change,create")
    parser.add_argument("--payload", type=_names(PAYLOADS), metavar="NAME,…", help=f"by default {HALF.name}")
    parser.add_argument("--colour", type=_names(COLOURS), metavar="NAME,…", help="by default sync")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds; fails late")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="also draw them, as SVG")
    parser.add_argument(
        "--docs", type=Path, metavar="DIR", help="measure all, and write benchmarks.md and its pictures into DIR"
    )
    return parser


class _names:  # noqa: N801 - a converter, used like a function
    """Convert "a,b" to a list, each of them one of the allowed names."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = list(allowed)

    def __call__(self, text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in self._allowed:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(self._allowed)}")
        return names
