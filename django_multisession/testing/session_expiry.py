"""How long a session lives, and how often it is written to stay alive."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.test import override_settings
from django.utils import timezone

from ..envelope import LATEST, SERVER_SKEW, SKEW, clamp
from ..sessions.exceptions import SessionEnded
from .visits import HOUR, Visits, in_both_colours

DAY = 24 * HOUR
WEEKS = 14 * DAY
YEAR_2200 = 7_258_118_400  # seconds since 1970
NOT_YET_DUE = WEEKS // 16 - HOUR
"""Seconds after which no session of two weeks is prolonged; see touch_throttle.is_due()."""
DUE = WEEKS // 8 + HOUR
"""Seconds after which each of them is."""

two_weeks = override_settings(SESSION_COOKIE_AGE=WEEKS)


@in_both_colours
class Expiry:
    @pytest.mark.parametrize("past", [-1, -DAY, timedelta(seconds=-1), "datetime"])
    async def test_expiry_in_the_past_ends_the_session(self, visits: Visits, past: Any) -> None:
        key = await visits.store(a=1)
        ours = await visits.load(key)
        await ours.set_expiry(timezone.now() - timedelta(seconds=5) if past == "datetime" else past)
        await ours.save()
        assert await visits.data(key) is None
        assert await visits.raw(key) is None

    async def test_expiry_in_the_past_of_a_new_session_makes_no_record(self, visits: Visits) -> None:
        ours = visits.open()
        await ours.set_expiry(-5)
        await ours.save()
        assert ours.key is not None
        assert await visits.raw(ours.key) is None

    @pytest.mark.parametrize(
        ("expiry", "seconds"),
        [
            pytest.param(0, WEEKS, id="zero"),
            pytest.param(None, WEEKS, id="none"),
            pytest.param(300, 300, id="seconds"),
            pytest.param(timedelta(hours=2), 2 * HOUR, id="timedelta"),
            pytest.param("in 3 hours", 3 * HOUR, id="datetime"),
            pytest.param(31 * DAY, 31 * DAY, id="31-days"),
            pytest.param(400 * DAY, 400 * DAY, id="400-days"),
        ],
    )
    async def test_expiry_is_kept(self, visits: Visits, expiry: Any, seconds: int) -> None:
        with two_weeks:
            ours = visits.open()
            await ours.set("a", 1)
            await ours.set_expiry(timezone.now() + timedelta(hours=3) if expiry == "in 3 hours" else expiry)
            await ours.save()
            await self._assert_lives(visits, ours.key, seconds)
            await visits.change(ours.key, a=2)
            await self._assert_lives(visits, ours.key, seconds)
            again = await visits.load(ours.key)
            assert await again.get("a") == 2
            assert await again.get_expire_at_browser_close() is (expiry == 0)

    async def _assert_lives(self, visits: Visits, key: str, seconds: int) -> None:
        left = (await visits.header(key)).expires_at - visits.open().session.clock()
        assert seconds - 30 < left <= seconds + 1

    async def test_expiry_in_the_year_2200_is_kept(self, visits: Visits) -> None:
        ours = visits.open()
        await ours.set("a", 1)
        await ours.set_expiry(YEAR_2200 - clamp(ours.session.clock()))
        await ours.save()
        assert (await visits.header(ours.key)).expires_at == LATEST
        await visits.change(ours.key, a=2)
        assert (await visits.load(ours.key)).key == ours.key
        visits.plan.calls.clear()
        await (await visits.load(ours.key)).save()
        assert "replace" not in visits.plan.calls

    @pytest.mark.parametrize("seconds", [7200, 40 * DAY])
    async def test_session_cookie_age_of_a_subclass_is_honoured(
        self, visits: Visits, monkeypatch: pytest.MonkeyPatch, seconds: int
    ) -> None:
        monkeypatch.setattr(visits.session_class, "get_session_cookie_age", lambda self: seconds)
        key = await visits.store(a=1)
        await self._assert_lives(visits, key, seconds)
        assert await visits.data(key) == {"a": 1}

    # Clocks.

    @pytest.mark.parametrize("ahead", [-50, 50])
    async def test_clock_of_one_host_50_s_ahead_ends_no_session(
        self, visits: Visits, monkeypatch: pytest.MonkeyPatch, ahead: int
    ) -> None:
        ours = visits.open()
        await ours.set_expiry(30)
        await ours.set("a", 1)
        await ours.save()
        monkeypatch.setattr(visits.session_class, "ahead", ahead)
        assert (await visits.load(ours.key)).key == ours.key
        await visits.change(ours.key, a=2)
        monkeypatch.setattr(visits.session_class, "ahead", 0)
        assert await (await visits.load(ours.key)).get("a") == 2

    async def test_clock_beyond_expiry_and_skew_ends_the_session(
        self, visits: Visits, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with override_settings(SESSION_COOKIE_AGE=HOUR):
            key = await visits.store(a=1)
            local = visits.session_class.records().store.local
            monkeypatch.setattr(visits.session_class, "ahead", HOUR + (SKEW if local else SERVER_SKEW) + 5)
            visit = visits.open(key)
            assert await visit.data() == {}
            assert visit.key is None

    @pytest.mark.parametrize("ahead", [130, 3000])
    async def test_clock_that_is_ahead_ends_no_session_that_the_server_says_is_alive(
        self, visits: Visits, monkeypatch: pytest.MonkeyPatch, ahead: int
    ) -> None:
        if visits.session_class.records().store.local:
            pytest.skip("No server's clock decides.")
        ours = visits.open()
        await ours.set_expiry(30)
        await ours.set("a", 1)
        await ours.save()
        monkeypatch.setattr(visits.session_class, "ahead", ahead)
        assert await visits.data(ours.key) == {"_session_expiry": 30, "a": 1}

    async def test_session_that_expires_between_load_and_save_does_not_come_back(self, visits: Visits) -> None:
        key = await visits.store(a=1)
        ours = await visits.load(key)
        await ours.set("a", 2)
        store = visits.session_class.records().store
        visits.plan.on("replace", before=lambda: store.delete(visits.storage_key(key)))
        with pytest.raises(UpdateError):
            await ours.save()
        assert await visits.raw(key) is None

    # What it costs.

    async def test_each_use_is_one_operation_of_the_store(self, visits: Visits) -> None:
        calls = visits.plan.calls
        ours = visits.open()
        await ours.set("a", 1)
        await ours.save()
        assert calls == ["insert"]
        calls.clear()
        again = await visits.load(ours.key)
        assert calls == ["read"]
        await again.save()
        assert calls == ["read", "exists"]
        calls.clear()
        await again.set("a", 2)
        await again.save()
        assert calls == ["replace"]
        calls.clear()
        await again.cycle_key()
        assert calls == ["insert", "replace"]
        calls.clear()
        await again.flush()
        assert calls == ["delete"]

    async def test_each_use_costs_as_little_where_the_response_commits(self, visits: Visits) -> None:
        key, calls = await visits.store(a=1), visits.plan.calls
        ours = await visits.load(key, commits_with_response=True)
        ours.session.modified = True
        await ours.save()
        assert calls == ["read"]
        calls.clear()
        await ours.cycle_key()
        await ours.set("a", 2)
        await ours.save()
        assert calls == ["insert", "replace"]
        await ours.commit()
        assert calls == ["insert", "replace", "replace"]

    # Touch.

    @two_weeks
    @pytest.mark.parametrize(("later", "calls"), [(0, []), (NOT_YET_DUE, []), (DUE, ["replace"])])
    async def test_touch_comes_when_it_is_due(
        self, visits: Visits, monkeypatch: pytest.MonkeyPatch, later: int, calls: list[str]
    ) -> None:
        key = await visits.store(a=1)
        before = await visits.header(key)
        monkeypatch.setattr(visits.session_class, "ahead", later)
        ours = await visits.load(key, commits_with_response=True)
        visits.plan.calls.clear()
        await ours.save()
        assert visits.plan.calls == calls
        after = await visits.header(key)
        assert (after.expires_at - before.expires_at >= later) is (later == 0 or bool(calls))
        assert after.created_at == before.created_at
        assert await visits.data(key) == {"a": 1}

    @two_weeks
    async def test_touch_is_not_due_where_the_end_is_fixed(
        self, visits: Visits, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ours = visits.open()
        await ours.set_expiry(timezone.now() + timedelta(seconds=WEEKS))
        await ours.save()
        monkeypatch.setattr(visits.session_class, "ahead", DUE)
        again = await visits.load(ours.key)
        visits.plan.calls.clear()
        await again.save()
        assert visits.plan.calls == ["exists"]

    @two_weeks
    async def test_touch_is_due_when_the_policy_became_shorter(self, visits: Visits) -> None:
        key = await visits.store(a=1)
        with override_settings(SESSION_COOKIE_AGE=HOUR):
            await (await visits.load(key)).save()
            await self._assert_lives(visits, key, HOUR)

    @two_weeks
    async def test_touch_that_loses_its_swap_is_dropped(self, visits: Visits, monkeypatch: pytest.MonkeyPatch) -> None:
        key = await visits.store(a=1)
        monkeypatch.setattr(visits.session_class, "ahead", DUE)
        ours = await visits.load(key)
        visits.plan.calls.clear()
        visits.plan.on("replace", before=visits.changing(key, a=2))
        await ours.save()
        assert visits.plan.calls == ["replace", "exists"]
        assert await visits.data(key) == {"a": 2}

    @two_weeks
    async def test_touch_is_one_for_the_requests_of_a_burst(
        self, visits: Visits, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = await visits.store(a=1)
        monkeypatch.setattr(visits.session_class, "ahead", DUE)
        burst = [await visits.load(key, commits_with_response=True) for _ in range(20)]
        visits.plan.calls.clear()
        for ours in burst:
            await ours.save()
        assert visits.plan.calls == ["replace"]

    @two_weeks
    async def test_touch_after_one_that_met_an_outage_is_made(
        self, visits: Visits, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = await visits.store(a=1)
        monkeypatch.setattr(visits.session_class, "ahead", DUE)
        first, second = await visits.load(key), await visits.load(key)
        visits.plan.on("replace", lose="command", retryable=False)
        await first.save()
        visits.plan.calls.clear()
        await second.save()
        assert visits.plan.calls == ["replace"]

    @two_weeks
    @pytest.mark.parametrize("ended", ["flush", "cycle_key"])
    async def test_touch_of_a_session_that_ended_does_not_bring_it_back(
        self, visits: Visits, monkeypatch: pytest.MonkeyPatch, ended: str
    ) -> None:
        key = await visits.store(a=1)
        monkeypatch.setattr(visits.session_class, "ahead", DUE)
        ours = await visits.load(key)
        visits.plan.on("replace", before=getattr(visits.open(key), ended))
        with pytest.raises(SessionEnded):
            await ours.save()
        assert visits.plan.done()
        assert await visits.data(key) is None

    @two_weeks
    @pytest.mark.parametrize("again", [False, True])
    async def test_touch_in_an_outage_is_dropped(
        self, visits: Visits, monkeypatch: pytest.MonkeyPatch, again: bool
    ) -> None:
        key = await visits.store(a=1)
        monkeypatch.setattr(visits.session_class, "ahead", DUE)
        ours = await visits.load(key)
        visits.plan.on("replace", lose="command", retryable=again, times=2)
        await ours.save()
        assert ours.session.outage is None
        assert await visits.data(key) == {"a": 1}
