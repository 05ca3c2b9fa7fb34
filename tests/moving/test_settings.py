"""FALLBACK in the settings: what is accepted, what is refused and how, and what the checks say of a move."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import get_commands
from django.test import override_settings
from django.utils import timezone

from django_multisession.checks import check_settings, refuse
from django_multisession.conf import Entry, entry, problems
from django_multisession.sessions.loading import session_class

ENGINES = "django_multisession.engines"
DJANGOS = "django.contrib.sessions.backends"
OLD = {"ENGINE": f"{DJANGOS}.db", "UNTIL": "2100-01-01"}


def configured(fallback: Any, engine: str = "memory", **more: Any) -> Any:
    """Return the settings of a session with a FALLBACK."""
    return override_settings(
        SESSION_ENGINE=f"{ENGINES}.{engine}", MULTISESSION={"default": {"FALLBACK": fallback, **more}}
    )


def found(fallback: Any, engine: str = "memory") -> dict[str, checks.CheckMessage]:
    """Return what the checks say, by the end of their id."""
    with configured(fallback, engine):
        return {str(message.id).partition(".")[2]: message for message in check_settings()}


def test_fallback_describes_a_place_under_the_same_session_name() -> None:
    given = {
        "ENGINE": f"{ENGINES}.redis",
        "LOCATION": "redis://h/1",
        "KEY_PREFIX": "old:",
        "KEYS": ["a", "b"],
        "COOKIE": {"NAME": "former"},
        "UNTIL": "2027-01-31T12:00+01:00",
        "CARRY": False,
        "REQUIRED": False,
        "ALLOW_PICKLE": True,
    }
    with configured(given):
        fallback = entry("default").fallback
    assert fallback is not None
    assert fallback.entry == Entry(
        "default",
        engine=f"{ENGINES}.redis",
        location="redis://h/1",
        key_prefix="old:",
        keys=("a", "b"),
        cookie={"NAME": "former"},
    )
    assert fallback.until == datetime(2027, 1, 31, 11, tzinfo=UTC)
    assert (fallback.carry, fallback.required, fallback.allow_pickle) == (False, False, True)


def test_fallback_carries_and_is_required_unless_told_otherwise() -> None:
    with configured(OLD):
        fallback = entry("default").fallback
    assert fallback is not None
    assert (fallback.carry, fallback.required, fallback.allow_pickle) == (True, True, False)


@override_settings(TIME_ZONE="Europe/Berlin")
def test_date_counts_to_its_end_in_the_time_zone_of_the_project() -> None:
    with configured({**OLD, "UNTIL": "2027-01-31"}):
        fallback = entry("default").fallback
    assert fallback is not None
    assert fallback.until == datetime(2027, 1, 31, 23, tzinfo=UTC)


@override_settings(TIME_ZONE="Europe/Berlin")
def test_date_counts_in_the_time_zone_of_the_project_whatever_a_request_has_activated() -> None:
    with timezone.override("Asia/Tokyo"), configured({**OLD, "UNTIL": "2027-01-31"}):
        fallback = entry("default").fallback
    assert fallback is not None
    assert fallback.until == datetime(2027, 1, 31, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fallback", "sentence"),
    [
        ("redis://h", "is of type str; it must be a dictionary"),
        ({"UNTIL": "2027-01-31"}, "has no ENGINE"),
        ({"ENGINE": f"{DJANGOS}.db"}, "has no UNTIL"),
        ({**OLD, "UNTIL": "soon"}, "['UNTIL'] is 'soon'; it must be a date or datetime in ISO 8601"),
        ({**OLD, "UNTL": "2027-01-31"}, "has the unknown key 'UNTL'. Did you mean 'UNTIL'?"),
        ({**OLD, "CARRY": "no"}, "['CARRY'] is 'no'; it must be True or False"),
        ({**OLD, "MERGE": {}}, "has the unknown key 'MERGE'"),
        ({**OLD, "COOKIE": {"PATH": "/"}}, "has the unknown key 'PATH'"),
    ],
)
def test_wrong_fallback_is_refused(fallback: Any, sentence: str) -> None:
    with configured(fallback):
        assert any(sentence in problem for problem in problems("default")), problems("default")
        with pytest.raises(ImproperlyConfigured):
            entry("default")


@pytest.mark.parametrize("engine", ["memory", "signed_cookies"])
@pytest.mark.parametrize("fallback", [{**OLD, "ENGINE": "no.such.module"}, {**OLD, "ENGINE": "tests.urls"}])
def test_engine_that_is_none_keeps_the_site_from_starting(engine: str, fallback: Any) -> None:
    assert str(fallback["ENGINE"]) in found(fallback, engine)["E004"].msg
    with configured(fallback, engine), pytest.raises(ImproperlyConfigured, match="ENGINE"):
        refuse()


@pytest.mark.parametrize("engine", ["memory", "signed_cookies"])
@pytest.mark.parametrize("carry", [True, False])
@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"SERIALIZER": "no.such.Serializer"}, "SERIALIZER"),
        ({"SERIALIZER": "os.path"}, "SERIALIZER"),
        ({"ENGINE": f"{DJANGOS}.cache", "LOCATION": "broken", "ALLOW_PICKLE": True}, "CACHES"),
        ({"ENGINE": f"{DJANGOS}.cache", "LOCATION": "empty", "ALLOW_PICKLE": True}, "CACHES"),
        ({"LOCATION": "no such alias"}, "DATABASES"),
        ({"ENGINE": f"{DJANGOS}.cache", "LOCATION": "remote"}, "ALLOW_PICKLE"),
    ],
)
def test_source_that_cannot_be_made_is_named_with_the_remedy(
    engine: str, carry: bool, wrong: dict[str, Any], named: str, settings: Any
) -> None:
    remote = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1"}
    settings.CACHES = {**settings.CACHES, "broken": {"BACKEND": "no.such.Cache"}, "empty": {}, "remote": remote}
    fallback = {**OLD, **wrong, "CARRY": carry}
    message = found(fallback, engine)["E004"].msg
    assert message.startswith("MULTISESSION['default']['FALLBACK']")
    assert named in message
    with configured(fallback, engine), pytest.raises(ImproperlyConfigured, match=named):
        session_class("default")("a" * 32).load()


@pytest.mark.parametrize("engine", ["memory", "signed_cookies"])
def test_former_name_of_the_cookie_is_not_for_who_does_not_carry(engine: str) -> None:
    assert "former" in found({**OLD, "COOKIE": {"NAME": "former"}, "CARRY": False}, engine)["E004"].msg
    assert "E004" not in found({**OLD, "COOKIE": {"NAME": "former"}}, engine)


@pytest.mark.parametrize("engine", ["memory", "signed_cookies"])
def test_cookie_under_its_former_name_is_found(engine: str) -> None:
    with configured({**OLD, "COOKIE": {"NAME": "former"}}, engine):
        assert session_class("default").joined({"former": "old"}) == "old"
        assert session_class("default").joined({"former": "old", "sessionid": "new"}) == "new"
    with configured({**OLD, "UNTIL": "2020-01-01", "COOKIE": {"NAME": "former"}}, engine):
        assert session_class("default").joined({"former": "old"}) is None


@pytest.mark.parametrize("engine", ["memory", "signed_cookies"])
def test_check_tells_where_the_site_stands_and_what_comes_next(engine: str) -> None:
    beside = found({**OLD, "CARRY": False}, engine)
    assert "can be taken away again" in beside["I002"].msg
    assert "remove CARRY" in str(beside["I002"].hint)
    carrying = found(OLD, engine)
    assert "sessions come from" in carrying["I003"].msg
    assert "migratesessions" in str(carrying["I003"].hint)
    assert "cannot be listed" in str(found({**OLD, "ENGINE": f"{DJANGOS}.signed_cookies"}, "db")["I003"].hint)


def test_check_warns_in_the_last_days() -> None:
    soon = (timezone.now() + timedelta(days=5, hours=1)).isoformat()
    assert "ends in 5 days" in found({**OLD, "UNTIL": soon})["W050"].msg
    assert "before CARRY is removed" in str(found({**OLD, "UNTIL": soon, "CARRY": False})["W050"].hint)
    later = (timezone.now() + timedelta(days=15)).isoformat()
    assert "W050" not in found({**OLD, "UNTIL": later})


def test_check_tells_to_remove_what_is_over() -> None:
    messages = found({**OLD, "UNTIL": "2020-01-01"})
    assert "is not asked any more" in messages["W051"].msg
    assert messages.keys() == {"W051"}


@pytest.mark.parametrize("serializer", ["Pickled", "Compressed"])
def test_check_tells_what_pickles_mean(serializer: str) -> None:
    pickled = {**OLD, "SERIALIZER": f"tests.moving.test_settings.{serializer}"}
    assert "runs what it says" in found({**pickled, "ALLOW_PICKLE": True})["W052"].msg
    assert "ALLOW_PICKLE" in found(pickled)["E004"].msg


class Pickled:
    """As Django's former PickleSerializer."""

    def dumps(self, value: Any) -> bytes:
        import pickle

        return pickle.dumps(value)

    def loads(self, stored: bytes) -> Any:
        import pickle

        return pickle.loads(stored)  # noqa: S301 - a test's own


class Compressed(Pickled):
    """A project's own, whose pickles do not look like any."""

    def dumps(self, value: Any) -> bytes:
        return zlib.compress(super().dumps(value))

    def loads(self, stored: bytes) -> Any:
        return super().loads(zlib.decompress(stored))


class Described:
    """Keeps of an object what it prints, which brings no object back."""

    def dumps(self, value: Any) -> bytes:
        return json.dumps(value, default=repr).encode()

    def loads(self, stored: bytes) -> Any:
        return json.loads(stored)


def test_serializer_that_brings_no_objects_back_is_taken_for_no_pickle() -> None:
    assert "E004" not in found({**OLD, "SERIALIZER": "tests.moving.test_settings.Described"})


def test_check_finds_the_command_of_another_package(settings: Any) -> None:
    remembered: Any = get_commands  # a functools.cache
    remembered.cache_clear()
    assert "W053" not in found(OLD)
    settings.INSTALLED_APPS = ["user_sessions", *settings.INSTALLED_APPS]
    remembered.cache_clear()
    try:
        messages = found(OLD)
        assert "'user_sessions'" in messages["W053"].msg
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS[1:], "user_sessions"]
        remembered.cache_clear()
        assert "W053" not in found(OLD)
    finally:
        remembered.cache_clear()
