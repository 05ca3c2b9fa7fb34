"""The contract of a store (stores/base.py) as tests: every promise of its docstrings, in both colours."""

import random
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import pytest

from ..bridge import run_sync
from ..codec import Header
from ..envelope import ENDED, LATEST, MOVED
from ..exceptions import SessionTooLarge
from ..stores.base import Insertion, Record, Store
from .drive import PATIENCE, Drive, driving

HOUR = 3600
DAY = 24 * HOUR
YEAR_2200 = 7_258_118_400  # seconds since 1970, past every 32-bit clock
RACERS = 8
ROUNDS = 10
SIZES = [0, 1, 64 * 1024, 900 * 1000]
LARGEST_TRIED = 64 * 1024 * 1024
"""Stores with a larger bound, in bytes, are not tested up to it."""


def make_key() -> str:
    """Return a storage key that no other test uses."""
    return secrets.token_hex(20)


def make_payload(body: bytes = b"", version: bytes | None = None, flags: int = 0) -> tuple[bytes, bytes]:
    """Return a payload around body, and the version that it carries (random unless given)."""
    version = secrets.token_bytes(8) if version is None else version
    header = Header.new(version=version, created_at=0, authenticated_at=0, expires_at=LATEST, issued_at=0)
    return header.pack(b"kid!", flags) + body, version


def make_body(size: int) -> bytes:
    """Return so many bytes: of all values, hardly compressible, and the same each time."""
    return random.Random(size).randbytes(size)  # noqa: S311 - nothing is kept secret by them


class StoreContract:
    """Subclass it in a test module, name the subclass Test…, and override the fixture ``store``.

    Every test runs in both colours. Tests use keys of their own, so the server may hold other records.
    """

    @pytest.fixture
    def store(self) -> Store:
        """Return the store under test, made anew for each test."""
        raise NotImplementedError("Override the fixture store() to return your store.")

    def expire(self, store: Store, key: str) -> None:
        """Let the record under key, which was written with a ttl of one second, expire.

        Waits, unless overridden by something faster such as an update of the record's expiry.
        """
        self.wait_for_expiry(store, key)

    def wait_for_expiry(self, store: Store, key: str) -> None:
        """Wait until the server's own clock has ended the record; fail after five seconds."""
        deadline = time.monotonic() + 5
        while run_sync(store.exists([key])):
            assert time.monotonic() < deadline, "A ttl of 1 s has not ended the record after 5 s."
            time.sleep(0.05)

    def leave_thread(self) -> None:
        """Do what a thread must do before it ends, such as closing its database connections."""

    @pytest.fixture(params=["sync", "async"])
    def drive(self, request: pytest.FixtureRequest, store: Store) -> Iterator[Drive]:
        """Run the store's operations in one colour; at the end the loop and the store are closed."""
        with driving(request.param, self.leave_thread) as drive:
            yield drive
        store.close()

    @pytest.fixture
    def put(self, store: Store, drive: Drive) -> Callable[..., tuple[str, Record]]:
        """Return a function that inserts a record and returns its key and the record."""

        def put(body: bytes = b"body", ttl: int = HOUR) -> tuple[str, Record]:
            key = make_key()
            payload, version = make_payload(body)
            inserted = drive(store.insert(key, payload, ttl, version))
            assert inserted is not None
            return key, Record(payload, inserted)

        return put

    # read

    def test_read_absent_is_none(self, store: Store, drive: Drive) -> None:
        assert drive(store.read(make_key())) is None

    @pytest.mark.parametrize("size", SIZES)
    def test_read_returns_the_bytes_that_were_inserted(self, store: Store, drive: Drive, put: Any, size: int) -> None:
        key, record = put(make_body(size))
        assert _payload(store, drive, key) == record.payload

    def test_read_expired_is_none(self, store: Store, drive: Drive, put: Any) -> None:
        key, _ = put(ttl=1)
        self.expire(store, key)
        assert drive(store.read(key)) is None

    def test_read_leaves_other_keys_apart(self, store: Store, drive: Drive, put: Any) -> None:
        pairs = [put(b"body %d" % number) for number in range(5)]
        for key, record in pairs:
            assert _payload(store, drive, key) == record.payload

    # insert

    def test_insert_returns_a_token_to_go_on_from(self, store: Store, drive: Drive, put: Any) -> None:
        key, record = put()
        payload, version = make_payload(b"new")
        assert drive(store.replace(key, payload, HOUR, record.token, version)) is not None

    def test_insert_taken_key_is_none_and_changes_nothing(self, store: Store, drive: Drive, put: Any) -> None:
        key, record = put(b"first")
        payload, version = make_payload(b"second")
        assert drive(store.insert(key, payload, HOUR, version)) is None
        assert _payload(store, drive, key) == record.payload

    def test_insert_expired_record_does_not_take_its_key(self, store: Store, drive: Drive, put: Any) -> None:
        key, _ = put(b"expired", ttl=1)
        self.expire(store, key)
        payload, version = make_payload(b"new")
        inserted = drive(store.insert(key, payload, HOUR, version))
        assert inserted is not None
        assert _payload(store, drive, key) == payload

    def test_insert_deleted_record_does_not_take_its_key(self, store: Store, drive: Drive, put: Any) -> None:
        key, _ = put()
        drive(store.delete(key))
        payload, version = make_payload(b"new")
        assert drive(store.insert(key, payload, HOUR, version)) is not None

    def test_insert_race_has_one_winner(self, store: Store, drive: Drive) -> None:
        for _ in range(ROUNDS):
            key = make_key()
            _only_winner_is_stored(store, drive, key, _inserts(store, key))

    def test_insert_race_for_an_expired_record_has_one_winner(self, store: Store, drive: Drive, put: Any) -> None:
        key, _ = put(b"expired", ttl=1)
        self.expire(store, key)
        _only_winner_is_stored(store, drive, key, _inserts(store, key))

    # replace

    @pytest.mark.parametrize("size", SIZES)
    def test_replace_at_the_expected_token_stores_the_bytes(
        self, store: Store, drive: Drive, put: Any, size: int
    ) -> None:
        key, record = put(b"old")
        payload, version = make_payload(make_body(size))
        replaced = drive(store.replace(key, payload, HOUR, record.token, version))
        assert replaced is not None
        assert _payload(store, drive, key) == payload

    def test_replace_goes_on_from_the_token_that_it_returned(self, store: Store, drive: Drive, put: Any) -> None:
        key, record = put()
        current: bytes | None = record.token
        for number in range(3):
            assert current is not None
            payload, version = make_payload(b"body %d" % number)
            current = drive(store.replace(key, payload, HOUR, current, version))
        assert current is not None

    def test_replace_goes_on_from_the_token_that_was_read(self, store: Store, drive: Drive, put: Any) -> None:
        key, _ = put()
        found = drive(store.read(key))
        assert found is not None
        payload, version = make_payload(b"new")
        assert drive(store.replace(key, payload, HOUR, found.token, version)) is not None

    def test_replace_stale_token_is_none_and_changes_nothing(self, store: Store, drive: Drive, put: Any) -> None:
        key, first = put(b"first")
        payload, version = make_payload(b"second")
        assert drive(store.replace(key, payload, HOUR, first.token, version)) is not None
        late, late_version = make_payload(b"late")
        assert drive(store.replace(key, late, HOUR, first.token, late_version)) is None
        assert _payload(store, drive, key) == payload

    def test_replace_absent_never_creates(self, store: Store, drive: Drive) -> None:
        key = make_key()
        payload, version = make_payload()
        assert drive(store.replace(key, payload, HOUR, secrets.token_bytes(8), version)) is None
        assert drive(store.replace(key, payload, HOUR, version, version)) is None
        assert drive(store.read(key)) is None

    def test_replace_deleted_never_brings_it_back(self, store: Store, drive: Drive, put: Any) -> None:
        key, record = put()
        drive(store.delete(key))
        payload, version = make_payload()
        assert drive(store.replace(key, payload, HOUR, record.token, version)) is None
        assert drive(store.read(key)) is None

    def test_replace_expired_never_brings_it_back(self, store: Store, drive: Drive, put: Any) -> None:
        key, record = put(ttl=1)
        self.expire(store, key)
        payload, version = make_payload()
        assert drive(store.replace(key, payload, HOUR, record.token, version)) is None
        assert drive(store.read(key)) is None

    def test_replace_race_has_one_winner_a_token(self, store: Store, drive: Drive, put: Any) -> None:
        key, record = put()
        for _ in range(ROUNDS):
            rivals = _replaces(store, key, record.token)
            record = _only_winner_is_stored(store, drive, key, rivals)

    def test_replace_race_against_delete_never_brings_it_back(self, store: Store, drive: Drive, put: Any) -> None:
        for _ in range(ROUNDS):
            key, record = put()

            async def delete(key: str = key) -> bytes | None:
                return b"deleted" if await store.delete(key) else None

            results = drive.together([*_replaces(store, key, record.token), delete])
            assert results[-1] == b"deleted"
            assert drive(store.read(key)) is None

    # ttl

    def test_ttl_ends_by_the_servers_clock(self, store: Store, drive: Drive, put: Any) -> None:
        started = time.monotonic()
        short, _ = put(ttl=1)
        shortened, long_record = put(ttl=HOUR)
        lengthened, short_record = put(ttl=2)
        payload, version = make_payload()
        swap = store.replace(shortened, payload, 1, long_record.token, version)
        assert drive(swap) is not None
        swap = store.replace(lengthened, payload, HOUR, short_record.token, version)
        assert drive(swap) is not None
        for key in (short, shortened):
            self.wait_for_expiry(store, key)
            assert drive(store.read(key)) is None
        time.sleep(max(0.0, started + 2.2 - time.monotonic()))
        assert drive(store.read(lengthened)) is not None

    @pytest.mark.parametrize(
        "ttl",
        [
            pytest.param(30 * DAY, id="30-days"),
            pytest.param(30 * DAY + 1, id="30-days-and-1-s"),
            pytest.param(31 * DAY, id="31-days"),
            pytest.param(None, id="year-2200"),
        ],
    )
    def test_ttl_of_long_sessions_is_kept(self, store: Store, drive: Drive, put: Any, ttl: int | None) -> None:
        seconds = YEAR_2200 - int(time.time()) if ttl is None else ttl
        key, record = put(ttl=seconds)
        assert _payload(store, drive, key) == record.payload
        payload, version = make_payload(b"new")
        replaced = drive(store.replace(key, payload, seconds, record.token, version))
        assert replaced is not None
        assert _payload(store, drive, key) == payload
        assert drive(store.exists([key])) == {key}

    # insert_many

    def test_insert_many_creates_what_is_not_taken(self, store: Store, drive: Drive, put: Any) -> None:
        taken, record = put()
        expired, _ = put(ttl=1)
        self.expire(store, expired)
        keys = [make_key(), taken, expired, *(make_key() for _ in range(20))]
        payloads = [make_payload(b"new") for _ in keys]
        made = [Insertion(key, payload, HOUR, version) for key, (payload, version) in zip(keys, payloads, strict=True)]
        tokens = drive(store.insert_many(made))
        assert [token is None for token in tokens] == [key == taken for key in keys]
        assert _payload(store, drive, taken) == record.payload
        payload, version = make_payload(b"newer")
        for insertion, token in zip(made, tokens, strict=True):
            if token is not None:
                assert _payload(store, drive, insertion.key) == insertion.payload
                assert drive(store.replace(insertion.key, payload, HOUR, token, version)) is not None

    def test_insert_many_of_nothing_does_nothing(self, store: Store, drive: Drive) -> None:
        assert drive(store.insert_many([])) == []

    # delete, delete_many, exists

    def test_delete_returns_whether_there_was_one(self, store: Store, drive: Drive, put: Any) -> None:
        key, _ = put()
        other, other_record = put()
        assert drive(store.delete(key)) is True
        assert drive(store.read(key)) is None
        assert drive(store.delete(key)) is False
        assert drive(store.delete(make_key())) is False
        assert _payload(store, drive, other) == other_record.payload

    def test_delete_expired_finds_none(self, store: Store, drive: Drive, put: Any) -> None:
        key, record = put(ttl=1)
        self.expire(store, key)
        assert drive(store.delete(key, record.token)) is False
        assert drive(store.delete(key)) is False

    def test_delete_at_the_expected_token_deletes(self, store: Store, drive: Drive, put: Any) -> None:
        key, record = put()
        assert drive(store.delete(key, record.token)) is True
        assert drive(store.read(key)) is None
        assert drive(store.delete(key, record.token)) is False

    def test_delete_at_a_stale_token_changes_nothing(self, store: Store, drive: Drive, put: Any) -> None:
        key, record = put()
        payload, version = make_payload(b"new")
        replaced = drive(store.replace(key, payload, HOUR, record.token, version))
        assert drive(store.delete(key, record.token)) is False
        assert _payload(store, drive, key) == payload
        assert drive(store.delete(key, replaced)) is True

    def test_delete_many_returns_how_many_there_were(self, store: Store, drive: Drive, put: Any) -> None:
        keys = [put()[0] for _ in range(3)]
        other, record = put()
        assert drive(store.delete_many(key for key in [*keys, make_key()])) == 3
        assert drive(store.exists([*keys, other])) == {other}
        assert _payload(store, drive, other) == record.payload

    def test_exists_returns_those_that_are_live(self, store: Store, drive: Drive, put: Any) -> None:
        present = {put()[0] for _ in range(3)}
        expired, _ = put(ttl=1)
        self.expire(store, expired)
        asked = [*present, expired, make_key()]
        assert drive(store.exists(key for key in asked)) == present

    def test_delete_many_and_exists_take_thousands_of_keys(self, store: Store, drive: Drive, put: Any) -> None:
        key, _ = put()
        keys = [*(make_key() for _ in range(3000)), key]
        assert drive(store.exists(keys)) == {key}
        assert drive(store.delete_many(keys)) == 1

    def test_delete_many_and_exists_of_no_keys_are_empty(self, store: Store, drive: Drive) -> None:
        assert drive(store.exists([])) == set()
        assert drive(store.delete_many([])) == 0

    # end: what is no session, but takes its key

    @pytest.mark.parametrize("size", [20, 64 * 1024])
    def test_end_takes_the_place_of_whatever_is_there(self, store: Store, drive: Drive, put: Any, size: int) -> None:
        key, record = put(make_body(size))
        expired, _ = put(ttl=1)
        self.expire(store, expired)
        tombstone, _ = make_payload(b"over", flags=ENDED)
        for ended in (key, expired, make_key()):
            drive(store.end(ended, tombstone, HOUR))
            drive(store.end(ended, tombstone, HOUR))
            found = drive(store.read(ended))
            assert found is not None
            assert found.token  # never empty
            assert found.payload == tombstone
            payload, version = make_payload(b"late")
            assert drive(store.insert(ended, payload, HOUR, version)) is None
            assert _payload(store, drive, ended) == tombstone
        assert drive(store.replace(key, payload, HOUR, record.token, version)) is None
        assert drive(store.delete(key, record.token)) is False
        assert _payload(store, drive, key) == tombstone

    def test_end_expires(self, store: Store, drive: Drive, put: Any) -> None:
        key, _ = put()
        tombstone, _ = make_payload(flags=ENDED)
        drive(store.end(key, tombstone, 1))
        self.expire(store, key)
        deadline = time.monotonic() + 5
        while drive(store.read(key)) is not None:
            assert time.monotonic() < deadline, "A ttl of 1 s has not ended the tombstone after 5 s."
            time.sleep(0.05)

    @pytest.mark.parametrize("size", [0, 64 * 1024])
    def test_what_is_no_session_is_absent_to_exists_and_scan(
        self, store: Store, drive: Drive, put: Any, size: int
    ) -> None:
        live, _ = put(make_body(size))
        ended, _ = put()
        moved, record = put(make_body(size))
        drive(store.end(ended, make_payload(flags=ENDED)[0], HOUR))
        pointer, version = make_payload(b"there", flags=MOVED)
        assert drive(store.replace(moved, pointer, HOUR, record.token, version)) is not None
        assert _payload(store, drive, moved) == pointer
        assert drive(store.exists([live, ended, moved])) == {live}
        if store.scannable:
            found = set(drive.all(store.scan()))
            assert live in found
            assert found.isdisjoint({ended, moved})

    # purge, scan

    def test_purge_removes_the_expired_in_batches(self, store: Store, drive: Drive, put: Any) -> None:
        live, record = put()
        expired = [put(ttl=1)[0] for _ in range(5)]
        for key in expired:
            self.expire(store, key)
        counted = drive(store.expired())
        batches = drive.all(store.purge(batch_size=2))
        if not store.expires:
            assert counted >= len(expired)
            assert sum(batches) >= len(expired)
        assert all(1 <= batch <= 2 for batch in batches)
        while drive(store.expired()):  # a record of another test may have expired since
            assert drive.all(store.purge())
        assert drive(store.exists([*expired, live])) == {live}
        assert _payload(store, drive, live) == record.payload

    def test_purge_with_nothing_expired_yields_nothing(self, store: Store, drive: Drive, put: Any) -> None:
        key, _ = put()
        # A record of another test may expire between two purges, but not always.
        assert any(not drive.all(store.purge()) for _ in range(5))
        assert drive(store.exists([key])) == {key}

    def test_scan_yields_each_live_key_where_it_can(self, store: Store, drive: Drive, put: Any) -> None:
        present = {put()[0] for _ in range(5)}
        expired, _ = put(ttl=1)
        self.expire(store, expired)
        if not store.scannable:
            with pytest.raises(NotImplementedError):
                drive.all(store.scan())
            return
        found = drive.all(store.scan())
        assert present <= set(found)
        assert expired not in found

    # bounds

    def test_payload_of_the_largest_size_is_stored(self, store: Store, drive: Drive, put: Any) -> None:
        size = _bound(store)
        key, record = put(make_body(size - len(make_payload()[0])))
        assert len(record.payload) == size
        assert _payload(store, drive, key) == record.payload

    def test_payload_above_the_largest_size_leaves_the_old_record(self, store: Store, drive: Drive, put: Any) -> None:
        payload, version = make_payload(make_body(_bound(store) + 1 - len(make_payload()[0])))
        key, record = put()
        with pytest.raises(SessionTooLarge):
            drive(store.replace(key, payload, HOUR, record.token, version))
        assert _payload(store, drive, key) == record.payload
        with pytest.raises(SessionTooLarge):
            drive(store.insert(make_key(), payload, HOUR, version))

    # the server, and connections

    def test_inspect_tells_version_and_clock(self, store: Store, drive: Drive) -> None:
        inspection = drive(store.inspect())
        assert inspection.version
        assert inspection.time is None or abs(inspection.time - time.time()) < 60
        assert all(problem.endswith(".") for problem in inspection.problems)

    def test_prepare_twice_is_harmless(self, store: Store, drive: Drive, put: Any) -> None:
        drive(store.prepare())
        key, record = put()
        drive(store.prepare())
        assert _payload(store, drive, key) == record.payload

    def test_probe_is_answered(self, store: Store, drive: Drive) -> None:
        ends = time.monotonic() + PATIENCE
        while drive(store._probe(None)) is not None:  # it has a tenth of a second, which a busy machine may not have
            assert time.monotonic() < ends

    def test_close_lets_later_calls_connect_again(self, store: Store, drive: Drive, put: Any) -> None:
        key, record = put()
        store.close()
        assert _payload(store, drive, key) == record.payload
        store.close()


def _payload(store: Store, drive: Drive, key: str) -> bytes | None:
    """Return what is stored."""
    found = drive(store.read(key))
    return None if found is None else found.payload


def _inserts(store: Store, key: str) -> list[Callable[[], Coroutine[Any, Any, Any]]]:
    async def insert() -> tuple[bytes, bytes | None]:
        payload, version = make_payload(b"rival")
        return payload, await store.insert(key, payload, HOUR, version)

    return [insert] * RACERS


def _replaces(store: Store, key: str, expected: bytes) -> list[Callable[[], Coroutine[Any, Any, Any]]]:
    async def replace() -> tuple[bytes, bytes | None]:
        payload, version = make_payload(b"rival")
        return payload, await store.replace(key, payload, HOUR, expected, version)

    return [replace] * RACERS


def _only_winner_is_stored(
    store: Store,
    drive: Drive,
    key: str,
    rivals: Sequence[Callable[[], Coroutine[Any, Any, tuple[bytes, bytes | None]]]],
) -> Record:
    results = drive.together(rivals)
    winners = [Record(payload, token) for payload, token in results if token is not None]
    assert len(winners) == 1
    assert _payload(store, drive, key) == winners[0].payload
    return winners[0]


def _bound(store: Store) -> int:
    if store.max_payload is None or store.max_payload > LARGEST_TRIED:
        pytest.skip("This store's largest payload is bounded by memory, or too large to try.")
    return store.max_payload
