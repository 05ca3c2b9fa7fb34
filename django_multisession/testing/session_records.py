"""Records: nobody can read them in the store, and they are refused unless we wrote exactly them, under that key."""

import logging
from collections.abc import Callable

import pytest

from .. import codec
from ..envelope import LENGTH
from ..keys import new_session_key
from .visits import Visit, Visits, in_both_colours

Configure = Callable[..., None]

SECURITY = "django.security.SuspiciousSession"
PRIVATE = "what nobody else may read"
REGIONS = {
    "format": 0,
    "flags": 1,
    "kid": 2,
    "version": 6,
    "created_at": 14,
    "authenticated_at": 18,
    "expires_at": 22,
    "issued_at": 26,
    "body": LENGTH + 1,
    "tag": -1,
}
"""A byte of each part of a payload."""


def flipped(payload: bytes, index: int) -> bytes:
    """Return a payload with one bit of a byte changed."""
    changed = bytearray(payload)
    changed[index] ^= 1
    return bytes(changed)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what went to the log of security."""
    return [record for record in caplog.records if record.name == SECURITY]


async def assert_refused(visits: Visits, key: str, caplog: pytest.LogCaptureFixture) -> None:
    """Show that what is stored under key is no session, and that it and its cookie stay as they are."""
    payload = await visits.payload(key)
    caplog.clear()
    visit = visits.open(key)
    assert await visit.data() == {}
    (warning,) = warnings_in(caplog)
    assert warning.levelno == logging.WARNING
    assert not any(secret in warning.getMessage() for secret in (key, visits.storage_key(key), PRIVATE))
    assert not visit.session.is_empty()
    await visit.save()
    assert visit.key == key
    await _save_as_new(visit)
    assert visit.key not in (None, key)
    assert await visits.data(visit.key) == {"new": True}
    assert await visits.payload(key) == payload


async def _save_as_new(visit: Visit) -> None:
    await visit.set("new", True)
    await visit.save()


@in_both_colours
class ForeignRecords:
    # Keys that nobody was given.

    @pytest.mark.parametrize(
        "key", ["0" * 32, "", "short", "x" * 4000, "ключ" * 8, "a b\r\nset c\0" * 3, "../../etc/passwd"]
    )
    async def test_unknown_key_is_never_adopted(self, visits: Visits, key: str) -> None:
        visit = visits.open(key)
        assert await visit.data() == {}
        assert (visit.key, visit.session.is_empty()) == (None, True)
        assert not await visit.exists(key)
        await _save_as_new(visit)
        assert visit.key not in (None, key)
        assert await visits.raw(key) is None

    async def test_unknown_key_makes_no_record(self, visits: Visits) -> None:
        key = new_session_key()
        visit = visits.open(key)
        await visit.get("a")
        assert visits.plan.calls == ["read"]
        assert await visits.raw(key) is None

    # Records that are not as we wrote them.

    @pytest.mark.parametrize("encrypt", [False, True])
    @pytest.mark.parametrize("region", REGIONS)
    async def test_edited_record_is_refused(
        self, visits: Visits, configure: Configure, caplog: pytest.LogCaptureFixture, region: str, encrypt: bool
    ) -> None:
        configure(ENCRYPT=encrypt)
        key = await visits.store(a=PRIVATE)
        await visits.overwrite(key, flipped(await visits.payload(key), REGIONS[region]))
        await assert_refused(visits, key, caplog)

    @pytest.mark.parametrize("encrypt", [False, True])
    @pytest.mark.parametrize("length", [0, 1, LENGTH - 1, LENGTH, LENGTH + 20, -1])
    async def test_truncated_record_is_refused(
        self, visits: Visits, configure: Configure, caplog: pytest.LogCaptureFixture, length: int, encrypt: bool
    ) -> None:
        configure(ENCRYPT=encrypt)
        key = await visits.store(a=PRIVATE)
        await visits.overwrite(key, (await visits.payload(key))[:length])
        await assert_refused(visits, key, caplog)

    async def test_record_stripped_of_its_flags_is_refused(
        self, visits: Visits, configure: Configure, caplog: pytest.LogCaptureFixture
    ) -> None:
        configure(COMPRESS=0)
        key = await visits.store(a=PRIVATE * 10)
        payload = await visits.payload(key)
        assert payload[1]
        await visits.overwrite(key, payload[:1] + b"\0" + payload[2:])
        await assert_refused(visits, key, caplog)

    @pytest.mark.parametrize("encrypt", [False, True])
    async def test_record_moved_to_another_key_is_refused(
        self, visits: Visits, configure: Configure, caplog: pytest.LogCaptureFixture, encrypt: bool
    ) -> None:
        configure(ENCRYPT=encrypt)
        key, other = await visits.store(a=PRIVATE), await visits.store(b=1)
        await visits.overwrite(other, await visits.payload(key))
        await assert_refused(visits, other, caplog)

    @pytest.mark.parametrize("encrypt", [False, True])
    async def test_record_of_another_session_name_is_refused(
        self, visits: Visits, configure: Configure, caplog: pytest.LogCaptureFixture, encrypt: bool
    ) -> None:
        configure(ENCRYPT=encrypt)
        key, others = await visits.store(a=PRIVATE), visits.named("other")
        assert await others.data(key) is None
        await others.overwrite(key, await visits.payload(key))
        await assert_refused(others, key, caplog)

    @pytest.mark.parametrize("encrypt", [False, True])
    async def test_record_of_another_key_prefix_is_refused(
        self, visits: Visits, configure: Configure, caplog: pytest.LogCaptureFixture, encrypt: bool
    ) -> None:
        configure(ENCRYPT=encrypt, KEY_PREFIX="one")
        key = await visits.store(a=PRIVATE)
        payload = await visits.payload(key)
        configure(ENCRYPT=encrypt, KEY_PREFIX="other")
        assert await visits.data(key) is None
        await visits.overwrite(key, payload)
        await assert_refused(visits, key, caplog)

    @pytest.mark.parametrize("encrypt", [False, True])
    async def test_record_of_another_secret_is_refused(
        self, visits: Visits, configure: Configure, caplog: pytest.LogCaptureFixture, encrypt: bool
    ) -> None:
        configure(ENCRYPT=encrypt, KEYS=["fake secret 1"])
        key = await visits.store(a=PRIVATE)
        configure(ENCRYPT=encrypt, KEYS=["fake secret 2"])
        await assert_refused(visits, key, caplog)

    async def test_record_under_the_kid_of_another_secret_is_refused(
        self, visits: Visits, configure: Configure, caplog: pytest.LogCaptureFixture
    ) -> None:
        configure(KEYS=["fake secret 1"])
        key = await visits.store(a=PRIVATE)
        payload = await visits.payload(key)
        configure(KEYS=["fake secret 2"])
        kid = visits.session_class.config().keyring.current.kid
        await visits.overwrite(key, payload[:2] + kid + payload[6:])
        await assert_refused(visits, key, caplog)

    async def test_record_that_inflates_beyond_the_cap_is_refused(
        self,
        visits: Visits,
        configure: Configure,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        configure(COMPRESS=0)
        key = await visits.store(a=PRIVATE * 100)
        monkeypatch.setattr(codec.RecordCodec, "max_inflated", 1000)
        await assert_refused(visits, key, caplog)
        assert "inflates to more than 1000 bytes" in caplog.text

    async def test_unreadable_record_in_the_middle_of_a_save_stays_and_is_logged(
        self, visits: Visits, caplog: pytest.LogCaptureFixture
    ) -> None:
        key = await visits.store(a=PRIVATE)
        ours = await visits.load(key)
        await ours.set("a", 1)
        damaged = flipped(flipped(await visits.payload(key), REGIONS["body"]), REGIONS["version"])
        visits.plan.on("replace", before=lambda: visits.overwrite(key, damaged))
        with pytest.raises(Exception, match="changed meanwhile by what we cannot read"):
            await ours.save()
        assert await visits.payload(key) == damaged
        (warning,) = warnings_in(caplog)
        assert "unreadable: forged" in warning.getMessage()

    async def test_unreadable_record_under_a_save_that_replaces_all_is_logged(
        self, visits: Visits, caplog: pytest.LogCaptureFixture
    ) -> None:
        key = await visits.store(a=PRIVATE)
        damaged = flipped(await visits.payload(key), REGIONS["body"])
        await visits.overwrite(key, damaged)
        visit = visits.open(key)
        visit.session.clear()
        await _save_as_new(visit)
        assert visit.key != key
        assert await visits.payload(key) == damaged
        assert warnings_in(caplog)
