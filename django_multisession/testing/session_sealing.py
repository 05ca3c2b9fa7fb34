"""Payloads: sealed and compressed as the settings say, and with which secret."""

import zlib
from collections.abc import Callable

import pytest
from django.test import override_settings

from ..envelope import FLAGS, LENGTH, MOVED
from ..keys import Keyring
from .session_records import PRIVATE, assert_refused
from .visits import Visits, in_both_colours

Configure = Callable[..., None]


@in_both_colours
class SealedRecords:
    @pytest.mark.parametrize("compress", [None, 0, 100_000])
    @pytest.mark.parametrize("encrypt", [False, True])
    async def test_record_comes_back_as_it_was(
        self, visits: Visits, configure: Configure, encrypt: bool, compress: int | None
    ) -> None:
        configure(ENCRYPT=encrypt, COMPRESS=compress)
        data = {"text": "ÄÖÜ ☃ 𝄞", "number": 1.5, "nothing": None, "nested": {"list": [1, [2, {"3": True}]]}}
        key = await visits.store(**data)
        assert await visits.data(key) == data
        await visits.change(key, more=PRIVATE * 50)
        assert await visits.data(key) == {**data, "more": PRIVATE * 50}
        small = len(await visits.payload(key)) < 50 * len(PRIVATE)
        assert small == (compress == 0)

    @pytest.mark.parametrize("encrypt", [False, True])
    async def test_record_is_readable_at_rest_unless_encrypted(
        self, visits: Visits, configure: Configure, encrypt: bool
    ) -> None:
        configure(ENCRYPT=encrypt)
        key = await visits.store(secret_name=PRIVATE)
        payload = await visits.payload(key)
        assert (PRIVATE.encode() in payload) is not encrypt
        assert (b"secret_name" in payload) is not encrypt
        assert key.encode() not in payload

    async def test_encrypted_record_looks_different_each_time(self, visits: Visits, configure: Configure) -> None:
        configure(ENCRYPT=True)
        bodies = set()
        for _ in range(5):
            key = await visits.store(a=PRIVATE)
            bodies.add((await visits.payload(key))[LENGTH:])
        assert len({body[:16] for body in bodies}) == 5

    @pytest.mark.parametrize("encrypted", [False, True])
    async def test_record_of_the_other_form_is_read_and_replaced_at_the_next_write(
        self, visits: Visits, configure: Configure, encrypted: bool
    ) -> None:
        configure(ENCRYPT=encrypted)
        key = await visits.store(a=PRIVATE)
        configure(ENCRYPT=not encrypted)
        assert await visits.data(key) == {"a": PRIVATE}
        await visits.change(key, b=1)
        assert (PRIVATE.encode() in await visits.payload(key)) is encrypted
        configure(ENCRYPT=encrypted)
        assert await visits.data(key) == {"a": PRIVATE, "b": 1}

    @pytest.mark.parametrize("encrypted", [None, False, True])
    async def test_pointer_is_sealed_whatever_the_settings_say(
        self, visits: Visits, configure: Configure, encrypted: bool | None
    ) -> None:
        configure(ENCRYPT=encrypted)
        key = await visits.store(a=1)
        ours = await visits.load(key)
        await ours.cycle_key()
        payload = await visits.payload(key)
        assert payload[FLAGS] == MOVED
        assert ours.key.encode() not in payload

    async def test_compressed_record_is_zlib(self, visits: Visits, configure: Configure) -> None:
        configure(COMPRESS=0, ENCRYPT=False)
        key = await visits.store(a=PRIVATE * 50)
        assert PRIVATE.encode() in zlib.decompressobj().decompress((await visits.payload(key))[LENGTH:])

    # Rotation of secrets.

    @pytest.mark.parametrize("encrypt", [False, True])
    async def test_old_key_still_reads_and_is_replaced_at_the_next_write(
        self, visits: Visits, configure: Configure, encrypt: bool
    ) -> None:
        configure(ENCRYPT=encrypt, KEYS=["fake old"])
        key = await visits.store(a=1)
        configure(ENCRYPT=encrypt, KEYS=["fake new", "fake old"])
        assert await visits.data(key) == {"a": 1}
        assert (await visits.header(key)).kid == _kid("fake old")
        await visits.change(key, b=2)
        assert (await visits.header(key)).kid == _kid("fake new")
        configure(ENCRYPT=encrypt, KEYS=["fake new"])
        assert await visits.data(key) == {"a": 1, "b": 2}

    async def test_secret_key_fallbacks_still_read(self, visits: Visits) -> None:
        older, old, new = "fake older", "fake old", "fake new"
        with override_settings(SECRET_KEY=old, SECRET_KEY_FALLBACKS=[]):
            key = await visits.store(a=1)
        with override_settings(SECRET_KEY=new, SECRET_KEY_FALLBACKS=[older, old]):
            assert await visits.data(key) == {"a": 1}
            await visits.change(key, b=2)
        with override_settings(SECRET_KEY=new, SECRET_KEY_FALLBACKS=[]):
            assert await visits.data(key) == {"a": 1, "b": 2}

    async def test_rolling_change_of_secrets_ends_no_session(
        self, visits: Visits, configure: Configure, caplog: pytest.LogCaptureFixture
    ) -> None:
        old, new = ["fake old"], ["fake new", "fake old"]
        configure(KEYS=old)
        key = await visits.store(user=1)
        configure(KEYS=new)
        await visits.change(key, seen_by="new")
        configure(KEYS=old)  # a process that was not restarted yet
        await assert_refused(visits, key, caplog)
        configure(KEYS=new)
        assert await visits.data(key) == {"user": 1, "seen_by": "new"}

    @pytest.mark.parametrize("operation", ["flush", "cycle_key"])
    async def test_session_of_an_unknown_secret_can_be_left(
        self, visits: Visits, configure: Configure, operation: str
    ) -> None:
        configure(KEYS=["fake old"])
        key = await visits.store(user=1)
        configure(KEYS=["fake new"])
        ours = await visits.load(key)
        if operation == "cycle_key":
            await ours.set("user", 2)
        await getattr(ours, operation)()
        configure(KEYS=["fake old"])
        if operation == "flush":
            assert ours.session.is_empty()
            assert await visits.data(key) is None
        else:
            assert ours.key != key
            assert await visits.data(key) == {"user": 1}


def _kid(secret: str) -> bytes:
    # Of the secret alone: neither prefix nor session name are in it.
    return Keyring([secret], "", "default").current.kid
