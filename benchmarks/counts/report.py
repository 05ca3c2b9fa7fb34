"""The counts as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.counts import Counts
from benchmarks.counts.imports import Import
from benchmarks.counts.layer import OPERATIONS, Cpu, Memory
from benchmarks.counts.parts import Part
from benchmarks.counts.waits import Wait
from benchmarks.counts.wire import Wire
from benchmarks.counts.writes import PARALLEL, READS, Writes
from benchmarks.sides import BASIC, OURS
from benchmarks.tables import table


def sections(counts: Counts) -> Iterator[str]:
    """Yield a section for each thing that was counted."""
    if counts.wire:
        yield f"### Commands and bytes\n\n{_wire(counts.wire)}"
    yield f"### CPU of the session layer\n\n{_cpu(counts.cpu)}"
    yield f"### Where it goes\n\n{_parts(counts.parts)}"
    yield f"### What a wait does to it\n\n{_waits(counts.waits)}"
    yield f"### Allocations\n\n{_memory(counts.memory)}"
    yield f"### Writes under SESSION_SAVE_EVERY_REQUEST\n\n{_writes(counts.writes)}"
    yield f"### Import\n\n{_imports(counts.imports)}"


def _wire(wire: Sequence[Wire]) -> str:
    ours = {(one.engine, one.where, one.operation): one for one in wire if one.side == OURS}
    others = {(one.engine, one.where, one.operation): one for one in wire if one.side != OURS}
    head = ["on", "operation", "ours: commands", "sent", "received", "Django's: commands", "sent", "received"]
    rows = []
    for (engine, where, operation), one in ours.items():
        other = others.get((engine, where, operation))
        on = f"{engine} ({where.partition(',')[0]})"
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


def _parts(parts: Sequence[Part]) -> str:
    cells = [[f"{part.us[operation]:.1f}" if operation in part.us else "" for operation in BASIC] for part in parts]
    total = [f"{sum(part.us.get(operation, 0) for part in parts):.1f}" for operation in BASIC]
    named = [[part.name, *row] for part, row in zip(parts, cells, strict=True)]
    return table(["µs at 0.5 kB", *BASIC], [*named, ["all of it", *total]])


def _waits(waits: Sequence[Wait]) -> str:
    rows = [
        [one.operation, f"{one.in_a_row:.1f}", f"{one.after_a_wait:.1f}", f"{one.after_a_wait / one.in_a_row:.1f}"]
        for one in waits
    ]
    return table(["over a null store", "in a row, µs", "after a round trip, µs", "times as long"], rows)


def _memory(memory: Sequence[Memory]) -> str:
    found = {(one.operation, one.side): one for one in memory}
    sides = list(dict.fromkeys(one.side for one in memory))
    rows = [
        [f"{operation}, bytes at its peak", *(f"{found[operation, side].peak:,}" for side in sides)]
        for operation in OPERATIONS
    ]
    blocks = [f"{found[OPERATIONS[0], side].blocks:.0f}" for side in sides]
    return table(["0.5kB", *sides], [*rows, ["memory blocks that a loaded session holds", *blocks]])


def _imports(imports: Sequence[Import]) -> str:
    rows = [[one.engine, f"{one.library:.0f}" if one.library > 1 else "", f"{one.engine_alone:.0f}"] for one in imports]
    return table(["engine", "its client library, ms", "the engine, ms"], rows)


def _writes(writes: Sequence[Writes]) -> str:
    head = ["side", f"per {READS:,} reads, mean", "most", f"{PARALLEL} in parallel: sent", "written"]
    return table(
        head,
        [[one.side, f"{one.mean:.1f}", str(one.worst), str(one.burst_sent), str(one.burst_done)] for one in writes],
    )
