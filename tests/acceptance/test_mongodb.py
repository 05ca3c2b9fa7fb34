"""The mongodb engine on a real MongoDB: contracts, races, what it refuses, and a failover under load."""

from __future__ import annotations

import asyncio
import datetime
import os
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pymongo
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from pymongo.errors import OperationFailure

from django_multisession.bridge import run_sync
from django_multisession.deadline import Operation
from django_multisession.engines.mongodb import SessionStore
from django_multisession.exceptions import StoreRefused, StoreUnavailable
from django_multisession.stores.base import Store, StoreOptions
from django_multisession.stores.mongodb import MongoDBStore
from django_multisession.testing import SessionContract, StoreContract, make_key, make_payload

URL = os.environ["MONGODB_ACCEPTANCE_URL"]
PREFIX = "acceptance"
PATIENCE = 20.0  # seconds of TIMEOUT where a test is about answers, not about how soon they come
TIMEOUT = 1.0
LONG_AGO = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
WRITERS, CHANGES = 16, 20
ENTRY = {"LOCATION": URL, "KEY_PREFIX": PREFIX, "TIMEOUT": PATIENCE}


@pytest.fixture(scope="module")
def client() -> Iterator[pymongo.MongoClient[dict[str, Any]]]:
    with pymongo.MongoClient[dict[str, Any]](URL) as client:
        client.get_default_database()[f"multisession_{PREFIX}"].drop()
        yield client


class TestStore(StoreContract):
    @pytest.fixture
    def store(self, client: pymongo.MongoClient[dict[str, Any]]) -> MongoDBStore:
        self.collection = client.get_default_database()[f"multisession_{PREFIX}"]
        return MongoDBStore(StoreOptions(URL, PREFIX, PATIENCE))

    def expire(self, store: Store, key: str) -> None:
        assert self.collection.update_one({"_id": key}, {"$set": {"w": LONG_AGO}}).matched_count


class TestSessions(SessionContract):
    @pytest.fixture
    def engine(self) -> type[SessionStore]:
        return SessionStore

    @pytest.fixture
    def entry(self) -> Mapping[str, Any]:
        return ENTRY


# Races.


def new_session() -> str:
    session = SessionStore()
    session.create()
    assert session.session_key
    return session.session_key


def test_concurrent_writes_of_threads_are_all_kept() -> None:
    with override_settings(MULTISESSION={"default": ENTRY}):
        key = new_session()

        def write(writer: int) -> None:
            for number in range(CHANGES):
                session = SessionStore(key)
                session[f"writer{writer}_{number}"] = number
                session.save()

        with ThreadPoolExecutor(WRITERS) as threads:
            list(threads.map(write, range(WRITERS)))
        assert len(dict(SessionStore(key).items())) == WRITERS * CHANGES


def test_concurrent_writes_of_tasks_are_all_kept() -> None:
    async def write(key: str, writer: int) -> None:
        for number in range(CHANGES):
            session = SessionStore(key)
            await session.aset(f"writer{writer}_{number}", number)
            await session.asave()

    async def scenario(key: str) -> None:
        await asyncio.gather(*(write(key, writer) for writer in range(WRITERS)))

    with override_settings(MULTISESSION={"default": ENTRY}):
        key = new_session()
        asyncio.run(scenario(key))
        assert len(dict(SessionStore(key).items())) == WRITERS * CHANGES


# What the server answers when it refuses.


@contextmanager
def failing(client: pymongo.MongoClient[dict[str, Any]], **data: Any) -> Iterator[None]:
    """Have the server fail the next update or find once; needs --setParameter enableTestCommands=1."""
    point = {"failCommands": ["update", "find"], "appName": "django_multisession", **data}
    try:
        client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": point})
    except OperationFailure as error:
        pytest.skip(f"The server has no failpoints: {error.details and error.details.get('codeName')}")
    try:
        yield
    finally:
        client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"errorCode": 13}, ImproperlyConfigured),
        ({"errorCode": 112}, StoreRefused),
        ({"errorCode": 14031}, StoreRefused),
        ({"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}}, StoreRefused),
        ({"writeConcernError": {"code": 100, "errmsg": "not enough data-bearing nodes"}}, ImproperlyConfigured),
        *[({"errorCode": code}, StoreUnavailable) for code in (91, 189, 10107, 11600, 11602, 13435, 13436)],
        ({"closeConnection": True}, StoreUnavailable),
    ],
)
def test_answer_of_the_server_is_told_from_an_outage(
    client: pymongo.MongoClient[dict[str, Any]], data: dict[str, Any], expected: type[Exception]
) -> None:
    store = MongoDBStore(StoreOptions(URL, PREFIX, PATIENCE))
    key, (payload, version) = make_key(), make_payload()
    run_sync(store.insert(key, payload, 60, version))
    with failing(client, **data), Operation(), pytest.raises(expected) as caught:
        run_sync(store.replace(key, payload, 60, version, version))
    assert type(caught.value) is expected
    assert getattr(caught.value, "retryable", False) is (expected is StoreUnavailable)
    assert not store.breaker.is_open
    store.close()


# A failover under load.


def visits(key: str, until: threading.Event) -> tuple[int, float, float]:
    """Change a session again and again; return how often that was acknowledged, the longest call and outage."""
    acknowledged, longest, outage = 0, 0.0, 0.0
    failed_since: float | None = None
    while not until.is_set():
        started = time.monotonic()
        try:
            session = SessionStore(key)
            assert session.get("n", 0) >= acknowledged, "an acknowledged change was lost, or the user logged out"
            session["n"] = acknowledged + 1
            session.save()
        except StoreUnavailable:
            failed_since = failed_since or started
        else:
            acknowledged += 1
            if failed_since is not None:
                outage, failed_since = max(outage, time.monotonic() - failed_since), None
        longest = max(longest, time.monotonic() - started)
        time.sleep(0.005)
    assert failed_since is None, "it has not come back"
    return acknowledged, longest, outage


def test_primary_that_steps_down_under_load_loses_nothing(client: pymongo.MongoClient[dict[str, Any]]) -> None:
    def step_down() -> float:
        before = client.primary
        try:
            client.admin.command({"replSetStepDown": 20, "secondaryCatchUpPeriodSecs": 5})
        except OperationFailure as error:
            pytest.skip(f"It cannot be told to step down: {error.details and error.details.get('codeName')}")
        began = time.monotonic()
        while client.primary in (None, before):
            time.sleep(0.01)
        return time.monotonic() - began

    until = threading.Event()
    with override_settings(MULTISESSION={"default": {**ENTRY, "TIMEOUT": TIMEOUT}}), ThreadPoolExecutor(8) as threads:
        keys = [new_session() for _ in range(8)]
        running = [threads.submit(visits, key, until) for key in keys]
        try:
            time.sleep(2)
            election = step_down()
            time.sleep(8)
        finally:
            until.set()
        for acknowledged, longest, outage in (task.result() for task in running):
            assert acknowledged
            assert longest <= 2 * (TIMEOUT + 0.25)  # a load and a save, an operation each
            assert outage <= election + 5


def test_expired_documents_are_removed_by_the_server(client: pymongo.MongoClient[dict[str, Any]]) -> None:
    run_sync(MongoDBStore(StoreOptions(URL, PREFIX, PATIENCE)).prepare())
    collection = client.get_default_database()[f"multisession_{PREFIX}"]
    collection.insert_one({"_id": "expired", "v": b"v", "p": b"p", "e": LONG_AGO})
    deadline = time.monotonic() + 150  # the TTL monitor runs once a minute
    while collection.find_one({"_id": "expired"}):
        assert time.monotonic() < deadline
        time.sleep(1)
