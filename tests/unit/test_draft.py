"""What a session wants to have stored."""

from __future__ import annotations

import pytest

from django_multisession.sessions.draft import Draft


@pytest.mark.parametrize(("age", "lives"), [(-5, 1), (0, 1), (1, 1), (60, 60)])
def test_draft_of_merged_data_lives_for_a_second_at_least(age: int, lives: int) -> None:
    draft = Draft({"a": 1}, 60, lambda data: age, 0.0)
    merged = draft.with_data({"b": 2})
    assert (merged.data, merged.age) == ({"b": 2}, lives)


def test_draft_adds_its_new_options_to_others() -> None:
    draft = Draft({}, 60, len, 0.0, {"path": "/a"}, {"path": "/a"})
    assert draft.on({"path": "/b", "secure": True}).options == {"path": "/a", "secure": True}
