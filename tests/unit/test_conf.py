"""The MULTISESSION setting: what is accepted, what is refused and how, and when it is read again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from django_multisession.conf import GUARDED, Entry, entry, names, problems
from django_multisession.entry_keys import ALLOWED
from django_multisession.guards import PRESETS
from django_multisession.runtime import Event, cached, reset

ENGINE = {"ENGINE": "django_multisession.engines.memory"}
SECRET = "obviously-fake-password"


@pytest.fixture
def configure(settings: Any) -> Any:
    def configure(**sessions: Any) -> None:
        settings.MULTISESSION = sessions

    return configure


def test_entry_without_settings_has_the_defaults(settings: Any) -> None:
    del settings.MULTISESSION
    assert entry("default") == Entry("default")
    assert names() == ["default"]


def test_entry_takes_every_key(configure: Any) -> None:
    def rule(base: Any, theirs: Any, ours: Any) -> Any:
        return ours

    configure(
        cart={
            **ENGINE,
            "LOCATION": ["127.0.0.1:11211", "127.0.0.1:11212"],
            "COOKIE": {
                "NAME": "c",
                "PATH": "/shop/",
                "DOMAIN": None,
                "MAX_AGE": 0,
                "HTTPONLY": True,
                "SECURE": False,
                "SAMESITE": "Strict",
                "PARTITIONED": False,
            },
            "KEY_PREFIX": "shop:",
            "SERIALIZER": "django_multisession.serializers.TypedSerializer",
            "COMPRESS": 1000,
            "ENCRYPT": True,
            "KEYS": ["new", "old"],
            "ON_CONFLICT": "strict",
            "MERGE": {"seen": "union", "cart": rule},
            "GUARD": ["pending"],
            "TIMEOUT": 0.5,
            "CONNECT_TIMEOUT": 0.1,
            "MAX_SIZE": 4 * 1024 * 1024,
            "MAX_KEYS": 5,
            "OPTIONS": {"client_name": "x"},
        }
    )
    found = entry("cart")
    assert found.name == "cart"
    assert found.engine == ENGINE["ENGINE"]
    assert found.location == ("127.0.0.1:11211", "127.0.0.1:11212")
    assert found.keys == ("new", "old")
    assert found.guard == GUARDED | {"pending"}
    assert found.merge == {"seen": "union", "cart": rule}
    assert (found.compress, found.encrypt, found.timeout, found.connect_timeout) == (1000, True, 0.5, 0.1)
    assert (found.max_size, found.max_keys) == (4 * 1024 * 1024, 5)


def test_names_begin_with_the_default(configure: Any) -> None:
    configure(cart=ENGINE, default={}, staff=ENGINE)
    assert names() == ["default", "cart", "staff"]


def test_secrets_are_keys_or_else_djangos(configure: Any, settings: Any) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", ["old"]
    configure(cart={**ENGINE, "KEYS": ["own"]})
    assert entry("cart").secrets == ("own",)
    assert entry("default").secrets == ("new", "old")


def test_entry_does_not_show_secrets(configure: Any) -> None:
    location = f"redis://:{SECRET}@127.0.0.1/0"
    configure(default={"KEYS": [SECRET], "OPTIONS": {"password": SECRET}, "LOCATION": location})
    assert SECRET not in repr(entry("default"))


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("COLOUR", "blue", "ENGINE, LOCATION, COOKIE"),
        ("ENGINE", "", "dotted path of an engine"),
        ("LOCATION", 5, "a string, or a list"),
        ("LOCATION", "", "a string, or a list"),
        ("LOCATION", [], "a string, or a list"),
        ("LOCATION", {"a", "b"}, "a string, or a list"),
        ("COOKIE", "name", "a dictionary"),
        ("COOKIE", {1: 2}, "a dictionary"),
        ("KEY_PREFIX", "x" * 65, "at most 64"),
        ("KEY_PREFIX", "a b", "without spaces"),
        ("KEY_PREFIX", "ä", "printable ASCII"),
        ("SERIALIZER", 5, "dotted path of a serializer"),
        ("COMPRESS", -1, "size in bytes"),
        ("COMPRESS", True, "size in bytes"),
        ("ENCRYPT", 1, "True or False"),
        ("KEYS", [], "a list of secrets"),
        ("KEYS", [""], "a list of secrets"),
        ("KEYS", {"a"}, "a list of secrets"),
        ("KEYS", "secret", "a list of secrets"),
        ("ON_CONFLICT", "ignore", '"merge", "strict" or "overwrite"'),
        ("ON_CONFLICT", ["merge"], '"merge", "strict" or "overwrite"'),
        ("MERGE", {"a": 5}, '"append", "counter", "union"'),
        ("GUARD", "pending", "a list of session keys"),
        ("TIMEOUT", 0, "seconds above 0"),
        ("TIMEOUT", True, "seconds above 0"),
        ("TIMEOUT", float("nan"), "seconds above 0"),
        ("TIMEOUT", 1209600, "SESSION_COOKIE_AGE"),
        ("CONNECT_TIMEOUT", 0, "None for half of TIMEOUT"),
        ("CONNECT_TIMEOUT", "1", "None for half of TIMEOUT"),
        ("MAX_SIZE", 0, "up to 4194304"),
        ("MAX_SIZE", 4194305, "up to 4194304"),
        ("MAX_SIZE", None, "up to 4194304"),
        ("MAX_KEYS", 0, "the most top-level keys"),
        ("MAX_KEYS", 2.5, "the most top-level keys"),
        ("OPTIONS", ["a"], "a dictionary for the client"),
    ],
)
def test_wrong_value_is_refused_by_name(configure: Any, key: str, value: Any, allowed: str) -> None:
    configure(cart={**ENGINE, key: value})
    with pytest.raises(ImproperlyConfigured) as caught:
        entry("cart")
    assert "MULTISESSION['cart']" in str(caught.value)
    assert repr(key) in str(caught.value)
    assert allowed in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("NAME", "a b"),
        ("NAME", ""),
        ("PATH", "shop/"),
        ("DOMAIN", ""),
        ("MAX_AGE", -1),
        ("MAX_AGE", 1.5),
        ("HTTPONLY", None),
        ("SECURE", "yes"),
        ("SAMESITE", "sometimes"),
        ("PARTITIONED", 1),
        ("COLOUR", 1),
    ],
)
def test_wrong_cookie_attribute_is_refused_by_name(configure: Any, key: str, value: Any) -> None:
    configure(cart={**ENGINE, "COOKIE": {key: value}})
    with pytest.raises(ImproperlyConfigured, match=rf"MULTISESSION\['cart'\]\['COOKIE'\].*'{key}'"):
        entry("cart")


@pytest.mark.parametrize("key", ["LOCATION", "KEYS", "OPTIONS"])
def test_wrong_value_that_may_hold_a_secret_is_not_shown(configure: Any, key: str) -> None:
    configure(default={key: {SECRET: 5, 6: SECRET}})
    with pytest.raises(ImproperlyConfigured, match="of type dict") as caught:
        entry("default")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("given", [f"redis://:{SECRET}@127.0.0.1/0", [SECRET], None])
def test_what_is_no_dictionary_is_refused_unseen(configure: Any, settings: Any, given: Any) -> None:
    configure(default=given)
    with pytest.raises(ImproperlyConfigured, match=r"MULTISESSION\['default'\] is of type") as caught:
        entry("default")
    assert SECRET not in str(caught.value)
    settings.MULTISESSION = given
    for read in (names, lambda: entry("default")):
        with pytest.raises(ImproperlyConfigured, match="MULTISESSION is of type") as caught:
            read()
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "meant"), [("ENGIN", "ENGINE"), ("location", "LOCATION"), ("TIME_OUT", "TIMEOUT"), ("MERGES", "MERGE")]
)
def test_unknown_key_that_is_nearly_right_is_asked_about(configure: Any, key: str, meant: str) -> None:
    configure(cart={**ENGINE, key: 1})
    with pytest.raises(ImproperlyConfigured, match=f"unknown key '{key}'. Did you mean '{meant}'"):
        entry("cart")


@pytest.mark.parametrize("application", [*PRESETS, "django_otp.plugins.otp_totp", "allauth.mfa.apps.MFAConfig"])
def test_guard_of_an_installed_package_applies_by_itself(configure: Any, settings: Any, application: str) -> None:
    known = next(keys for name, keys in PRESETS.items() if f"{application}.".startswith(f"{name}."))
    configure(default={}, own={**ENGINE, "GUARD": ["pending"]}, none={**ENGINE, "GUARD": []})
    assert entry("default").guard == GUARDED
    # Not by the fixture: Django would want to import it.
    with patch.object(django_settings, "INSTALLED_APPS", [*settings.INSTALLED_APPS, application]):
        reset(Event.SETTINGS)
        assert entry("default").guard >= GUARDED | known
        assert entry("own").guard == entry("default").guard | {"pending"}
        assert entry("none").guard == GUARDED
    reset(Event.SETTINGS)


@pytest.mark.parametrize("name", ["", "my cart", "1st", "ünï", "x" * 33, 5])
def test_wrong_session_name_is_refused(settings: Any, name: Any) -> None:
    settings.MULTISESSION = {name: ENGINE}
    with pytest.raises(ImproperlyConfigured, match="ASCII identifier of at most 32"):
        entry(name)


def test_unknown_session_name_lists_those_that_are_known(configure: Any) -> None:
    configure(cart=ENGINE)
    with pytest.raises(ImproperlyConfigured, match=r"no entry 'basket'.*'default', 'cart'"):
        entry("basket")


@pytest.mark.parametrize("key", ["ENGINE", "COOKIE"])
def test_default_session_has_djangos_engine_and_cookie(configure: Any, key: str) -> None:
    configure(default={key: {"ENGINE": "x.y", "COOKIE": {}}[key]})
    with pytest.raises(ImproperlyConfigured, match=f"has an? {key}.*SESSION_.*Remove it"):
        entry("default")


def test_named_session_needs_an_engine(configure: Any) -> None:
    configure(cart={})
    with pytest.raises(ImproperlyConfigured, match="has no ENGINE"):
        entry("cart")


def test_wrong_names_everything_at_once(configure: Any) -> None:
    configure(cart={"COLOUR": 1, "TIMEOUT": 0})
    assert len(problems("cart")) == 3


# Reading again.


def test_entry_is_read_again_after_a_change(configure: Any) -> None:
    configure(default={"TIMEOUT": 1})
    first = entry("default")
    assert entry("default") is first
    configure(default={"TIMEOUT": 2})
    assert entry("default").timeout == 2


@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
@pytest.mark.parametrize(
    ("setting", "resets"),
    [
        ("MULTISESSION", True),
        ("MULTISESSION_ANYTHING", True),
        ("SESSION_COOKIE_AGE", True),
        ("SECRET_KEY_FALLBACKS", True),
        ("DATABASES", True),
        ("INSTALLED_APPS", True),
        ("MIDDLEWARE", True),
        ("LANGUAGE_CODE", False),
    ],
)
def test_cached_results_go_when_a_setting_changes(setting: str, resets: bool) -> None:
    calls: list[str] = []

    @cached
    def result(name: str) -> str:
        calls.append(name)
        return name

    setting_changed.send(sender=None, setting="MULTISESSION", value=None, enter=True)
    assert result("a") == result("a") == "a"
    setting_changed.send(sender=None, setting=setting, value=None, enter=True)
    result("a")
    assert len(calls) == 1 + resets


def test_readme_names_every_key_of_an_entry() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    table = readme.partition("| key | meaning | default |")[2].partition("\n\n")[0]
    first_column = " ".join(row.split("|")[1] for row in table.splitlines() if "|" in row)
    assert set(re.findall("`([A-Z_]+)`", first_column)) == set(ALLOWED)
