"""What a request tells about its sender: the network address and the user agent.

Both help people who look through a list of devices; neither proves anything: see docs/devices.md.
"""

from django.http import HttpRequest

from .networks import Address, peer, prefixed, relayed, trusted

AGENT_LENGTH = 255
"""Characters of a user agent that are kept."""
MOST_PROXIES = 32
"""How many hops are parsed: a visitor may send thousands, and each takes python-ipware some 30 µs."""
_FORWARDED = "HTTP_X_FORWARDED_FOR"


def address_of(request: HttpRequest) -> str | None:
    """Return the address that a request came from; None if it is not known.

    It is the peer's (REMOTE_ADDR). If that is one of MULTISESSION_TRUSTED_PROXIES, it is the last address in
    X-Forwarded-For that is none of these: the client may have invented whatever is left of that. If all are trusted, it
    is the first, of MOST_PROXIES at most. A trusted proxy that names no address ("unknown", RFC 7239, section 6.2) is
    believed.

    MULTISESSION_IP_PREFIX keeps only the network's part of the address. IPv4 written as IPv6 becomes IPv4, and IPv6
    loses its zone, which means something on this host only. Raises ImproperlyConfigured for a wrong setting.
    """
    found = _client(request.META.get("REMOTE_ADDR") or "", request.META.get(_FORWARDED) or "")
    return None if found is None else prefixed(found)


def _client(remote: str, forwarded: str) -> Address | None:
    # The peer of a Unix socket has no address; some servers give its path.
    found = peer(remote)
    via_socket = not remote or remote.startswith(("unix:", "/"))
    for _ in range(MOST_PROXIES):
        if not (forwarded and trusted(found, via_socket)):
            break
        forwarded, _comma, hop = forwarded.rpartition(",")
        found, via_socket = relayed(hop), False
    return found


def agent_of(request: HttpRequest) -> str:
    """Return the User-Agent header, cut to 255 characters; empty if there is none.

    Invisible characters are left out: control characters, and those that change the direction of the text.
    """
    given = request.META.get("HTTP_USER_AGENT") or ""
    return "".join(filter(str.isprintable, given[: 4 * AGENT_LENGTH])).strip()[:AGENT_LENGTH]
