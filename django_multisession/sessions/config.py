"""The settings of one session name, resolved once until they change."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signing import JSONSerializer
from django.utils.module_loading import import_string

from ..codec import RecordCodec
from ..conf import Entry, entry
from ..cookie_codec import CookieCodec
from ..cookies import MAX_SIZE, CookieOptions, name_of
from ..keys import Keyring, StorageKeys
from ..merge import RULES, Rule, append, append_messages
from ..runtime import cached
from .body import BodyCodec, FastJSONSerializer, fastest
from .flashes import FLASH_KEY
from .lifetime import Lifetime

REGISTRY: Final = "django_multisession.registry"

_TYPED: Final = (
    "Store what JSON knows, or set SERIALIZER to 'django_multisession.serializers.TypedSerializer', which keeps dates, "
    "Decimal, UUID, bytes, sets and tuples."
)


class SessionConfig:
    """An entry of MULTISESSION, and the objects made from it, each at its first use.

    An attribute raises ImproperlyConfigured if the keys that it is made from are wrong.
    """

    def __init__(self, described: Entry) -> None:
        self.name = described.name
        self.entry = described
        self.is_strict = self.entry.on_conflict == "strict"
        self.max_age: int | None = self.entry.cookie.get("MAX_AGE")

    @cached_property
    def keyring(self) -> Keyring:
        return Keyring(self.entry.secrets, self.entry.key_prefix, self.name)

    @cached_property
    def storage_keys(self) -> StorageKeys:
        return StorageKeys(self.entry.key_prefix, self.name)

    @cached_property
    def record_codec(self) -> RecordCodec:
        return RecordCodec(self.keyring, encrypt=self.entry.encrypt is not False, compress=self.entry.compress)

    def cookie_codec(self, *, encrypt: bool) -> CookieCodec:
        """Return the codec of a cookie engine; ImproperlyConfigured if ENCRYPT or REVOCABLE cannot be kept."""
        if self.entry.encrypt and not encrypt:
            raise ImproperlyConfigured(
                f"MULTISESSION[{self.name!r}]['ENCRYPT'] is True, but its engine signs and does not encrypt. "
                'Use "django_multisession.engines.encrypted_cookies".'
            )
        if self.entry.revocable and not apps.is_installed(REGISTRY):
            raise ImproperlyConfigured(
                f"MULTISESSION[{self.name!r}]['REVOCABLE'] is True, and there is no registry that could be asked about "
                f"a cookie. Add {REGISTRY!r} to INSTALLED_APPS, and migrate."
            )
        return CookieCodec(
            self.keyring, encrypt=encrypt, compress=self.entry.compress, size=MAX_SIZE, chunks=self.entry.chunks
        )

    @cached_property
    def serializer(self) -> type[Any]:
        """The class of the serializer: SERIALIZER of the entry, else SESSION_SERIALIZER."""
        return fastest(self._configured_serializer)

    @cached_property
    def _configured_serializer(self) -> type[Any]:
        path = self.entry.serializer or settings.SESSION_SERIALIZER
        setting = f"MULTISESSION[{self.name!r}]['SERIALIZER']" if self.entry.serializer else "SESSION_SERIALIZER"
        try:
            found: type[Any] = import_string(path)
        except ImportError as error:
            raise ImproperlyConfigured(
                f"{setting} is {path!r}; it must be the dotted path of a serializer: {error}."
            ) from error
        return found

    @cached_property
    def writes_alike(self) -> bool:
        """Whether the serializer is known to write equal values always as equal bytes."""
        return self.serializer in (JSONSerializer, FastJSONSerializer) or getattr(
            self.serializer, "writes_alike", False
        )

    @cached_property
    def lifetime(self) -> Lifetime:
        """The limits of a session's lifetime on a server."""
        return Lifetime(self.entry, always_ends=False)

    @cached_property
    def cookie_lifetime(self) -> Lifetime:
        """The limits of a session's lifetime in a cookie."""
        return Lifetime(self.entry, always_ends=True)

    @cached_property
    def bodies(self) -> BodyCodec:
        configured = self._configured_serializer
        remedy = _TYPED if issubclass(configured, JSONSerializer) else ""
        return BodyCodec(self.name, self.serializer, configured.__name__, remedy)

    @cached_property
    def merge_rules(self) -> Mapping[str, Rule]:
        """The merge rules by session key: those of MERGE, and those for messages and flashes."""
        rules: dict[str, Rule] = {"_messages": append_messages, FLASH_KEY: append}
        for key, rule in self.entry.merge.items():
            rules[key] = self._rule(key, rule)
        return rules

    def _rule(self, key: str, rule: Any) -> Rule:
        if callable(rule):
            found: Rule = rule
            return found
        if rule in RULES:
            return RULES[rule]
        try:
            found = import_string(rule)
        except ImportError as error:
            raise ImproperlyConfigured(
                f"MULTISESSION[{self.name!r}]['MERGE'][{key!r}] is {rule!r}; it must be one of "
                f"{', '.join(map(repr, RULES))} or the dotted path of a function f(base, theirs, ours)."
            ) from error
        return found

    def cookie_name(self) -> str:
        """Return the name of the session's cookie as the settings have it now."""
        return name_of(self.entry)

    def cookie_options(self, request: Any = None) -> CookieOptions:
        """Return the attributes of the session's cookie for a request, as the settings have them now.

        Not cached: projects change SESSION_COOKIE_* at run time, and Django honours that.
        """
        return CookieOptions.of(self.entry, request)

    def cookie_age(self) -> int:
        """Return the seconds that a session lives: MAX_AGE of its COOKIE, else SESSION_COOKIE_AGE."""
        return self.max_age or settings.SESSION_COOKIE_AGE

    def ends_with_browser(self, expiry: Any) -> bool:
        """Tell whether a session with this value of set_expiry(), None if unset, ends when the browser closes."""
        if expiry is not None:
            return bool(expiry == 0)
        return settings.SESSION_EXPIRE_AT_BROWSER_CLOSE if self.max_age is None else self.max_age == 0


@cached
def session_config(name: str) -> SessionConfig:
    """Return the config of a session name; ImproperlyConfigured if its entry is missing or wrong."""
    return SessionConfig(entry(name))
