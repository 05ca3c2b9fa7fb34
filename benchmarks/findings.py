"""All that a run found out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.contests import LeftOut
from benchmarks.counts import Counts
from benchmarks.results import Result
from benchmarks.targets import Target, Verdict


@dataclass
class Findings:
    """Filled part by part; what was not asked for stays empty. ``http`` holds benchmarks.http's HttpResult."""

    environment: dict[str, str]
    results: list[Result] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    counts: Counts | None = None
    http: list[Any] = field(default_factory=list)

    def verdicts(self) -> Iterator[Verdict]:
        """Yield how everything stands to its target."""
        for result in self.results:
            yield from result.verdicts()
        if self.counts is not None:
            yield from self.counts.verdicts()
        for one in self.http:
            if one.target is not None and one.ratio is not None:
                what = f"{one.engine}, {one.server}, {one.page}, {one.connections} connections, its requests/s ÷ ours"
                yield Verdict(what, 1 / one.ratio.median, Target(1 / one.target))

    def as_json(self) -> str:
        """Return everything for programs; times in microseconds, ratios as ours ÷ other."""
        document: dict[str, Any] = {
            "environment": self.environment,
            "results": [result.as_json() for result in self.results],
            "left_out": [asdict(one) for one in self.left_out],
        }
        if self.counts is not None:
            document["counts"] = self.counts.as_json()
        if self.http:
            from benchmarks import http

            document["http"] = http.as_json(self.http)
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
