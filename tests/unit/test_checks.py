"""System checks of the settings and of the tables."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.test import override_settings
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from django_multisession.checks import check_deploy, check_settings, check_tables, refuse
from django_multisession.engines.memory import SessionStore
from django_multisession.middleware import SessionMiddleware
from tests.databases import database, sqlite

ENGINES = "django_multisession.engines"
STORE = "django_multisession.stores.redis"
MEMORY = {"ENGINE": f"{ENGINES}.memory"}
WITHOUT_US = [name for name in settings.INSTALLED_APPS if not name.startswith("django_multisession")]


def found(multisession: Any, engine: str = "memory") -> dict[str, list[str]]:
    """Return the sentences of the checks of a setting, by the end of their id."""
    with override_settings(SESSION_ENGINE=f"{ENGINES}.{engine}", MULTISESSION=multisession):
        return by_number(check_settings())


def by_number(messages: list[checks.CheckMessage]) -> dict[str, list[str]]:
    sentences: dict[str, list[str]] = {}
    for message in messages:
        assert message.id
        assert message.id.startswith("multisession.")
        sentences.setdefault(message.id.partition(".")[2], []).append(str(message.msg))
    return sentences


@pytest.mark.parametrize(
    "engine",
    [
        *("redis", "memcached", "mongodb", "db", "memory", "signed_cookies", "encrypted_cookies"),
    ],
)
def test_check_of_an_engine_without_more_settings_finds_nothing(engine: str) -> None:
    assert found({}, engine) == {}


def test_check_of_correct_entries_finds_nothing() -> None:
    cookie = {"NAME": "basket", "PATH": "/shop/", "MAX_AGE": 0, "SAMESITE": "Strict"}
    entry = {**MEMORY, "COOKIE": cookie, "MERGE": {"count": "counter", "all": "builtins.max"}}
    assert found({"default": {"TIMEOUT": 2}, "cart": entry}) == {}


def test_checks_are_registered() -> None:
    registered = checks.registry.registry.get_checks(include_deployment_checks=True)
    assert {check_settings, check_tables, check_deploy} <= set(registered)


def test_check_of_a_setting_that_is_no_dictionary_says_so() -> None:
    assert found([]) == {"E001": ["MULTISESSION is of type list; it must be a dictionary of sessions by name."]}


def test_check_reports_everything_that_is_wrong_with_an_entry() -> None:
    entry = {"ENGIN": "x", "TIMEOUT": 0, "COOKIE": {"MAX_AGE": -1, "COLOUR": "red"}}
    sentences = found({"cart": entry})["E002"]
    assert len(sentences) == 5
    for part in ("'ENGIN'", "['TIMEOUT'] is 0", "no ENGINE", "['MAX_AGE'] is -1", "'COLOUR'"):
        assert any(part in sentence for sentence in sentences), part


def test_check_reports_every_wrong_entry() -> None:
    wrong = {"one": 1, "two": {**MEMORY, "TIMEOUT": "soon"}, "3": MEMORY, "four": MEMORY}
    assert len(found(wrong)["E002"]) == 3


@pytest.mark.parametrize("name", ["", "a-b", "1st", "ä", "x" * 33, 7])
def test_check_of_a_session_name_that_is_none_says_so(name: Any) -> None:
    assert "ASCII identifier" in found({name: MEMORY})["E002"][0]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("NAME", "a b"),
        ("NAME", ""),
        ("PATH", "shop"),
        ("DOMAIN", ""),
        ("MAX_AGE", 1.5),
        ("MAX_AGE", True),
        ("HTTPONLY", "yes"),
        ("SECURE", 1),
        ("SAMESITE", "Loose"),
        ("PARTITIONED", None),
    ],
)
def test_check_of_a_cookie_option_names_it_and_what_is_allowed(key: str, value: Any) -> None:
    (sentence,) = found({"cart": {**MEMORY, "COOKIE": {key: value}}})["E002"]
    assert sentence.startswith(f"MULTISESSION['cart']['COOKIE'][{key!r}] is {value!r}; it must be ")


@pytest.mark.parametrize(
    ("key", "value"),
    [("LOCATION", {"hush-hush"}), ("OPTIONS", ["hush-hush"]), ("KEYS", {"hush-hush": 1})],
)
def test_check_of_what_may_be_secret_shows_its_type_alone(key: str, value: Any) -> None:
    (sentence,) = found({"default": {key: value}})["E002"]
    assert "hush-hush" not in sentence
    assert type(value).__name__ in sentence


@pytest.mark.parametrize(("key", "value"), [("LOCATION", ""), ("LOCATION", []), ("LOCATION", None), ("KEYS", [])])
def test_check_of_what_may_be_secret_shows_that_it_is_empty(key: str, value: Any) -> None:
    (sentence,) = found({"default": {key: value}})["E002"]
    assert sentence.startswith(f"MULTISESSION['default'][{key!r}] is {value!r}; it must be ")


def test_check_of_an_entry_that_is_no_dictionary_does_not_show_it() -> None:
    assert "hush-hush" not in found({"cart": "redis://:hush-hush@127.0.0.1/0"})["E002"][0]


def test_check_of_an_entry_that_is_no_dictionary_shows_what_one_is() -> None:
    (sentence,) = found({"cart": "redis://127.0.0.1/0"})["E002"]
    assert sentence.endswith("""it must be a dictionary, such as {'LOCATION': "..."}.""")


def test_check_of_keys_beside_the_sessions_says_where_they_belong() -> None:
    (sentence,) = found({"LOCATION": "redis://:hush-hush@127.0.0.1/0"})["E002"]
    assert sentence == (
        "MULTISESSION has the session name 'LOCATION', which is a key of an entry: put it into MULTISESSION['default']."
    )


@pytest.mark.parametrize("name", ["DEFAULT", "Default"])
def test_check_of_the_default_entry_in_other_letters_asks_whether_it_is_meant(name: str) -> None:
    (sentence,) = found({name: {"TIMEOUT": 2}})["E002"]
    assert "Did you mean 'default'?" in sentence


@pytest.mark.parametrize("key", ["ENGINE", "COOKIE"])
def test_check_of_a_default_entry_with_what_django_sets_says_where(key: str) -> None:
    (sentence,) = found({"default": {key: {} if key == "COOKIE" else "x"}})["E002"]
    assert "SESSION_" in sentence


@pytest.mark.parametrize("engine", ["nowhere.engine", "django.utils", "django.contrib.sessions.backends.db", "..x"])
def test_check_of_an_engine_that_is_none_names_it(engine: str) -> None:
    (sentence,) = found({"cart": {"ENGINE": engine}})["E003"]
    assert sentence.startswith(f"MULTISESSION['cart']['ENGINE'] is {engine!r}")


def test_check_of_a_session_engine_that_cannot_be_imported_names_it() -> None:
    assert found({}, "rediss")["E003"][0].startswith(f"SESSION_ENGINE is '{ENGINES}.rediss'")


@pytest.mark.parametrize(
    ("engine", "meant"),
    [
        (f"{ENGINES}.rediss", f"{ENGINES}.redis"),
        (f"{ENGINES}.signed_cookie", f"{ENGINES}.signed_cookies"),
        ("django_multisession.engine.postgresql", f"{ENGINES}.postgresql"),
        (f"{ENGINES}.redis.SessionStore", f"{ENGINES}.redis"),
    ],
)
def test_check_of_an_engine_that_is_misspelt_names_the_one_that_is_meant(engine: str, meant: str) -> None:
    with override_settings(SESSION_ENGINE=engine, MULTISESSION={"cart": {"ENGINE": engine}}):
        sentences = by_number(check_settings())["E003"]
    assert len(sentences) == 2
    for sentence in sentences:
        assert sentence.endswith(f"Did you mean {meant!r}?")


def test_check_of_an_engine_without_its_extra_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in [f"{ENGINES}.redis", *(name for name in sys.modules if name.startswith(STORE))]:
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    assert "django_multisession[redis]" in found({}, "redis")["E003"][0]


def test_check_of_encryption_on_signed_cookies_names_the_other_engine() -> None:
    assert "encrypted_cookies" in found({"default": {"ENCRYPT": True}}, "signed_cookies")["E004"][0]


@pytest.mark.parametrize(
    ("engine", "location"),
    [
        ("redis", "http://:hush-hush@127.0.0.1"),
        ("mongodb", "redis://:hush-hush@127.0.0.1"),
        ("db", "postgresql://me:hush-hush@127.0.0.1/x"),
        ("postgresql", "default"),
    ],
)
def test_check_of_a_location_that_the_engine_refuses_hides_its_password(engine: str, location: str) -> None:
    (sentence,) = found({"default": {"LOCATION": location}}, engine)["E004"]
    assert "Session 'default'" in sentence
    assert "LOCATION" in sentence
    assert "hush-hush" not in sentence


def test_check_of_chunks_on_a_server_refuses_them() -> None:
    (sentence,) = found({"default": {"CHUNKS": 2}}, "memory")["E004"]
    assert "MULTISESSION['default']['CHUNKS'] is for cookie engines" in sentence


@pytest.mark.parametrize("engine", ["memory", "signed_cookies"])
def test_check_of_a_limit_of_logins_without_the_registry_names_the_app(engine: str) -> None:
    with override_settings(INSTALLED_APPS=["django_multisession"]):
        (sentence,) = found({"default": {"MAX_SESSIONS_PER_USER": 3}}, engine)["E004"]
    assert sentence.startswith("MULTISESSION['default']['MAX_SESSIONS_PER_USER'] is 3")
    assert "'django_multisession.registry'" in sentence


def test_check_of_a_merge_rule_that_cannot_be_imported_names_it() -> None:
    (sentence,) = found({"default": {"MERGE": {"count": "sum_up"}}})["E005"]
    assert "['MERGE']['count'] is 'sum_up'" in sentence


def test_check_of_a_serializer_that_cannot_be_imported_names_it() -> None:
    assert "nowhere" in found({"default": {"SERIALIZER": "nowhere.Pickle"}})["E006"][0]


@pytest.mark.parametrize("name", ["sessionid", "sessionid_cart"])
def test_check_of_two_sessions_with_one_cookie_name_names_both(name: str) -> None:
    entries = {"cart": MEMORY, "other": {**MEMORY, "COOKIE": {"NAME": name}}}
    (sentence,) = found(entries)["E007"]
    assert "'other'" in sentence
    assert repr("default" if name == "sessionid" else "cart") in sentence


@pytest.mark.parametrize("entries", [{}, {"default": {"X": 1}}])
def test_check_of_a_foreign_default_says_only_that_its_entry_means_nothing(entries: Any) -> None:
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.db", MULTISESSION=entries):
        assert list(by_number(check_settings())) == ["W004"] * bool(entries)


def test_check_of_an_engine_in_the_default_entry_alone_says_where_it_belongs() -> None:
    with override_settings(
        SESSION_ENGINE="django.contrib.sessions.backends.db", MULTISESSION={"default": {"ENGINE": f"{ENGINES}.redis"}}
    ):
        (message,) = check_settings()
    assert message.hint
    assert f"Set SESSION_ENGINE to '{ENGINES}.redis'" in message.hint


def test_check_of_a_subclass_of_our_engine_checks_its_entry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("custom_engine")
    module.SessionStore = type("SessionStore", (SessionStore,), {})  # type: ignore[attr-defined]  # a module that is made here
    monkeypatch.setitem(sys.modules, "custom_engine", module)
    with override_settings(SESSION_ENGINE="custom_engine", MULTISESSION={"default": {"X": 1}}):
        assert list(by_number(check_settings())) == ["E002"]


@pytest.fixture
def unmigrated(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    with django_db_blocker.unblock(), database(sqlite(tmp_path), migrate=False) as alias:
        yield alias


def tables_at(alias: str, databases: list[str] | None) -> dict[str, list[str]]:
    with override_settings(SESSION_ENGINE=f"{ENGINES}.db", MULTISESSION={"default": {"LOCATION": alias}}):
        return by_number(check_tables(databases=databases))


def test_check_of_a_missing_table_names_the_remedy(unmigrated: str) -> None:
    (sentence,) = tables_at(unmigrated, [unmigrated])["W002"]
    assert f"migrate django_multisession --database {unmigrated}" in sentence


@pytest.mark.parametrize("databases", [None, [], ["default"]])
def test_check_of_tables_asks_only_the_databases_that_it_may(unmigrated: str, databases: list[str] | None) -> None:
    assert tables_at(unmigrated, databases) == {}


def test_check_of_a_table_that_is_there_finds_nothing(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.unblock(), database(sqlite(tmp_path)) as alias:
        assert tables_at(alias, [alias]) == {}


def test_check_of_tables_on_a_server_that_is_down_leaves_that_to_others(
    tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    settings = sqlite(tmp_path / "missing")
    with django_db_blocker.unblock(), database(settings, migrate=False) as alias:
        assert tables_at(alias, [alias]) == {}


@pytest.mark.django_db
@pytest.mark.parametrize("multisession", [[], {"cart": {"ENGINE": "nowhere"}, "other": 1}])
def test_check_of_tables_with_wrong_settings_leaves_them_to_the_other_check(
    multisession: Any,
) -> None:
    with override_settings(SESSION_ENGINE=f"{ENGINES}.memory", MULTISESSION=multisession):
        assert check_tables(databases=["default"]) == []


def test_check_of_the_postgresql_engine_without_our_app_finds_it(
    django_db_blocker: DjangoDbBlocker,
) -> None:
    settings = {"ENGINE": "django.db.backends.postgresql", "NAME": "never-connected"}
    with (
        django_db_blocker.unblock(),
        database(settings, migrate=False) as alias,
        override_settings(INSTALLED_APPS=WITHOUT_US),
    ):
        (sentence,) = found({"default": {"LOCATION": alias}}, "postgresql")["E009"]
    assert "INSTALLED_APPS" in sentence


def test_check_of_the_db_engine_without_our_app_finds_it() -> None:
    with override_settings(INSTALLED_APPS=WITHOUT_US):
        assert "INSTALLED_APPS" in found({}, "db")["E004"][0]


# What only a combination of settings makes wrong.


@pytest.mark.parametrize("age", ["3600", 0, -1, True, 1.5, None])
def test_check_of_a_cookie_age_that_is_no_number_of_seconds_finds_it(age: Any) -> None:
    with override_settings(SESSION_COOKIE_AGE=age):
        assert f"SESSION_COOKIE_AGE is {age!r}" in found({})["E010"][0]


@pytest.mark.parametrize(
    ("middleware", "finds"),
    [
        ("django.contrib.sessions.middleware.SessionMiddleware", True),
        ("no.such.Middleware", True),
        ("django_multisession.middleware.SessionMiddleware", False),
        (f"{__name__}.Subclass", False),
    ],
)
def test_check_of_named_sessions_without_our_middleware_finds_it(middleware: str, finds: bool) -> None:
    with override_settings(MIDDLEWARE=[middleware]):
        assert ("W005" in found({"cart": MEMORY})) is finds
        assert "W005" not in found({})


class Subclass(SessionMiddleware):
    """A project's own."""


@pytest.mark.parametrize("engine", ["memory", "signed_cookies", "encrypted_cookies"])
def test_check_of_a_location_that_means_nothing_finds_it(engine: str) -> None:
    (sentence,) = found({"default": {"LOCATION": "redis://u:hush-hush@127.0.0.1"}}, engine)["W006"]
    assert "['LOCATION'] means nothing" in sentence
    assert "hush-hush" not in sentence


@pytest.mark.parametrize("engine", ["memory", "signed_cookies", "encrypted_cookies"])
def test_check_of_options_that_mean_nothing_finds_them(engine: str) -> None:
    (sentence,) = found({"default": {"OPTIONS": {"password": "hush-hush"}}}, engine)["W006"]
    assert "['OPTIONS'] means nothing" in sentence
    assert "hush-hush" not in sentence


def test_check_of_keys_for_servers_alone_finds_them_in_cookies() -> None:
    entry = {"MERGE": {"count": "counter"}, "ON_CONFLICT": "strict", "MAX_SIZE": 1000}
    sentences = found({"default": entry}, "signed_cookies")["W006"]
    assert [re.findall("'([A-Z_]+)'", sentence) for sentence in sentences] == [["MERGE"], ["ON_CONFLICT"], ["MAX_SIZE"]]
    assert found({"default": entry}, "memory") == {}


@pytest.mark.parametrize("cookie", ["csrftoken", "messages", "django_language"])
def test_check_of_a_cookie_named_like_one_of_djangos_finds_it(cookie: str) -> None:
    (sentence,) = found({"cart": {**MEMORY, "COOKIE": {"NAME": cookie}}})["E011"]
    assert "'cart'" in sentence
    assert repr(cookie) in sentence


@pytest.mark.parametrize(
    ("session", "setting"),
    [("default", "SESSION_COOKIE_NAME"), ("cart", "MULTISESSION['cart']['COOKIE']['NAME']")],
)
def test_check_of_a_cookie_named_like_one_of_djangos_names_the_setting(session: str, setting: str) -> None:
    name = {"SESSION_COOKIE_NAME": "csrftoken"} if session == "default" else {}
    entries = {} if session == "default" else {"cart": {**MEMORY, "COOKIE": {"NAME": "csrftoken"}}}
    with override_settings(SESSION_ENGINE=f"{ENGINES}.memory", MULTISESSION=entries, **name):
        (message,) = check_settings()
    assert message.hint == f"Set {setting} to another name."


@pytest.mark.parametrize(
    ("session", "setting"), [("default", "SESSION_COOKIE_*"), ("cart", "MULTISESSION['cart']['COOKIE']")]
)
def test_check_of_a_cookie_that_browsers_refuse_names_the_setting(session: str, setting: str) -> None:
    cookie = {"SESSION_COOKIE_SAMESITE": "None", "SESSION_COOKIE_SECURE": False} if session == "default" else {}
    entries = {} if session == "default" else {"cart": {**MEMORY, "COOKIE": {"SAMESITE": "None", "SECURE": False}}}
    with override_settings(SESSION_ENGINE=f"{ENGINES}.memory", MULTISESSION=entries, **cookie):
        (message,) = check_settings()
    assert message.id == "multisession.E008"
    assert message.hint
    assert setting in message.hint


def test_check_of_many_cookies_tells_what_nginx_needs() -> None:
    signed = {"ENGINE": f"{ENGINES}.signed_cookies", "CHUNKS": 2}
    with override_settings(SESSION_ENGINE=f"{ENGINES}.memory", MULTISESSION={"cart": signed}):
        (message,) = check_settings()
    assert message.id == "multisession.W003"
    assert "502" in message.msg
    assert message.hint
    assert "proxy_buffer_size 16k; proxy_buffers 8 16k; large_client_header_buffers 4 16k" in message.hint


@pytest.mark.parametrize(
    ("engine", "location", "cache"),
    [
        ("redis", None, {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://localhost"}),
        ("redis", "redis://h:1/2", {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": ["redis://x@h:1/2"]}),
        ("redis", "unix:///a?db=3", {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "unix:///a?db=3"}),
        (
            "redis",
            "redis://h/2",
            {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://h", "OPTIONS": {"db": 2}},
        ),
        (
            "memcached",
            ["h:1", "h:2"],
            {"BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache", "LOCATION": "g:1;h:2"},
        ),
    ],
)
def test_check_of_a_cache_at_the_same_place_finds_it(engine: str, location: Any, cache: dict[str, Any]) -> None:
    entry = {} if location is None else {"LOCATION": location}
    with override_settings(CACHES={"default": cache}):
        assert "cache.clear()" in found({"default": entry}, engine)["W007"][0]


@pytest.mark.parametrize(
    "cache",
    [
        {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1/1"},
        {"BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache", "LOCATION": "127.0.0.1:6379"},
        {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    ],
)
def test_check_of_a_cache_elsewhere_finds_nothing(cache: dict[str, Any]) -> None:
    with override_settings(CACHES={"default": cache}):
        assert found({}, "redis") == {}


@pytest.mark.django_db
def test_check_of_djangos_live_sessions_beside_ours_finds_them() -> None:
    with override_settings(SESSION_ENGINE=f"{ENGINES}.memory", MULTISESSION={}):
        assert by_number(check_tables(databases=["default"])) == {}
        for days, finds in ((-1, False), (1, True)):
            end = timezone.now() + timedelta(days=days)
            Session.objects.create(session_key=f"key{days}", session_data="", expire_date=end)
            assert ("W008" in by_number(check_tables(databases=["default"]))) is finds
        assert "W008" not in by_number(check_tables(databases=None))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("engine", "until", "finds"),
    [
        ("db", "2999-01-01", False),
        ("cached_db", "2999-01-01", False),
        ("db", "2020-01-01", True),
        ("file", "2999-01-01", True),
    ],
)
def test_check_leaves_djangos_sessions_that_are_moving_in(engine: str, until: str, finds: bool) -> None:
    fallback = {"ENGINE": f"django.contrib.sessions.backends.{engine}", "UNTIL": until}
    with override_settings(SESSION_ENGINE=f"{ENGINES}.memory", MULTISESSION={"default": {"FALLBACK": fallback}}):
        Session.objects.create(session_key="key", session_data="", expire_date=timezone.now() + timedelta(days=1))
        found = by_number(check_tables(databases=["default"]))
        assert ("W008" in found) is finds
        if finds:
            assert "FALLBACK" in str(check_tables(databases=["default"])[0].hint)


# The middleware's part.


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"MULTISESSION": {"default": {"MERGE": {"count": "sum_up"}}}}, "'sum_up'"),
        ({"MULTISESSION": {"default": {"SERIALIZER": "nowhere.Pickle"}}}, "nowhere"),
        ({"MULTISESSION": {"default": {"TIME": 5}}}, "'TIME'"),
        ({"MULTISESSION": []}, "of type list"),
        ({"SESSION_COOKIE_AGE": "3600"}, "SESSION_COOKIE_AGE is '3600'"),
        ({"SESSION_ENGINE": f"{ENGINES}.db", "INSTALLED_APPS": WITHOUT_US}, "INSTALLED_APPS"),
    ],
)
def test_refuse_raises_what_cannot_work(changes: dict[str, Any], words: str) -> None:
    with override_settings(**{"SESSION_ENGINE": f"{ENGINES}.memory", "MULTISESSION": {}, **changes}):
        for _ in range(2):
            with pytest.raises(ImproperlyConfigured, match=re.escape(words)):
                refuse()


def test_middleware_does_not_start_with_what_cannot_work() -> None:
    with (
        override_settings(SESSION_ENGINE=f"{ENGINES}.memory", MULTISESSION={"default": {"MERGE": {"count": "sum_up"}}}),
        pytest.raises(ImproperlyConfigured, match="sum_up"),
    ):
        SessionMiddleware(lambda request: HttpResponse())


def test_refuse_lets_warnings_pass() -> None:
    with override_settings(SESSION_ENGINE=f"{ENGINES}.memory", MULTISESSION={"default": {"LOCATION": "x"}}):
        refuse()


@pytest.mark.parametrize(
    ("changes", "remedies"),
    [
        ({}, []),
        ({"ATOMIC_REQUESTS": True}, ["IMMEDIATE"]),
        ({"ATOMIC_REQUESTS": True, "OPTIONS": {"transaction_mode": "IMMEDIATE"}}, []),
        ({"OPTIONS": {"timeout": 1}}, ["'timeout'"]),
        ({"ATOMIC_REQUESTS": True, "OPTIONS": {"timeout": 1}}, ["IMMEDIATE", "'timeout'"]),
    ],
)
def test_check_of_sqlite_that_does_not_wait_names_the_remedy(
    changes: dict[str, Any], remedies: list[str], django_db_blocker: DjangoDbBlocker
) -> None:
    given = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", **changes}
    with django_db_blocker.unblock(), database(given, migrate=False) as alias:
        sentences = found({"default": {"LOCATION": alias}}, "db").get("W030", [])
    assert [remedy in sentence for remedy, sentence in zip(remedies, sentences, strict=True)] == [True] * len(remedies)
    assert all(repr(alias) in sentence for sentence in sentences)
