"""A session's cookie: its attributes, what browsers accept of them, and how it is set and deleted."""

import re
import time
from collections.abc import Mapping
from functools import lru_cache
from http.cookies import Morsel, SimpleCookie
from typing import Any, Final, NamedTuple, Self

from django.conf import settings
from django.http.response import HttpResponseBase
from django.utils.http import http_date

from .conf import DEFAULT, Entry, entry
from .domains import Domain, domain_for
from .entry_keys import MOST_CHUNKS

MAX_SIZE = 4096
"""Bytes that browsers keep for name, value and attributes together (RFC 6265, section 6.1)."""
MAX_ATTRIBUTE = 1024
"""Bytes of an attribute's value that browsers accept (RFC 6265bis, section 5.6)."""
SURELY_FITS = MAX_SIZE - 2 * MAX_ATTRIBUTE - 256
"""Bytes of a value that fits whatever name, path and domain the cookie has, of those that browsers accept."""
LONGEST = 2**32 - 1
"""Seconds of the longest Max-Age that is sent; browsers cap it at 400 days (RFC 6265bis, section 5.5)."""

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~:-]+", re.ASCII)  # http.cookies takes no other
_UNSAFE = re.compile(r"[^\x20-\x3a\x3c-\x7e]")  # ";" ends an attribute (RFC 6265, section 4.1.1)
_SAMESITE = ("Lax", "Strict", "None")
_HTTP_ONLY = ("__http-", "__host-http-")
"""Prefixes, in lower case, of cookies that browsers keep from scripts (draft-ietf-httpbis-layered-cookies)."""


class PartitionedMorsel(Morsel[str]):
    """A Morsel that can be Partitioned (CHIPS), which those of Python before 3.14 cannot."""

    _reserved: Final = {**Morsel._reserved, "partitioned": "Partitioned"}  # type: ignore[attr-defined]  # typeshed leaves it out
    _flags: Final = {*Morsel._flags, "partitioned"}  # type: ignore[attr-defined]  # typeshed leaves it out


class CookieOptions(NamedTuple):  # made at each save, in a third of the time of a frozen dataclass
    """The attributes of a session's cookie, except its age, which the session decides."""

    name: str
    path: str
    domain: str | None
    httponly: bool
    secure: bool
    samesite: str | None
    partitioned: bool = False

    @classmethod
    def of(cls, entry: Entry, request: Any = None) -> Self:
        """Return the options of an entry's cookie for a request; the SESSION_COOKIE_* settings are the defaults."""
        given = entry.cookie
        return cls(
            name=name_of(entry),
            path=given.get("PATH", settings.SESSION_COOKIE_PATH),
            domain=domain_for(domain_of(entry), request),
            httponly=given.get("HTTPONLY", settings.SESSION_COOKIE_HTTPONLY),
            secure=given.get("SECURE", settings.SESSION_COOKIE_SECURE),
            samesite=(given.get("SAMESITE", settings.SESSION_COOKIE_SAMESITE) or "").capitalize() or None,
            partitioned=given.get("PARTITIONED", False),
        )

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """Return these options with changes by attribute; ValueError, with rule and source, if browsers refuse them."""
        changed = self._replace(**changes)
        if problems := changed.problems():
            raise ValueError(problems[0])
        return changed

    def problems(self) -> list[str]:
        """Return a sentence for everything that browsers refuse about these options, with the rule and its source."""
        found = []
        prefix = self.name.lower()  # browsers ignore its case
        if not _NAME.fullmatch(self.name):
            found.append(
                f"Cookie name {self.name!r} is no token: letters, digits and !#$%&'*+-.^_`|~ (RFC 6265, section 4.1.1)."
            )
        for field, value in zip(self._fields, self, strict=True):
            if isinstance(value, str) and _UNSAFE.search(value):
                found.append(
                    f"{field} of cookie {self.name!r} is {value!r}: an attribute is printable ASCII without "
                    "';' (RFC 6265, section 4.1.1)."
                )
            if isinstance(value, str) and len(value) > MAX_ATTRIBUTE:
                found.append(
                    f"{field} of cookie {self.name!r} has {len(value)} characters: browsers ignore an attribute "
                    f"of more than {MAX_ATTRIBUTE} (RFC 6265bis, section 5.6)."
                )
        if not self.path.startswith("/"):
            found.append(
                f"path of cookie {self.name!r} is {self.path!r}: browsers ignore one that does not begin with '/' "
                "(RFC 6265, section 5.2.4)."
            )
        if self.samesite is not None and self.samesite not in _SAMESITE:
            found.append(
                f"samesite of cookie {self.name!r} is {self.samesite!r}: it must be 'Lax', 'Strict' or 'None' "
                "(RFC 6265bis, section 4.1.2.7)."
            )
        if not self.secure:
            needs = [
                what
                for what, given in (
                    ("SameSite=None", self.samesite == "None"),
                    ("Partitioned", self.partitioned),
                    ("the prefix __Secure-", prefix.startswith("__secure-")),
                    ("the prefix __Host-", prefix.startswith("__host-")),
                    ("the prefix __Http-", prefix.startswith("__http-")),
                )
                if given
            ]
            found += [
                f"Cookie {self.name!r} is not secure, but {need} needs Secure (RFC 6265bis, section 5.7, and CHIPS)."
                for need in needs
            ]
        if prefix.startswith(_HTTP_ONLY) and not self.httponly:
            found.append(
                f"Cookie {self.name!r} is readable by scripts, but its prefix needs HttpOnly: browsers drop it "
                "(draft-ietf-httpbis-layered-cookies)."
            )
        if prefix.startswith("__host-") and (self.domain or self.path != "/"):
            found.append(
                f"Cookie {self.name!r} has the prefix __Host-, which needs path '/' and no domain "
                "(RFC 6265bis, section 4.1.3.2)."
            )
        return found

    def set(self, response: HttpResponseBase, value: str, age: int | None, name: str | None = None) -> None:
        """Set the cookie for age seconds, or until the browser closes if age is None."""
        if age is not None:
            age = min(age, LONGEST)
        response.set_cookie(
            name or self.name,
            value,
            max_age=age,
            expires=None if age is None else http_date(time.time() + age),
            path=self.path,
            domain=self.domain,
            secure=self.secure,
            httponly=self.httponly,
            samesite=self.samesite,  # type: ignore[arg-type]  # problems() has checked it
        )
        if self.partitioned:
            _partition(response.cookies, name or self.name)

    def delete(self, response: HttpResponseBase, name: str | None = None) -> None:
        """Have the browser delete the cookie with the same name, path, domain and partition."""
        # Without HttpOnly, as Django does it, unless the prefix demands it: browsers would ignore the deletion.
        httponly = self.httponly and self.name.lower().startswith(_HTTP_ONLY)
        self._replace(httponly=httponly).set(response, "", 0, name)
        response.cookies[name or self.name]["expires"] = "Thu, 01 Jan 1970 00:00:00 GMT"

    def delete_beside(self, response: HttpResponseBase, name: str) -> None:
        """Delete the cookie as delete() does, but keep one of the same name that the response sets at another place.

        response.cookies holds one morsel for each key, but handlers write the name that the morsel itself has. So a
        second morsel of the same name, under another key, survives WSGI, ASGI, copying and pickling.
        """
        kept = response.cookies.pop(name, None)
        self.delete(response, name)
        if kept is not None:
            dict.__setitem__(response.cookies, f"{name}; {self.path}; {self.domain}", response.cookies.pop(name))
            dict.__setitem__(response.cookies, name, kept)

    def is_sent_to(self, path: str) -> bool:
        """Tell whether browsers send the cookie to a URL of this path (RFC 6265, section 5.1.4)."""
        return path == self.path or path.startswith(self.path if self.path.endswith("/") else f"{self.path}/")

    def same_place(self, other: "CookieOptions") -> bool:
        """Tell whether a browser takes a cookie with the other options for this one, if their names are equal."""
        mine, others = ((o.path, o.domain or None, o.partitioned) for o in (self, other))
        return mine == others

    def size(self, value: str) -> int:
        """Return the bytes of the Set-Cookie header with this value and the longest Max-Age and Expires."""
        return self.overhead() + len(value)

    def overhead(self, name: str | None = None) -> int:
        """Return the bytes of the Set-Cookie header without the value, with the longest Max-Age and Expires."""
        return _overhead(self, name or self.name)


@lru_cache(maxsize=64)
def _overhead(options: CookieOptions, name: str) -> int:
    jar: SimpleCookie = SimpleCookie()
    jar[name] = ""
    morsel = jar[name]
    morsel["max-age"] = LONGEST
    morsel["expires"] = "Thu, 01 Jan 1970 00:00:00 GMT"
    morsel["path"] = options.path
    morsel["domain"] = options.domain or ""
    morsel["secure"] = options.secure
    morsel["httponly"] = options.httponly
    morsel["samesite"] = options.samesite or ""
    return len(morsel.OutputString()) - len('""') + (len("; Partitioned") if options.partitioned else 0)


def _partition(cookies: SimpleCookie, name: str) -> None:
    plain, partitioned = cookies[name], PartitionedMorsel()
    partitioned.set(plain.key, plain.value, plain.coded_value)
    for attribute, value in plain.items():
        dict.__setitem__(partitioned, attribute, value)
    dict.__setitem__(partitioned, "partitioned", True)
    dict.__setitem__(cookies, name, partitioned)


def chunk_name(name: str, index: int) -> str:
    """Return the name of a cookie's chunk: the cookie's own for the first, then ``name.1``, ``name.2`` …"""
    return f"{name}.{index}" if index else name


@lru_cache(maxsize=64)
def chunk_names(name: str) -> tuple[str, ...]:
    """Return the names of a cookie and of all the chunks that it can have."""
    return tuple(chunk_name(name, index) for index in range(MOST_CHUNKS))


def name_of(entry: Entry) -> str:
    """Return the name of an entry's cookie as the settings have it now."""
    if entry.name == DEFAULT:
        return settings.SESSION_COOKIE_NAME
    name: str = entry.cookie.get("NAME", f"sessionid_{entry.name}")
    return name


def domain_of(entry: Entry) -> Domain:
    """Return the domain of an entry's cookie as the settings have it now."""
    given: Domain = entry.cookie.get("DOMAIN", settings.SESSION_COOKIE_DOMAIN)
    return given


def cookie_options(name: str, request: Any = None) -> CookieOptions:
    """Return the options of a session name's cookie as the settings have them now; for "default" with any engine."""
    return CookieOptions.of(Entry(name) if name == DEFAULT else entry(name), request)
