"""What is particular to the mongodb store; what every store promises is in the contract suite."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    ConnectionFailure,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WTimeoutError,
)
from pymongo.monitoring import CommandListener, ConnectionClosedReason, ConnectionPoolListener

from django_multisession.breaker import BreakerOpen
from django_multisession.bridge import run_sync
from django_multisession.deadline import Operation
from django_multisession.envelope import ENDED
from django_multisession.exceptions import StoreRefused, StoreUnavailable
from django_multisession.runtime import Event, reset
from django_multisession.stores.base import Failure, StoreOptions
from django_multisession.stores.mongodb.collection import COLLECTION, TTL_INDEX
from django_multisession.stores.mongodb.diagnosis import failure_of
from django_multisession.stores.mongodb.store import MongoDBStore
from django_multisession.testing import make_key, make_payload
from django_multisession.testing.servers.base import free_port
from django_multisession.testing.servers.mongodb import DATABASE, MongoDBServer
from django_multisession.testing.servers.proxy import Proxy
from tests.stores.helpers import Drive
from tests.timing import late

HOUR = 3600


@pytest.fixture
def server() -> Iterator[MongoDBServer]:
    """A server of the test's own, to be hung and ended."""
    with MongoDBServer() as server:
        yield server


@pytest.fixture
def collection(mongodb_server: MongoDBServer) -> Iterator[Any]:
    """Our collection as any client sees it, empty and without indexes."""
    with pymongo.MongoClient[dict[str, Any]](mongodb_server.location) as client:
        client.drop_database(DATABASE)
        yield client[DATABASE][COLLECTION]


class Listener(CommandListener):
    """Notes the names of the commands that a client sends."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def started(self, event: Any) -> None:
        self.commands.append(event.command_name)

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass


class PoolListener(ConnectionPoolListener):
    """Notes why connections were closed."""

    def __init__(self) -> None:
        self.closed: list[str] = []

    def connection_closed(self, event: Any) -> None:
        self.closed.append(event.reason)

    def _ignore(self, event: Any) -> None:
        pass

    pool_created = pool_ready = pool_cleared = pool_closed = _ignore
    connection_created = connection_ready = _ignore
    connection_check_out_started = connection_check_out_failed = _ignore
    connection_checked_out = connection_checked_in = _ignore


@pytest.fixture
def listener() -> Listener:
    return Listener()


def store_at(location: str | None, **options: Any) -> MongoDBStore:
    return MongoDBStore(StoreOptions(location=location, **options))


@pytest.fixture
def store(mongodb_server: MongoDBServer, collection: Any, listener: Listener) -> Iterator[MongoDBStore]:
    store = store_at(mongodb_server.location, options={"event_listeners": [listener]})
    yield store
    store.close()


async def put(store: MongoDBStore, key: str, body: bytes = b"body") -> bytes:
    """Insert a record and return its version."""
    payload, version = make_payload(body)
    assert await store.insert(key, payload, HOUR, version) == version
    return version


# Settings.


@pytest.mark.parametrize(
    ("location", "name"),
    [
        (None, "mongodb://127.0.0.1:27017/multisession"),
        ("mongodb://user:secret@a:1,b:2/shop?appname=secret", "mongodb://user@a:1,b:2/shop"),
        ("mongodb://a/shop?replicaSet=rs0&authMechanismProperties=X:s@cret", "mongodb://a/shop"),
        ("mongodb+srv://user:secret@cluster.invalid/shop", "mongodb+srv://user@cluster.invalid/shop"),
    ],
)
def test_name_leaves_password_and_options_out(location: str | None, name: str) -> None:
    if location and "authMechanismProperties" in location:
        location = location.replace("authMechanismProperties=X:s@cret", "appname=s@cret")
    assert store_at(location).name == name


@pytest.mark.parametrize(
    "location",
    [
        "",
        "127.0.0.1:27017",
        "redis://user:secret@host/0",
        "mongodb://",
        "mongodb:///shop",
        "mongodb://user:secret@host",
        "mongodb://user:secret@host/",
        "mongodb://user:secret@host/a.b",
        "mongodb://user:sec[ret@host:port/shop",
        "mongodb://user:secret@host:port/shop",
        "mongodb://user:secret@host/shop?w=0",
        ("mongodb://user:secret@host/shop",),
    ],
)
def test_wrong_location_is_refused_without_its_password(location: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="MULTISESSION: LOCATION") as caught:
        store_at(location)
    assert "secret" not in str(caught.value)
    assert "sec[ret" not in str(caught.value)
    assert "tuple" not in str(caught.value)


@pytest.mark.parametrize(
    "credentials", [*(f"user:sec{raw}ret" for raw in "#?/:@[%"), *(f"us{raw}xer:secret" for raw in "#?/@[%")]
)
def test_credentials_that_are_not_encoded_are_refused_with_the_remedy(credentials: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="percent-encode") as caught:
        store_at(f"mongodb://{credentials}@host/shop")
    assert "sec" not in str(caught.value)
    assert "ret" not in str(caught.value)


def test_credentials_that_are_encoded_are_taken() -> None:
    assert store_at("mongodb://us%40er:se%23cret@host/shop").name == "mongodb://us%40er@host/shop"


@pytest.mark.parametrize(
    "options",
    [{"colour": "blue"}, {"w": 0}, {"maxPoolSize": "many"}, {"max_idle": 0}, {"max_idle": "4m"}, {"client": "no.such"}],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ImproperlyConfigured, match="OPTIONS"):
        store_at(None, options=options)


def test_prefix_that_no_collection_can_have_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="KEY_PREFIX"):
        store_at(None, prefix="a$b")


@pytest.mark.parametrize("location", ["mongodb://host.invalid/shop", "mongodb+srv://host.invalid/shop"])
def test_constructor_does_no_io(location: str) -> None:
    threads = threading.active_count()
    store_at(location)
    assert threading.active_count() == threads


def test_location_decides_but_for_retries(mongodb_server: MongoDBServer, drive: Drive) -> None:
    location = f"{mongodb_server.location}?retryWrites=true&w=1&maxPoolSize=7"
    store = store_at(location, options={"maxPoolSize": 8})

    async def scenario() -> None:
        options = store._clients.get().options
        assert options.retry_writes is False
        assert options.pool_options.max_pool_size == 8
        assert any("w=1" in problem for problem in (await store.inspect()).problems)

    drive(scenario())
    store.close()


def client_of_a_project(kind: Any, url: str, **settings: Any) -> Any:
    """Make the client that OPTIONS["client"] asks for."""
    return kind(url, **{**settings, "appname": "project"})


def test_client_may_be_the_projects_own(mongodb_server: MongoDBServer, drive: Drive) -> None:
    store = store_at(mongodb_server.location, options={"client": f"{__name__}.client_of_a_project", "maxPoolSize": 5})

    async def scenario() -> None:
        await put(store, make_key())
        options = store._clients.get().options.pool_options
        assert (options.metadata["application"], options.max_pool_size) == ({"name": "project"}, 5)

    drive(scenario())
    store.close()


def test_idle_connection_is_not_used_again(mongodb_server: MongoDBServer, drive: Drive) -> None:
    pool = PoolListener()
    store = store_at(mongodb_server.location, options={"max_idle": 0.1, "event_listeners": [pool]})

    async def scenario() -> None:
        await put(store, make_key())
        await store.read(make_key())
        assert pool.closed == []
        await pause(0.2)
        await store.read(make_key())
        assert pool.closed == [ConnectionClosedReason.IDLE]

    drive(scenario())
    store.close()


# Documents and commands.


def test_each_operation_is_one_command(drive: Drive, store: MongoDBStore, listener: Listener) -> None:
    key, other = make_key(), make_key()
    payload, version = make_payload()

    async def scenario() -> None:
        before = await put(store, key)
        await store.read(key)
        await store.replace(key, payload, HOUR, before, version)
        await store.exists([key, other])
        await store.delete(key)
        await store.delete_many([key, other])

    drive(scenario())
    once = ["update", "find", "update", "find", "delete", "delete"]
    assert listener.commands == ["createIndexes", *once]
    listener.commands.clear()
    drive(scenario())
    assert listener.commands == once


def test_exists_of_many_is_one_command(drive: Drive, store: MongoDBStore, listener: Listener) -> None:
    keys = {make_key() for _ in range(300)}

    async def scenario() -> None:
        for key in keys:
            await put(store, key)
        listener.commands.clear()
        assert await store.exists(keys) == keys
        assert listener.commands == ["find"]

    drive(scenario())


def test_scan_goes_over_all_pages(drive: Drive, store: MongoDBStore, collection: Any) -> None:
    run_sync(put(store, "0" * 40))
    document = collection.find_one()
    keys = {f"{number:040}" for number in range(2500)}
    collection.insert_many([{**document, "_id": key} for key in keys - {"0" * 40}])

    async def scenario() -> list[str]:
        return [key async for key in store.scan()]

    found = drive(scenario())
    assert len(found) == len(keys)
    assert set(found) == keys


def test_document_holds_storage_key_and_payload_alone(store: MongoDBStore, collection: Any) -> None:
    payload, version = make_payload(b"body")
    started = time.time()
    run_sync(store.insert("ab" * 20, payload, HOUR, version))
    (document,) = collection.find()
    removal = document.pop("e").replace(tzinfo=None)
    assert document.keys() == {"_id", "v", "p", "s", "w", "t"}
    assert (document["_id"], document["v"], document["p"], document["s"]) == ("ab" * 20, version, payload, True)
    # Later than its end by a minute: this host's clock may be behind the server's.
    assert 3658 <= (removal - document["w"]).total_seconds() <= 3662
    assert time.time() - started < 2


def test_document_tells_what_is_no_session(store: MongoDBStore, collection: Any) -> None:
    key = make_key()
    run_sync(put(store, key))
    tombstone, version = make_payload(flags=ENDED)
    run_sync(store.end(key, tombstone, HOUR))
    document = collection.find_one({"_id": key})
    assert (document["v"], document["p"], document["s"]) == (version, tombstone, False)


@pytest.mark.parametrize("ttl", [10**10, 10**16, 2**63])
def test_ttl_beyond_the_year_9999_is_cut(drive: Drive, store: MongoDBStore, ttl: int) -> None:
    key = make_key()
    payload, version = make_payload()

    async def scenario() -> None:
        token = await store.insert(key, payload, ttl, version)
        assert token is not None
        assert await store.replace(key, payload, ttl, token, version) is not None
        await store.end(key, payload, ttl)
        assert await store.read(key) is not None

    drive(scenario())


def test_clock_of_the_host_does_not_end_a_record(
    drive: Drive, store: MongoDBStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = time.time
    for wrong in (-3000.0, 3000.0):
        key = make_key()
        monkeypatch.setattr(time, "time", lambda wrong=wrong: clock() + wrong)
        drive(put(store, key))
        assert drive(store.read(key)) is not None
        assert drive(store.exists([key])) == {key}


def test_prefix_is_a_collection_of_its_own(mongodb_server: MongoDBServer, collection: Any) -> None:
    store = store_at(mongodb_server.location, prefix="shop")
    run_sync(put(store, make_key()))
    assert collection.database.list_collection_names() == [f"{COLLECTION}_shop"]
    store.close()


def test_stores_of_one_location_share_a_client(mongodb_server: MongoDBServer) -> None:
    first, second = (store_at(mongodb_server.location) for _ in range(2))
    assert first._clients.get() is second._clients.get()
    assert store_at(mongodb_server.location, options={"maxPoolSize": 3})._clients is not first._clients
    first.close()


# The TTL index, inspection.


def test_first_insert_makes_the_ttl_index(drive: Drive, store: MongoDBStore, collection: Any) -> None:
    drive(store.read(make_key()))
    assert TTL_INDEX not in collection.index_information()
    drive(put(store, make_key()))
    index = collection.index_information()[TTL_INDEX]
    assert (index["key"], index["expireAfterSeconds"]) == ([("e", 1)], 0)


def test_missing_ttl_index_is_a_problem_that_prepare_mends(drive: Drive, store: MongoDBStore, collection: Any) -> None:
    def missing() -> bool:
        return any("TTL index" in problem for problem in drive(store.inspect()).problems)

    assert missing()
    drive(store.prepare())
    assert not missing()


def test_inspection_names_a_server_that_stands_alone(
    drive: Drive, store: MongoDBStore, mongodb_server: MongoDBServer
) -> None:
    found = drive(store.inspect())
    assert found.version == mongodb_server.version()
    assert abs(found.time - time.time()) < 5
    assert any("stands alone" in problem for problem in found.problems)


# Answers, and outages.

LOST = [6, 7, 89, 91, 133, 134, 189, 9001, 10058, 10107, 11600, 11602, 13435, 13436]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        *[(OperationFailure("no", code, {"codeName": "Name"}), Failure.LOSS, f"Name (code {code})") for code in LOST],
        (NotPrimaryError("not primary", {"code": 10107}), Failure.LOSS, "primary"),
        (AutoReconnect("gone"), Failure.LOSS, "lost"),
        (ConnectionFailure("gone"), Failure.LOSS, "lost"),
        (NetworkTimeout("late"), Failure.SILENCE, "in time"),
        (ServerSelectionTimeoutError("none"), Failure.SILENCE, "primary"),
        (WaitQueueTimeoutError("full"), Failure.SILENCE, "maxPoolSize"),
        (OperationFailure("late", 50, {"codeName": "MaxTimeMSExpired"}), Failure.SILENCE, "MaxTimeMSExpired"),
        (WTimeoutError("late", 64, {"codeName": "WriteConcernTimeout"}), Failure.REFUSAL, "members"),
        (OperationFailure("full", 14031, {"codeName": "OutOfDiskSpace"}), Failure.REFUSAL, "Make room"),
        (OperationFailure("busy", 112, {"codeName": "WriteConflict"}), Failure.REFUSAL, "WriteConflict (code 112)"),
        (OperationFailure("what", None, None), Failure.REFUSAL, "OperationFailure"),
        (OperationFailure("quota", 8000, {"codeName": "AtlasError"}), Failure.REFUSAL, "AtlasError"),
        (OperationFailure("x", 8000, {"errmsg": "bad auth : failed"}), Failure.MISTAKE, "Correct them in LOCATION"),
        (OperationFailure("no", 18, {"codeName": "AuthenticationFailed"}), Failure.MISTAKE, "Correct them in LOCATION"),
        (OperationFailure("no", 13, {"codeName": "Unauthorized"}), Failure.MISTAKE, "readWrite"),
        (OperationFailure("no", 100, {"codeName": "UnsatisfiableWriteConcern"}), Failure.MISTAKE, "Leave w out"),
        (ConfigurationError("too old"), Failure.MISTAKE, "cannot use this server"),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, PyMongoError) else "",
)
def test_failure_of_an_exception(error: PyMongoError, kind: Failure, words: str) -> None:
    found = failure_of(error)
    assert found is not None
    assert found[0] is kind
    assert words in found[1]


def test_failure_quotes_nothing_that_the_server_quotes() -> None:
    key = make_key()
    error = OperationFailure(f"dup key {key}", 112, {"codeName": "WriteConflict", "errmsg": f"dup key {key}"})
    assert key not in str(failure_of(error))


@pytest.mark.parametrize("answered", [False, True])
def test_name_that_is_not_found_is_a_mistake_until_it_was(drive: Drive, answered: bool) -> None:
    store = store_at(f"mongodb://{make_key()}.invalid/shop")
    if answered:
        store.breaker.answers += 1
    with pytest.raises(StoreUnavailable if answered else ImproperlyConfigured) as caught:
        drive(store.read(make_key()))
    assert answered or "Correct LOCATION" in str(caught.value)
    store.close()


def test_refused_call_leaves_the_breaker_alone(drive: Drive, store: MongoDBStore) -> None:
    async def scenario() -> None:
        await put(store, make_key())
        with pytest.raises(StoreRefused, match=r"code \d+"):
            await store._run(lambda collection: collection.database.command("noSuchCommand"))
        assert not store.breaker.is_open
        assert await store.read(make_key()) is None

    drive(scenario())


async def until_available(store: MongoDBStore, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            await store.read(make_key())
        except StoreUnavailable:
            assert time.monotonic() < deadline
            await pause(0.02)
        else:
            return


async def pause(seconds: float) -> None:
    """Wait: in an event loop PyMongo's tasks must go on meanwhile."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        time.sleep(seconds)  # noqa: ASYNC251 - there is no loop to block
    else:
        await asyncio.sleep(seconds)


def test_hung_server_opens_the_breaker_until_it_answers(drive: Drive, server: MongoDBServer) -> None:
    store = store_at(server.location)

    async def scenario() -> None:
        await put(store, make_key())
        with server.paused():
            with pytest.raises(StoreUnavailable) as caught:
                await store.read(make_key())
            assert not caught.value.retryable
            assert store.breaker.is_open
            with pytest.raises(BreakerOpen):
                await store.read(make_key())
            store.close()
        await until_available(store, 3)

    drive(scenario())
    store.close()


def test_event_loop_ends_while_the_server_hangs(server: MongoDBServer) -> None:
    store = store_at(server.location)

    async def scenario() -> None:
        await put(store, make_key())
        server.pause()

    started = time.monotonic()
    asyncio.run(scenario())
    assert time.monotonic() - started < late(1.75)


def test_restarted_server_breaks_at_most_one_call_that_may_be_repeated(drive: Drive, server: MongoDBServer) -> None:
    store = store_at(server.location, timeout=20.0)

    async def scenario() -> None:
        await put(store, make_key())
        with Proxy(server) as proxy:
            cut = store_at(proxy.location, timeout=20.0)
            assert await cut.read(make_key()) is None
            proxy.disconnect()
            with Operation():
                try:
                    assert await cut.read(make_key()) is None
                except StoreUnavailable as error:
                    assert error.retryable  # noqa: PT017 - a call that found the cut in time is as good
                    assert await cut.read(make_key()) is None
            cut.close()

    drive(scenario())
    store.close()


def test_absent_server_is_an_outage_with_its_reason(drive: Drive) -> None:
    store = store_at(f"mongodb://127.0.0.1:{free_port()}/{DATABASE}")
    with pytest.raises(StoreUnavailable, match="ConnectionRefusedError"):
        drive(store.read(make_key()))
    assert store.breaker.is_open
    store.close()


@pytest.mark.parametrize("knows_the_server", [False, True])
def test_resolver_that_hangs_is_given_up(
    drive: Drive, mongodb_server: MongoDBServer, monkeypatch: pytest.MonkeyPatch, knows_the_server: bool
) -> None:
    hangs, ends, real = threading.Event(), threading.Event(), socket.getaddrinfo
    answers: list[str] = []

    def getaddrinfo(host: str, *arguments: Any, **more: Any) -> Any:
        if host != "hung.test" or more.get("flags"):
            return real(host, *arguments, **more)
        if hangs.is_set():
            ends.wait(30)
            answers.append(host)
        return real("127.0.0.1", *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    reset(Event.TEST)
    # Connections that were idle are not used again, so that the client that knows the server has to connect anew.
    store = store_at(mongodb_server.location.replace("127.0.0.1", "hung.test"), options={"max_idle": 0.001})

    async def scenario() -> None:
        if knows_the_server:
            with Operation():
                await put(store, make_key())
            await pause(0.1)
        hangs.set()
        try:
            with pytest.raises(StoreUnavailable):
                await store.read(make_key())
            assert not answers
        finally:
            ends.set()

    drive(scenario())
    store.close()


# Whose connection it is.


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("converted", [False, True], ids=["asyncio.run", "async_to_sync"])
@pytest.mark.usefixtures("collection")
def test_event_loops_leave_nothing_behind(mongodb_server: MongoDBServer, converted: bool) -> None:
    store = store_at(mongodb_server.location, timeout=20.0)

    def read_in_a_loop() -> None:
        if converted:
            async_to_sync(store.read)(make_key())
        else:
            asyncio.run(store.read(make_key()))

    run_sync(put(store, make_key()))
    read_in_a_loop()
    before = open_files(), threading.active_count()
    for _ in range(200):
        read_in_a_loop()
    deadline = time.monotonic() + 2
    while (open_files(), threading.active_count()) > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert open_files() <= before[0]
    assert threading.active_count() <= before[1]
    store.close()


def test_store_that_is_forgotten_in_a_loop_leaves_no_client_open(mongodb_server: MongoDBServer) -> None:
    async def scenario() -> None:
        await put(store_at(mongodb_server.location, timeout=20.0), make_key())
        gc.collect()  # pytest makes an error of what this would find open

    asyncio.run(scenario())
    gc.collect()


def test_forked_child_opens_clients_of_its_own(store: MongoDBStore) -> None:
    key = make_key()
    run_sync(put(store, key))
    child = os.fork()
    if not child:
        status = 1
        try:
            assert run_sync(store.read(key)) is not None
            assert asyncio.run(store.read(key)) is not None
            store.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert run_sync(store.read(key)) is not None


def test_cancelled_task_leaves_no_half_answer(server: MongoDBServer) -> None:
    key, other = make_key(), make_key()
    with Proxy(server) as proxy:
        store = store_at(proxy.location, options={"maxPoolSize": 2})

        async def scenario() -> None:
            await put(store, key)
            version = await put(store, other)
            for number in range(60):
                proxy.delay(0.01)
                tasks = [asyncio.ensure_future(store.read(key)) for _ in range(2)]
                await asyncio.sleep(number / 3000)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                proxy.delay(0)
                records = await asyncio.gather(*(store.read(other) for _ in range(4)))
                assert {record and record.token for record in records} == {version}

        asyncio.run(scenario())


def test_cancelled_tasks_cost_no_connection(server: MongoDBServer) -> None:
    with Proxy(server) as proxy:
        store = store_at(proxy.location)

        async def scenario() -> None:
            await put(store, make_key())
            await asyncio.gather(*(store.read(make_key()) for _ in range(8)))
            before = proxy.connections
            proxy.delay(0.05)
            for _ in range(20):
                tasks = [asyncio.ensure_future(store.read(make_key())) for _ in range(5)]
                await asyncio.sleep(0.01)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await asyncio.sleep(0.06)
            # Room for a connection that the pool adds to those that were made at first.
            assert proxy.connections - before <= 8

        asyncio.run(scenario())


def run_script(script: str, *arguments: str) -> str:
    """Run a script in an interpreter of its own; return all that it printed."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-W", "ignore::DeprecationWarning", "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


PREAMBLE = """
import asyncio, sys, threading, time
import django
from django.conf import settings
settings.configure()
django.setup()
from django_multisession.breaker import BreakerOpen
from django_multisession.bridge import run_sync
from django_multisession.exceptions import StoreUnavailable
from django_multisession.stores.base import StoreOptions
from django_multisession.stores.mongodb import MongoDBStore
store = MongoDBStore(StoreOptions(location=sys.argv[1], timeout=float(sys.argv[2])))
"""


def test_process_ends_without_a_word(mongodb_server: MongoDBServer) -> None:
    script = (
        PREAMBLE
        + """
for _ in range(4):
    threading.Thread(target=lambda: run_sync(store.read("0" * 40))).start()
async def main():
    asyncio.get_running_loop().slow_callback_duration = 60  # or -X dev tells of a busy machine
    await asyncio.gather(*(store.read("0" * 40) for _ in range(4)))
asyncio.run(main())
"""
    )
    assert run_script(script, mongodb_server.location, "20") == ""


def test_gevent_hub_that_is_busy_is_no_outage(mongodb_server: MongoDBServer) -> None:
    script = (
        "from gevent import monkey, pool\nmonkey.patch_all()\n"
        + PREAMBLE
        + """
def burn(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
def read():
    try:
        run_sync(store.read("0" * 40))
    except StoreUnavailable as error:
        if "connection lost" not in str(error):
            raise
        run_sync(store.read("0" * 40))  # PyMongo may close what others of its pool wait for: a session asks once more
failed = []
def request(number):
    try:
        read()
        burn(0.8)
        read()
    except Exception as error:
        failed.append(repr(error))
crowd = pool.Pool(4)
for number in range(8):
    crowd.spawn(request, number)
crowd.join()
print(len(failed), failed[:2])
"""
    )
    pytest.importorskip("gevent")
    # Three others burn for longer than an answer may take, which is half of that.
    assert run_script(script, mongodb_server.location, "4") == "0 []\n"
