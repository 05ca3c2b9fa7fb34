"""What is counted and not timed: commands and bytes, CPU and memory of the session layer, writes that a read causes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.counts.imports import Import, imports
from benchmarks.counts.layer import Cpu, Memory, cpu, memory
from benchmarks.counts.parts import Part, parts
from benchmarks.counts.waits import Wait, waits
from benchmarks.counts.wire import Wire, wire
from benchmarks.counts.writes import Writes, writes
from benchmarks.engines import ENGINES
from benchmarks.payload import HALF, Payload
from benchmarks.targets import Verdict


@dataclass(frozen=True)
class Counts:
    """All of it, for a report."""

    wire: Sequence[Wire]
    cpu: Sequence[Cpu]
    parts: Sequence[Part]
    waits: Sequence[Wait]
    memory: Sequence[Memory]
    writes: Sequence[Writes]
    imports: Sequence[Import]

    def verdicts(self) -> Iterator[Verdict]:
        """Yield how the counts stand to their targets."""
        for one in self.cpu:
            yield from one.verdicts()
        for side in self.writes:
            yield from side.verdicts()

    def as_json(self) -> dict[str, Any]:
        """Return the counts for --json."""
        return asdict(self)


def run(engines: Sequence[str], payloads: Sequence[Payload], *, quick: bool, log: Callable[[str], None]) -> Counts:
    """Count on the servers of these engines, as far as they can be started."""
    wires: list[Wire] = []
    for name in engines:
        if ENGINES[name].servers and not ENGINES[name].missing():
            log(f"counting what {name} sends")
            wires += wire(ENGINES[name])
    log("counting what the session layer takes")
    return Counts(
        wire=wires,
        cpu=[one for payload in payloads for one in cpu(payload, rounds=5 if quick else 40)],
        parts=parts(HALF),
        waits=list(waits(HALF)),
        memory=list(memory(HALF)),
        writes=list(writes()),
        imports=imports([name for name in engines if not ENGINES[name].missing()], tries=2 if quick else 5),
    )
