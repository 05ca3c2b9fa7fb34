"""The counts as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.counts import Counts
from benchmarks.counts.layer import OPERATIONS, Cpu, Memory
from benchmarks.counts.wire import Wire
from benchmarks.counts.writes import PARALLEL, READS, Writes
from benchmarks.sides import OURS
from benchmarks.tables import table


def sections(counts: Counts) -> Iterator[str]:
    """Yield a section for each thing that was counted."""
    if counts.wire:
        yield f"### Commands and bytes\n\n{_wire(counts.wire)}"
    yield f"### CPU of the session layer\n\n{_cpu(counts.cpu)}"
    yield f"### Allocations\n\n{_memory(counts.memory)}"
    yield f"### Writes under SESSION_SAVE_EVERY_REQUEST\n\n{_writes(counts.writes)}"


def _wire(wire: Sequence[Wire]) -> str:
    ours = {(one.engine, one.where, one.operation): one for one in wire if one.side == OURS}
    others = {(one.engine, one.where, one.operation): one for one in wire if one.side != OURS}
    head = ["on", "operation", "ours: commands", "sent", "received", "Django's: commands", "sent", "received"]
    rows = []
    for (engine, where, operation), one in ours.items():
        other = others.get((engine, where, operation))
        on = f"{engine} ({where.partition(' ')[0].rstrip(',')})"
        rows.append([on, operation, *_counted(one), *(_counted(other) if other else ["", "", ""])])
    return table(head, rows)


def _counted(one: Wire) -> list[str]:
    return [str(one.commands), f"{one.sent:,}", f"{one.received:,}"]


def _cpu(cpu: Sequence[Cpu]) -> str:
    found = {(one.operation, one.payload): one for one in cpu}
    payloads = list(dict.fromkeys(one.payload for one in cpu))
    targets = {one.operation: one.target.verdict(one.us.median) for one in cpu if one.target is not None}
    rows = [
        [f"{operation}, µs", *(str(found[operation, payload].us) for payload in payloads), targets.get(operation, "")]
        for operation in OPERATIONS
    ]
    calibration = [f"{found[OPERATIONS[0], payload].json_us:.2f}" for payload in payloads]
    return table(["over a null store", *payloads, "target"], [*rows, ["json.dumps() of it, µs", *calibration, ""]])


def _memory(memory: Sequence[Memory]) -> str:
    found = {(one.operation, one.side): one for one in memory}
    sides = list(dict.fromkeys(one.side for one in memory))
    rows = [
        [f"{operation}, bytes at its peak", *(f"{found[operation, side].peak:,}" for side in sides)]
        for operation in OPERATIONS
    ]
    blocks = [f"{found[OPERATIONS[0], side].blocks:.0f}" for side in sides]
    return table(["0.5kB", *sides], [*rows, ["memory blocks that a loaded session holds", *blocks]])


def _writes(writes: Sequence[Writes]) -> str:
    head = ["side", f"per {READS:,} reads, mean", "most", f"{PARALLEL} in parallel: sent", "written"]
    return table(
        head,
        [[one.side, f"{one.mean:.1f}", str(one.worst), str(one.burst_sent), str(one.burst_done)] for one in writes],
    )
