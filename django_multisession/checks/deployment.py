"""Check what endangers sessions in production: ``manage.py check --deploy``.

Django's own checks (security.W010 to W015) cover the default session only, and only with Django's middleware.
"""

import re
from urllib.parse import parse_qsl

from django.conf import global_settings, settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ..conf import DEFAULT, GUARDED, Entry, entry
from ..cookies import cookie_options
from ..guards import installed
from ..sessions.base import MultisessionBase
from .cookies import check_sizes
from .found import (
    DJANGOS_MIDDLEWARE,
    Found,
    advice,
    entry_of,
    has_our_middleware,
    is_kept_by,
    sessions,
    store_of,
    warning,
)

SHORTEST_KEY = 32
"""Characters of a secret in KEYS: with 8 random bits each they have 256 bits, with 4 still too many to guess."""

_FILTER = "django_multisession.http.error_reports.ExceptionReporterFilter"
_LOOPBACK = re.compile(r"(?:localhost|127\..*|\[?::1\]?)(?::\d+)?", re.ASCII)
_YES = {"true", "1", "yes"}


def check_deployment() -> Found:
    """Check every session, and what concerns all sessions."""
    for name, session in sessions():
        yield from _check_cookie(name)
        yield from _check_entry(entry(name))
        yield from _check_place(name, session)
    yield from check_sizes(0)
    yield from _check_error_reports()


def _check_cookie(name: str) -> Found:
    options = cookie_options(name)
    setting = "SESSION_COOKIE_{}" if name == DEFAULT else entry_of(name) + "['COOKIE']['{}']"
    if not (name == DEFAULT and _django_checks_the_default()):
        if not options.secure:
            yield warning(
                "W020",
                f"The cookie of session {name!r} is sent over plain HTTP too, where anybody on the way can take it.",
                f"Set {setting.format('SECURE')} to True.",
            )
        if not options.httponly:
            yield warning(
                "W021",
                f"Scripts can read the cookie of session {name!r}: one cross-site scripting hole takes the session.",
                f"Set {setting.format('HTTPONLY')} to True.",
            )
    if options.samesite in (None, "None"):
        yield warning(
            "W022",
            f"The cookie of session {name!r} comes with requests that other sites cause (SameSite is "
            f"{options.samesite or 'not sent'}).",
            f"Set {setting.format('SAMESITE')} to 'Lax' or 'Strict', unless other sites must embed this one.",
        )
    can_be_host = options.secure and options.path == "/" and not options.domain
    if can_be_host and not options.name.lower().startswith("__host-"):
        yield advice(
            "I001",
            f"The cookie of session {name!r} could be named '__Host-{options.name}': browsers then let no other host "
            "of the domain set or overwrite it.",
            f"Set {setting.format('NAME')}. It logs everybody out once.",
        )


def _django_checks_the_default() -> bool:
    return "django.contrib.sessions" in settings.INSTALLED_APPS or DJANGOS_MIDDLEWARE in settings.MIDDLEWARE


def _check_entry(given: Entry) -> Found:
    if any(len(secret) < SHORTEST_KEY for secret in given.keys or ()):
        yield warning(
            "W023",
            f"{entry_of(given.name)}['KEYS'] has a secret of fewer than {SHORTEST_KEY} characters: it may be guessed.",
            "Make one: python -c 'import secrets; print(secrets.token_urlsafe(48))'",
        )
    found = installed(settings.INSTALLED_APPS)
    if found and given.guard == GUARDED:
        yield warning(
            "W024",
            f"{entry_of(given.name)}['GUARD'] is empty, and {', '.join(map(repr, found))} in INSTALLED_APPS: two "
            "requests at once can add up to a state that neither wrote, such as the pending user of one and the "
            "second factor that the other has passed.",
            "Leave GUARD out, or list in it what else belongs together.",
        )


def _check_place(name: str, session: type[MultisessionBase]) -> Found:
    store = store_of(session)
    if store is None:
        return
    if store.local:
        yield warning(
            "W025",
            f"Session {name!r} lives in the memory of one process: no other worker knows it, and a restart ends it.",
            "Choose an engine with a server, or a cookie engine.",
        )
    if is_kept_by(store, "memcached") and name == DEFAULT:
        yield warning(
            "W026",
            "The default session, which holds logins, is on memcached: it evicts sessions when it is full, a restart "
            "loses all of them, and nobody can tell either from a logout.",
            "Choose an engine that keeps what it has acknowledged, such as redis, postgresql or db.",
        )
    yield from _check_transport(entry(name), ("redis", "mongodb"))


def _check_transport(given: Entry, schemes: tuple[str, ...]) -> Found:
    location = given.location if isinstance(given.location, str) else ""
    scheme, _, rest = location.partition("://")
    asked = dict(parse_qsl(rest.partition("?")[2])) | {key: str(value) for key, value in given.options.items()}
    asked = {key.lower(): value.lower() for key, value in asked.items()}
    hosts = rest.partition("?")[0].partition("/")[0].rpartition("@")[2].split(",")
    is_elsewhere = not all(_LOOPBACK.fullmatch(host) for host in hosts)
    uses_tls = bool(_YES & {asked.get("tls"), asked.get("ssl")})
    if scheme.partition("+")[0] in schemes and scheme != "mongodb+srv" and is_elsewhere and not uses_tls:
        remedy = "Use 'rediss://'." if scheme.startswith("redis") else "Add 'tls=true' to LOCATION."
        yield warning(
            "W027",
            f"{entry_of(given.name)}['LOCATION'] is another host, reached without TLS: whoever is on the way reads the "
            "password, and can answer in the server's place.",
            remedy,
        )
    verifies = asked.get("ssl_cert_reqs") not in ("none", "cert_none", "verifymode.cert_none", "0")
    if not verifies or _YES & {asked.get("tlsallowinvalidcertificates"), asked.get("tlsinsecure")}:
        yield warning(
            "W028",
            f"The certificate of the server of session {given.name!r} is not verified: anybody on the way can answer "
            "in its place.",
            "Remove that option, and name the authority's certificate (ssl_ca_certs, tlsCAFile) if it is your own.",
        )


def _check_error_reports() -> Found:
    given = settings.DEFAULT_EXCEPTION_REPORTER_FILTER
    is_djangos = given == global_settings.DEFAULT_EXCEPTION_REPORTER_FILTER
    if (is_djangos and has_our_middleware()) or not any(True for _ in sessions()):
        return
    try:
        if issubclass(import_string(given), import_string(_FILTER)):
            return
    except (ImportError, ImproperlyConfigured, TypeError):
        pass
    yield warning(
        "W029",
        "Error reports, and the mails made of them, can show session keys: DEFAULT_EXCEPTION_REPORTER_FILTER is "
        f"{given!r}.",
        f"Set it to {_FILTER!r}, or to a subclass of that.",
    )
