"""MULTISESSION_TRUSTED_PROXIES and MULTISESSION_IP_PREFIX: trusted proxies, and how much of an address is kept."""

from collections.abc import Iterator
from functools import partial
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from ..runtime import cached

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PROXIES: Final = "MULTISESSION_TRUSTED_PROXIES"
PREFIX: Final = "MULTISESSION_IP_PREFIX"
SOCKET: Final = "unix:"
"""Stands for the peer of a Unix socket, as in nginx (set_real_ip_from)."""
_WHOLE: Final = (32, 128)


def problems() -> Iterator[str]:
    """Yield a sentence for everything that is wrong with the two settings."""
    yield from _wrong_proxies(getattr(settings, PROXIES, ()))
    given = getattr(settings, PREFIX, None)
    if given is not None and not _is_prefix(given):
        yield (
            f"{PREFIX} is {given!r}; it must be None, or the bits to keep of an IPv4 and of an IPv6 address, such as "
            "(24, 48)."
        )


def _wrong_proxies(given: Any) -> Iterator[str]:
    if not isinstance(given, list | tuple | set | frozenset):
        yield f'{PROXIES} is {given!r}; it must be a list of networks, such as ["10.0.0.0/8"].'
        return
    for text in given:
        try:
            network = None if text == SOCKET else ip_network(text if isinstance(text, str) else "")
        except ValueError:
            yield (
                f"{PROXIES} has {text!r}; it must be a network without bits of a host, such as '10.0.0.0/8' or "
                f"'2001:db8::1', or {SOCKET!r} for a Unix socket."
            )
            continue
        if network is None:
            continue
        if not network.prefixlen:
            yield (
                f"{PROXIES} has {text!r}, which trusts everybody: each visitor could then claim any address. "
                "Name the networks of your proxies."
            )
        if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped:
            yield f"{PROXIES} has {text!r}; write a network of IPv4 addresses as such: '10.0.0.0/8'."
    if given:
        try:
            _reader()
        except ImproperlyConfigured as error:
            yield str(error)


def _is_prefix(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == len(_WHOLE)
        and all(type(bits) is int and 0 <= bits <= most for bits, most in zip(value, _WHOLE, strict=True))
    )


@cached
def _checked() -> tuple[frozenset[Network], bool, tuple[int, int]]:
    """Return the trusted networks, whether a Unix socket is trusted, and the bits to keep."""
    if (problem := next(problems(), None)) is not None:
        raise ImproperlyConfigured(problem)
    given = getattr(settings, PROXIES, ())
    ipv4, ipv6 = getattr(settings, PREFIX, None) or _WHOLE
    return frozenset(ip_network(text) for text in given if text != SOCKET), SOCKET in given, (ipv4, ipv6)


def trusted(address: Address | None, via_socket: bool) -> bool:
    """Tell whether the proxy with this address, or at the other end of a Unix socket, is trusted."""
    networks, socket, _ = _checked()
    if address is None:
        return via_socket and socket
    return any(address in network for network in networks)


def prefixed(address: Address) -> str:
    """Return the part of an address that MULTISESSION_IP_PREFIX keeps, followed by zeros."""
    _, _, (ipv4, ipv6) = _checked()
    bits = ipv4 if isinstance(address, IPv4Address) else ipv6
    return str(ip_network((address, bits), strict=False).network_address)


def peer(text: str) -> Address | None:
    """Return the address in REMOTE_ADDR; None if it is no address."""
    try:
        return _plain(ip_address(text.strip()))
    except ValueError:
        return None


def relayed(hop: str) -> Address | None:
    """Return the address that a proxy has written into a header, maybe with port and brackets; None if it is none.

    Multicast, reserved and unspecified addresses do not count.
    """
    found, _ = _reader()({"HOP": hop.strip()})
    return None if found is None else _plain(found)


@cached
def _reader() -> Any:
    """Return python-ipware's reader of a single hop.

    Its own handling of a chain needs each proxy's position, and never checks whether the peer is a proxy: whoever
    reaches the application directly could claim any address (decisions.md, D58). clients.py decides which hop to
    believe.
    """
    try:
        from python_ipware import IpWare
    except ImportError as error:
        raise ImproperlyConfigured(
            f'{PROXIES} needs python-ipware: pip install "django_multisession[registry]".'
        ) from error
    return partial(IpWare(precedence=("HOP",), proxy_count=0).get_client_ip, strict=True)


def _plain(address: Address) -> Address:
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))  # without its zone
    return address
