"""What counts as a change, whatever bytes the serializer writes."""

import os
import pickle
import time
from collections.abc import Callable
from typing import Any

import pytest

from .visits import Visits, in_both_colours


class Pickled:
    """A serializer of a project's own, which walks a set in its own order."""

    def dumps(self, data: Any) -> bytes:
        """Return the data as bytes."""
        return pickle.dumps(data)

    def loads(self, stored: bytes) -> Any:
        """Return what dumps() was given."""
        return pickle.loads(stored)  # noqa: S301 - what these tests have written


class WithNonce(Pickled):
    """Writes the same data differently each time."""

    def dumps(self, data: Any) -> bytes:
        return os.urandom(8) + super().dumps(data)

    def loads(self, stored: bytes) -> Any:
        return super().loads(stored[8:])


class WithTime(WithNonce):
    """As signing with a time stamp does."""

    def dumps(self, data: Any) -> bytes:
        return time.time_ns().to_bytes(8, "big") + Pickled.dumps(self, data)


SERIALIZERS = [f"{__name__}.{serializer.__name__}" for serializer in (Pickled, WithNonce, WithTime)]
ALIKE: list[Any] = [1, 1.0, True, float("nan"), {"b": 1, "a": [2]}, {"red", "green", "blue"}, frozenset({1, "a"})]
UNLIKE: list[tuple[Any, Any]] = [(1, 1.0), (1, True), (0.0, -0.0), ({"a": 1, "b": 2}, {"b": 2, "a": 1}), ([1], (1,))]


@in_both_colours
class Equality:
    @pytest.mark.parametrize("serializer", SERIALIZERS)
    async def test_unchanged_session_is_not_written(
        self, visits: Visits, configure: Callable[..., None], serializer: str
    ) -> None:
        configure(SERIALIZER=serializer)
        key = await visits.store(kept=ALIKE)
        before = await visits.payload(key)
        ours = await visits.load(key)
        await ours.set("kept", (await ours.data())["kept"])
        await ours.save()
        assert await visits.payload(key) == before

    @pytest.mark.parametrize("serializer", SERIALIZERS)
    async def test_key_that_we_left_alone_keeps_their_change(
        self, visits: Visits, configure: Callable[..., None], serializer: str
    ) -> None:
        configure(SERIALIZER=serializer)
        key = await visits.store(kept={"red", "green"}, theirs=[1])
        ours = await visits.load(key)
        await ours.set("ours", 1)
        await visits.change(key, theirs=[1, 2])
        await ours.save()
        assert await visits.data(key) == {"kept": {"red", "green"}, "theirs": [1, 2], "ours": 1}

    @pytest.mark.parametrize("serializer", SERIALIZERS)
    @pytest.mark.parametrize(("before", "after"), UNLIKE)
    async def test_value_that_is_equal_and_not_the_same_is_written(
        self, visits: Visits, configure: Callable[..., None], serializer: str, before: Any, after: Any
    ) -> None:
        configure(SERIALIZER=serializer)
        key = await visits.store(value=before)
        await visits.change(key, value=after)
        found = await visits.data(key)
        assert repr(found) == repr({"value": after})

    @pytest.mark.parametrize("serializer", SERIALIZERS)
    async def test_value_that_is_changed_in_place_is_written(
        self, visits: Visits, configure: Callable[..., None], serializer: str
    ) -> None:
        configure(SERIALIZER=serializer)
        key = await visits.store(deep={"list": [1]})
        ours = await visits.load(key)
        (await ours.data())["deep"]["list"].append(2)
        await ours.save()
        assert await visits.data(key) == {"deep": {"list": [1, 2]}}
