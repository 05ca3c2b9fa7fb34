"""purgesessions and checksessions, on every backend."""

from __future__ import annotations

import io
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pymongo
import pytest
from django.core.management import CommandError, call_command
from django.core.signing import JSONSerializer
from django.test import override_settings

from django_multisession.bridge import iterate, run_sync
from django_multisession.checks import check_tables
from django_multisession.codec import Header
from django_multisession.keys import SessionKey
from django_multisession.models import SessionRecord
from django_multisession.sessions.loaded import Loaded
from django_multisession.sessions.loading import session_class
from django_multisession.sessions.records import Records
from django_multisession.stores import memory
from django_multisession.stores.base import Inspection
from django_multisession.stores.memory import MemoryStore
from django_multisession.testing.servers.base import free_port
from django_multisession.testing.servers.mongodb import DATABASE
from django_multisession.testing.servers.redis import RedisServer
from tests.system.backends import ALIAS, PATIENCE, Backend

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
COOKIES = ["signed_cookies", "encrypted_cookies"]
PURGED = {"memory", "mongodb", "postgresql", "db-sqlite", "db-postgresql"}
CART = {"ENGINE": "django_multisession.engines.memory"}


@pytest.fixture
def prefix() -> str:
    return f"commands{secrets.token_hex(4)}"


@pytest.fixture
def records(backend: Backend, prefix: str) -> Iterator[Records]:
    """The records of the default session in every server-side store, with no others that could expire."""
    with backend.configured(KEY_PREFIX=prefix, TIMEOUT=PATIENCE) as session:
        if backend.database is not None:  # one table for all prefixes
            SessionRecord.objects.using(ALIAS).all().delete()
        call("purgesessions")
        yield session.records()  # type: ignore[attr-defined]  # a session on a server


def call(command: str, *arguments: str, **options: Any) -> str:
    """Return what a command prints."""
    output = io.StringIO()
    call_command(command, *arguments, stdout=output, **options)
    return output.getvalue()


def failure(command: str, *arguments: str) -> tuple[str, str]:
    """Return what a command that fails prints, and its error."""
    output = io.StringIO()
    with pytest.raises(CommandError) as raised:
        call_command(command, *arguments, stdout=output)
    return output.getvalue(), str(raised.value)


def insert(records: Records, count: int, ttl: int = 3600) -> list[SessionKey]:
    """Insert so many records; return their keys."""
    now = int(time.time())
    keys = [records.key(secrets.token_hex(16)) for _ in range(count)]
    for key in keys:
        header = Header.new(secrets.token_bytes(8), now, 0, now + ttl, now)
        assert run_sync(records.insert(key, b"{}", header, ttl))
    return keys


def insert_expired(backend: Backend, records: Records, prefix: str, count: int) -> None:
    """Insert so many records and move their end into the past."""
    keys = [key.storage_key for key in insert(records, count, ttl=1)]
    if backend.name == "memory":
        rows = memory._rows.value
        rows.update({key: rows[key]._replace(ends_at=time.monotonic()) for key in keys})
    elif backend.name == "mongodb":
        with pymongo.MongoClient[dict[str, Any]](backend.location) as client:
            collection = client[DATABASE][f"multisession_{prefix}"]
            collection.update_many({"_id": {"$in": keys}}, {"$set": {"w": LONG_AGO}})
    elif keys:
        SessionRecord.objects.using(ALIAS).filter(key__in=keys).update(expires_at=LONG_AGO)


def test_purgesessions_with_expired_sessions_removes_them_alone(
    backend: Backend, records: Records, prefix: str
) -> None:
    live = insert(records, 3)
    expired = 5 if backend.name in PURGED else 0
    insert_expired(backend, records, prefix, expired)
    output = call("purgesessions", "--batch-size", "2")
    assert output.startswith(f"default: {expired} expired sessions removed from ")
    assert all(run_sync(records.exists(key)) for key in live)
    assert run_sync(records.store.expired()) == 0


def test_purgesessions_dry_run_counts_and_removes_nothing(backend: Backend, records: Records, prefix: str) -> None:
    expired = 3 if backend.name in PURGED else 0
    insert_expired(backend, records, prefix, expired)
    output = call("purgesessions", "--dry-run")
    assert output.startswith(f"default: {expired} expired sessions would be removed from ")
    assert run_sync(records.store.expired()) == expired


def test_clearsessions_removes_expired_sessions(backend: Backend, records: Records, prefix: str) -> None:
    insert_expired(backend, records, prefix, 2 if backend.name in PURGED else 0)
    call("clearsessions")
    assert run_sync(records.store.expired()) == 0


@pytest.mark.parametrize("engine", COOKIES)
def test_purgesessions_on_cookies_says_that_there_is_nothing_to_do(engine: str) -> None:
    with override_settings(SESSION_ENGINE=f"django_multisession.engines.{engine}", MULTISESSION={}):
        assert call("purgesessions") == ("default: nothing to do, its sessions live in the browsers' cookies.\n")
        call("clearsessions")


@override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cache", MULTISESSION={"cart": CART})
def test_purgesessions_with_a_foreign_default_leaves_that_to_clearsessions() -> None:
    foreign, ours = call("purgesessions").splitlines()
    assert foreign == (
        "default: left to clearsessions, for SESSION_ENGINE is 'django.contrib.sessions.backends.cache'."
    )
    assert ours.startswith("cart: ")


@override_settings(SESSION_ENGINE=CART["ENGINE"], MULTISESSION={"cart": CART})
def test_purgesessions_of_one_session_leaves_the_others() -> None:
    assert call("purgesessions", "--session", "cart").startswith("cart: ")
    assert len(call("purgesessions", "--session", "cart").splitlines()) == 1


@override_settings(SESSION_ENGINE=CART["ENGINE"], MULTISESSION={"cart": CART})
@pytest.mark.parametrize("command", ["purgesessions", "checksessions"])
def test_command_for_an_unknown_session_names_the_configured_ones(command: str) -> None:
    _, error = failure(command, "--session", "basket")
    assert error == "There is no session 'basket'. Configured are 'default', 'cart'."


@pytest.mark.parametrize("size", ["0", "-1", "many"])
def test_purgesessions_refuses_a_batch_size(size: str) -> None:
    _, error = failure("purgesessions", f"--batch-size={size}")
    assert "is not a whole number above 0" in error


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@override_settings(SESSION_ENGINE=CART["ENGINE"], MULTISESSION={})
def test_purgesessions_on_a_terminal_shows_a_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    store = session_class("default").records()
    insert_expired(Backend("memory", "memory"), store, "", 3)
    bar, lines = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stderr", bar)
    call_command("purgesessions", stdout=lines)
    assert "default" in bar.getvalue()
    assert "/3" in bar.getvalue()
    assert "3 expired sessions removed from memory" in lines.getvalue()


@override_settings(SESSION_ENGINE=CART["ENGINE"], MULTISESSION={})
def test_purgesessions_elsewhere_prints_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    insert_expired(Backend("memory", "memory"), session_class("default").records(), "", 3)
    output = call("purgesessions", "--batch-size", "2", verbosity=2)
    assert "default: 2 of 3\ndefault: 3 of 3\ndefault: 3 expired sessions removed" in output
    assert capsys.readouterr() == ("", "")


@override_settings(
    SESSION_ENGINE=CART["ENGINE"],
    MULTISESSION={"broken": {"ENGINE": "nowhere.engine"}, "cart": CART},
)
def test_purgesessions_goes_on_after_a_session_that_fails() -> None:
    # By hand and not from a command line, where the system checks would stop it first.
    output, error = failure("purgesessions")
    assert [line.partition(":")[0] for line in output.splitlines()] == ["default", "cart"]
    assert error.startswith("broken: MULTISESSION['broken']['ENGINE'] is 'nowhere.engine'")


def test_checksessions_on_a_working_server_tells_what_it_found(backend: Backend, records: Records) -> None:
    output = call("checksessions", "--prepare")
    assert f"default (django_multisession.engines.{backend.engine})" in output
    assert f"location   {records.store.name}" in output
    for label in ("server", "round trip", "clock skew", "works"):
        assert f"\n  {label}" in output
    assert "not-a-secret" not in output


def test_checksessions_leaves_no_record_behind(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    # The store is asked for the very keys that were inserted: not every one can list its keys.
    inserted = remember_inserts(monkeypatch)
    call("checksessions")
    assert inserted
    assert not any(run_sync(records.exists(key)) for key in inserted)


def remember_inserts(monkeypatch: pytest.MonkeyPatch) -> list[SessionKey]:
    """Return a list to which every key is added under which a record is inserted."""
    inserted: list[SessionKey] = []
    insert_into = Records.insert

    async def remember(self: Records, key: SessionKey, plaintext: bytes, header: Header, ttl: int) -> Loaded | None:
        inserted.append(key)
        return await insert_into(self, key, plaintext, header, ttl)

    monkeypatch.setattr(Records, "insert", remember)
    return inserted


def test_checksessions_after_a_failed_swap_deletes_its_record(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    inserted = remember_inserts(monkeypatch)

    async def refuse(*arguments: object) -> None:
        return None

    monkeypatch.setattr(Records, "replace", refuse)
    monkeypatch.setattr(Records, "delete", refuse)
    output, error = failure("checksessions")
    assert "FAILED     A record that nobody else knows could not be swapped" in output
    assert "A record could not be deleted" in output
    assert error == "Sessions that do not work: default."
    assert inserted
    assert not run_sync(records.exists(inserted[0]))


@pytest.mark.parametrize("engine", COOKIES)
def test_checksessions_on_cookies_makes_one_and_reads_it(engine: str) -> None:
    with override_settings(SESSION_ENGINE=f"django_multisession.engines.{engine}", MULTISESSION={}):
        output = call("checksessions")
    assert "location   the browsers' cookies" in output
    assert "works" in output


@override_settings(SESSION_ENGINE="django_multisession.engines.redis")
def test_checksessions_without_a_server_says_so_and_goes_on() -> None:
    location = f"redis://:hush-hush@127.0.0.1:{free_port()}/0"
    with override_settings(MULTISESSION={"default": {"LOCATION": location}, "cart": CART}):
        output, error = failure("checksessions")
    assert error == "Sessions that do not work: default."
    assert "Connection refused" in output
    assert "hush-hush" not in output
    assert "cart (django_multisession.engines.memory)" in output


@override_settings(SESSION_ENGINE="django_multisession.engines.mongodb")
def test_checksessions_without_a_server_says_its_cause_once() -> None:
    with override_settings(MULTISESSION={"default": {"LOCATION": f"mongodb://127.0.0.1:{free_port()}/test"}}):
        output, _ = failure("checksessions")
    assert output.count("no primary was found in time") == 1


@override_settings(SESSION_ENGINE="django_multisession.engines.redis")
def test_checksessions_with_a_wrong_password_says_so_without_it(redis_server: RedisServer) -> None:
    location = f"redis://nobody:hush-hush@127.0.0.1:{redis_server.port}/0"
    with override_settings(MULTISESSION={"default": {"LOCATION": location}}):
        output, _ = failure("checksessions")
    assert output.count("FAILED") == 1
    assert "password" in output
    assert "hush-hush" not in output


@override_settings(
    SESSION_ENGINE="django_multisession.engines.db",
    MULTISESSION={"default": {"LOCATION": "nowhere"}, "cart": CART},
)
def test_checksessions_with_wrong_settings_reports_them() -> None:
    output, error = failure("checksessions")
    assert "LOCATION is 'nowhere'; it must" in output
    assert "cart (django_multisession.engines.memory)" in output
    assert error == "Sessions that do not work: default."


@override_settings(
    SESSION_ENGINE=CART["ENGINE"],
    MULTISESSION={"broken": {"ENGINE": "nowhere.engine"}, "cart": CART},
)
def test_checksessions_with_a_wrong_engine_names_it_and_goes_on() -> None:
    output, error = failure("checksessions")
    assert "broken\n  FAILED     MULTISESSION['broken']['ENGINE'] is 'nowhere.engine'" in output
    assert output.count("works") == 2
    assert error == "Sessions that do not work: broken."


def test_checksessions_of_cookies_that_cannot_be_made_says_why() -> None:
    engine = "django_multisession.engines.signed_cookies"
    with override_settings(SESSION_ENGINE=engine, MULTISESSION={"default": {"ENCRYPT": True}}):
        output, _ = failure("checksessions")
    assert "FAILED     MULTISESSION['default']['ENCRYPT'] is True" in output


@override_settings(SESSION_ENGINE=CART["ENGINE"], MULTISESSION={})
def test_checksessions_after_an_unforeseen_error_reports_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def inspect(self: MemoryStore) -> Inspection:
        raise LookupError("no such thing\nand more")

    monkeypatch.setattr(MemoryStore, "inspect", inspect)
    output, _ = failure("checksessions")
    assert "FAILED     LookupError: no such thing.\n" in output
    assert "round trip" in output


@pytest.mark.parametrize("backend", ["db-sqlite"], indirect=True)
def test_purgesessions_without_the_table_fails(backend: Backend) -> None:
    with backend.configured(migrate=False):
        _, error = failure("purgesessions")
    assert "The table multisession_record is missing" in error


@pytest.mark.parametrize("backend", ["db-sqlite"], indirect=True)
def test_checksessions_without_the_table_fails_and_prepare_makes_it(backend: Backend) -> None:
    with backend.configured(migrate=False):
        output, _ = failure("checksessions")
        assert output.count("The table multisession_record is missing") == 1
        assert "works" not in output
        assert "works" in call("checksessions", "--prepare")
        assert "works" in call("checksessions")


@override_settings(SESSION_ENGINE=CART["ENGINE"], MULTISESSION={})
@pytest.mark.parametrize(("ahead", "direction"), [(90.0, "90 s ahead"), (-90.0, "90 s behind")])
def test_checksessions_with_a_wrong_clock_says_so(
    ahead: float, direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def inspect(self: MemoryStore) -> Inspection:
        return Inspection("7", time.time() + ahead, ("A disk is nearly full.",))

    monkeypatch.setattr(MemoryStore, "inspect", inspect)
    output = call("checksessions")
    assert f"problem    The server's clock is {direction}" in output
    assert "problem    A disk is nearly full." in output
    assert "works" in output


@override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cache", MULTISESSION={})
def test_checksessions_with_a_foreign_default_does_not_check_it() -> None:
    assert "not checked, for SESSION_ENGINE is" in call("checksessions")


@override_settings(SESSION_ENGINE="nowhere.engine", MULTISESSION=[])
@pytest.mark.parametrize("command", ["purgesessions", "checksessions"])
def test_command_with_a_setting_that_is_no_dictionary_says_so(command: str) -> None:
    _, error = failure(command)
    assert error.startswith("MULTISESSION is of type list")


@override_settings(SESSION_ENGINE=CART["ENGINE"], MULTISESSION={})
def test_purgesessions_without_verbosity_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    insert_expired(Backend("memory", "memory"), session_class("default").records(), "", 3)
    assert call("purgesessions", "--dry-run", verbosity=0) == ""
    lines = Terminal()
    call_command("purgesessions", stdout=lines, verbosity=0)
    assert lines.getvalue() == ""
    assert capsys.readouterr() == ("", "")


@override_settings(SESSION_ENGINE=CART["ENGINE"], MULTISESSION={})
def test_purgesessions_that_is_interrupted_tells_how_far_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    insert_expired(Backend("memory", "memory"), session_class("default").records(), "", 5)
    purge = MemoryStore.purge

    async def interrupted(self: MemoryStore, batch_size: int = 1000) -> AsyncIterator[int]:
        async for count in purge(self, batch_size):
            yield count
            raise KeyboardInterrupt

    monkeypatch.setattr(MemoryStore, "purge", interrupted)
    with pytest.raises(CommandError) as raised:
        call("purgesessions", "--batch-size", "2")
    assert str(raised.value) == "default: interrupted, 2 expired sessions removed from memory."
    assert raised.value.returncode == 130


class Forgetful(JSONSerializer):
    """Writes, and reads something else."""

    def loads(self, data: bytes) -> dict[str, Any]:
        return dict.fromkeys(super().loads(data))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"SERIALIZER": f"{__name__}.Forgetful"}, "Is the SERIALIZER to blame?"),
        ({"SERIALIZER": "nowhere.Serializer"}, "['SERIALIZER'] is 'nowhere.Serializer'"),
        ({"MAX_SIZE": 20}, "MAX_SIZE allows 20"),
        ({"MERGE": {"count": "sum_up"}}, "'sum_up'"),
    ],
)
@pytest.mark.parametrize("engine", ["memory", "signed_cookies"])
def test_checksessions_goes_the_whole_way_of_a_request(engine: str, entry: dict[str, Any], words: str) -> None:
    if engine == "signed_cookies" and "MAX_SIZE" in entry:
        entry, words = {"CHUNKS": 1, "COOKIE": {}}, "has a COOKIE"
    engine = f"django_multisession.engines.{engine}"
    with override_settings(SESSION_ENGINE=engine, MULTISESSION={"default": entry}):
        output, error = failure("checksessions")
    assert "FAILED" in output
    assert words in output
    assert "do not work: default" in error or "do not work: settings" in error


@override_settings(SESSION_ENGINE=CART["ENGINE"], MULTISESSION={"default": {"LOCATION": "somewhere"}})
def test_checksessions_strict_fails_for_a_problem_as_well() -> None:
    assert "problem    MULTISESSION['default']['LOCATION'] means nothing" in call("checksessions")
    _, error = failure("checksessions", "--strict")
    assert error == "Sessions with a problem: settings."


@pytest.mark.parametrize("cookie_age", ["3600", 0])
@override_settings(SESSION_ENGINE=CART["ENGINE"], MULTISESSION={})
def test_checksessions_looks_at_djangos_settings(cookie_age: Any) -> None:
    with override_settings(SESSION_COOKIE_AGE=cookie_age):
        output, _ = failure("checksessions")
    assert f"SESSION_COOKIE_AGE is {cookie_age!r}" in output


def test_checksessions_leaves_no_session_behind_in_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    with override_settings(SESSION_ENGINE=CART["ENGINE"], MULTISESSION={}):
        call("checksessions")
        store = session_class("default").records().store
        assert list(iterate(store.scan())) == []


@pytest.mark.parametrize("backend", ["db-sqlite"], indirect=True)
@pytest.mark.parametrize(("command", "warns"), [("migrate", False), ("check", True)])
def test_missing_table_is_no_warning_of_the_command_that_makes_it(
    backend: Backend, command: str, warns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with backend.configured(migrate=False):
        monkeypatch.setattr(sys, "argv", ["manage.py", command])
        assert bool(check_tables(databases=[ALIAS])) is warns
