"""When a run of the benchmarks fails: in full at a target that is missed, in a quick one at what is twice off."""

from __future__ import annotations

import pytest

from benchmarks.targets import Target, Verdict


def verdict(value: float, **more: float) -> Verdict:
    return Verdict("redis load against bare redis-py", value, Target(1.05, **more))


@pytest.mark.parametrize(
    ("value", "missed", "far_off"), [(1.05, False, False), (1.06, True, False), (2.11, True, True)]
)
def test_figure_is_missed_above_its_target_and_far_off_at_twice_that(value: float, missed: bool, far_off: bool) -> None:
    found = verdict(value)
    assert (found.misses, found.is_far_off(2)) == (missed, far_off)


@pytest.mark.parametrize(("value", "far_off"), [(3.9, False), (4.1, True)])
def test_what_was_reached_moves_the_bound_of_a_quick_run_and_not_the_target(value: float, far_off: bool) -> None:
    found = verdict(value, reached=2.0)
    assert (found.misses, found.is_far_off(2)) == (True, far_off)


def test_stretch_goal_is_shown_and_fails_nothing() -> None:
    found = verdict(1.0, stretch=0.9)
    assert not found.misses
    assert found.target.verdict(found.value) == "≤ 1.05 met; stretch ≤ 0.90 MISSED"
