"""What a request tells of who sent it, whatever it claims."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import RequestFactory, override_settings
from django.utils import translation

from django_multisession.registry import agents
from django_multisession.registry.agents import words_of
from django_multisession.registry.clients import AGENT_LENGTH, MOST_PROXIES, address_of, agent_of
from django_multisession.registry.networks import problems
from django_multisession.runtime import Event, reset

CLIENT, PROXY, EDGE, FORGED = "203.0.113.9", "10.0.0.5", "198.51.100.7", "1.2.3.4"
TRUSTED = ["10.0.0.0/8", "198.51.100.0/24", "2001:db8:5::/48"]


def address(remote: str | None, *forwarded: str, trusted: Iterable[str] = TRUSTED) -> str | None:
    """Return the address of a request that comes from ``remote`` with this X-Forwarded-For."""
    request = RequestFactory().get("/")
    request.META.pop("REMOTE_ADDR")
    if remote is not None:
        request.META["REMOTE_ADDR"] = remote
    if forwarded:
        # Web servers join what was sent in several headers (RFC 9110, section 5.3).
        request.META["HTTP_X_FORWARDED_FOR"] = ", ".join(forwarded)
    with override_settings(MULTISESSION_TRUSTED_PROXIES=list(trusted)):
        return address_of(request)


def test_address_without_the_setting_is_the_peers_whatever_it_claims() -> None:
    for name in ("X_FORWARDED_FOR", "FORWARDED", "X_REAL_IP", "CLIENT_IP", "CF_CONNECTING_IP", "TRUE_CLIENT_IP"):
        request = RequestFactory().get("/")
        request.META[f"HTTP_{name}"] = FORGED
        assert address_of(request) == "127.0.0.1"


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        (PROXY, [CLIENT], CLIENT),
        (PROXY, [CLIENT, EDGE], CLIENT),
        (PROXY, [CLIENT, EDGE, PROXY], CLIENT),
        (PROXY, [], PROXY),  # a health check of the proxy's own
        (PROXY, ["10.9.9.9", EDGE], "10.9.9.9"),  # a client inside: all are trusted
        (PROXY, [f"{CLIENT}:52814"], CLIENT),  # Azure's gateways add the port
        (PROXY, ["[2001:db8::7]:443"], "2001:db8::7"),
        (PROXY, ["2001:DB8:0:0::7"], "2001:db8::7"),
        ("2001:db8:5::1", [CLIENT], CLIENT),
        (f"::ffff:{PROXY}", [f"::ffff:{CLIENT}"], CLIENT),  # a socket for both families
        (PROXY, ["fe80::1%eth0"], "fe80::1"),
    ],
)
def test_address_behind_proxies_is_the_last_that_is_none(remote: str, forwarded: list[str], expected: str) -> None:
    assert address(remote, *forwarded) == expected


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        (CLIENT, [FORGED], CLIENT),  # who reaches the application directly
        (CLIENT, [FORGED, PROXY], CLIENT),  # and claims to come through the proxy
        (CLIENT, [FORGED, EDGE, PROXY], CLIENT),
        (PROXY, [FORGED, CLIENT], CLIENT),  # who sent the header to the proxy, which added the address
        (PROXY, [FORGED, PROXY, CLIENT], CLIENT),
        (PROXY, [FORGED, EDGE, CLIENT, EDGE], CLIENT),
        (PROXY, ["x" * 60_000, CLIENT], CLIENT),
        (PROXY, [*[FORGED] * 5_000, CLIENT], CLIENT),
    ],
)
def test_address_that_is_forged_is_not_believed(remote: str, forwarded: list[str], expected: str) -> None:
    assert address(remote, *forwarded) == expected


def test_no_more_hops_are_looked_at_than_a_site_has_proxies() -> None:
    # Each takes the library a while, and a visitor may send thousands.
    claimed = ["203.0.113.9", *["10.0.0.7"] * 500, "10.0.0.8", *["10.0.0.7"] * (MOST_PROXIES - 1)]
    assert address("10.0.0.1", ", ".join(claimed)) == "10.0.0.8"


def test_library_alone_would_believe_a_client_that_claims_to_be_behind_a_proxy() -> None:
    from python_ipware import IpWare

    forged = {"REMOTE_ADDR": CLIENT, "HTTP_X_FORWARDED_FOR": f"{FORGED}, {PROXY}"}
    found, is_trusted = IpWare(proxy_list=["10.0.0.0/8"]).get_client_ip(forged)
    assert (str(found), is_trusted) == (FORGED, True)


@pytest.mark.parametrize(
    "hop",
    [
        "unknown", "_hidden", "", "localhost", "999.1.1.1", "1.2.3", "1.2.3.4:x", "[2001:db8::7", "0.0.0.0",  # noqa: S104 - nothing is bound
        "224.0.0.1", "255.255.255.255", "::", "1.2.3.4/24", "1.2.3.4\x00", "٣.1.1.1", "'; DROP TABLE x", "-1",
        "16909060", "fe80::1%" + "x" * 300,
    ],
)  # fmt: skip
def test_address_that_a_proxy_does_not_tell_is_unknown(hop: str) -> None:
    assert address(PROXY, FORGED, hop) is None


@pytest.mark.parametrize("remote", [None, "", "garbage", "1.2.3", "127.0.0.1:80:80", "\x00", "unix:", "/run/app.sock"])
def test_address_of_a_peer_without_one_is_unknown(remote: str | None) -> None:
    assert address(remote) is None
    assert address(remote, FORGED) is None


@pytest.mark.parametrize("remote", [None, "", "unix:", "/run/app.sock"])
def test_address_behind_a_unix_socket_is_told_by_whoever_has_it(remote: str | None) -> None:
    assert address(remote, FORGED, CLIENT, trusted=["unix:"]) == CLIENT
    assert address(remote, FORGED, CLIENT, PROXY, trusted=["unix:", "10.0.0.0/8"]) == CLIENT
    assert address("garbage", CLIENT, trusted=["unix:"]) is None
    assert address(PROXY, FORGED, trusted=["unix:"]) == PROXY


@pytest.mark.parametrize(
    ("prefix", "remote", "expected"),
    [
        ((24, 48), CLIENT, "203.0.113.0"),
        ((16, 48), CLIENT, "203.0.0.0"),
        ([24, 48], "2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ((24, 48), f"::ffff:{CLIENT}", "203.0.113.0"),
        ((0, 0), CLIENT, "0.0.0.0"),  # noqa: S104 - nothing is bound
        ((32, 128), CLIENT, CLIENT),
        (None, CLIENT, CLIENT),
    ],
)
def test_prefix_keeps_the_network_alone(prefix: object, remote: str, expected: str) -> None:
    with override_settings(MULTISESSION_IP_PREFIX=prefix):
        assert address(remote) == expected


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("MULTISESSION_TRUSTED_PROXIES", "10.0.0.0/8", "must be a list"),
        ("MULTISESSION_TRUSTED_PROXIES", ["10.0.0.1/8"], "'10.0.0.1/8'; it must be a network without bits of a host"),
        ("MULTISESSION_TRUSTED_PROXIES", ["*"], "'*'"),
        ("MULTISESSION_TRUSTED_PROXIES", [167772160], "167772160"),
        ("MULTISESSION_TRUSTED_PROXIES", ["0.0.0.0/0"], "trusts everybody"),
        ("MULTISESSION_TRUSTED_PROXIES", ["::/0"], "trusts everybody"),
        ("MULTISESSION_TRUSTED_PROXIES", ["::ffff:10.0.0.0/104"], "write a network of IPv4 addresses as such"),
        ("MULTISESSION_IP_PREFIX", 24, "it must be None, or the bits"),
        ("MULTISESSION_IP_PREFIX", (33, 48), "(33, 48)"),
        ("MULTISESSION_IP_PREFIX", (24, -1), "(24, -1)"),
        ("MULTISESSION_IP_PREFIX", (24,), "(24,)"),
        ("MULTISESSION_IP_PREFIX", (True, 48), "(True, 48)"),
    ],
)
def test_setting_that_is_wrong_is_refused_with_the_remedy(setting: str, value: object, words: str) -> None:
    with override_settings(**{setting: value}):
        (sentence,) = problems()
        assert sentence.startswith(setting)
        assert words in sentence
        with pytest.raises(ImproperlyConfigured, match=setting):
            address_of(RequestFactory().get("/"))


def test_trusted_proxies_without_the_library_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_ipware", None)
    reset(Event.SETTINGS)
    assert address(CLIENT, trusted=[]) == CLIENT
    with pytest.raises(ImproperlyConfigured, match=r'pip install "django_multisession\[registry\]"'):
        address(CLIENT)


def agent(text: str) -> str:
    return agent_of(RequestFactory().get("/", HTTP_USER_AGENT=text))


def test_agent_is_cut_and_has_no_invisible_characters() -> None:
    assert agent("curl/8.5.0") == "curl/8.5.0"
    assert agent(" a\x00b\r\nc\x1b[31md\u202ee\u200bf\ud800g ") == "abc[31mdefg"
    assert agent("x" * 10_000) == "x" * AGENT_LENGTH
    assert agent("\x00" * 10_000_000 + "x") == ""
    request = RequestFactory().get("/")
    assert agent_of(request) == ""


FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"
_SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"
_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (FIREFOX, "Firefox on Windows"),
        (f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {_SAFARI}", "Safari on iPhone"),
        (f"Mozilla/5.0 (iPad; CPU OS 17_1 like Mac OS X) {_SAFARI.replace('Version', 'CriOS')}", "Chrome on iPad"),
        (f"Mozilla/5.0 (Linux; Android 10; K) {_CHROME} Mobile Safari/537.36", "Chrome on Android"),
        (
            f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_CHROME} Safari/537.36 Edg/142.0",
            "Edge on macOS",
        ),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {_CHROME} Safari/537.36", "Chrome on Chrome OS"),
        ("curl/8.5.0", "curl"),
        ("Shop/3.1 <b>of mine</b>", "Shop/3.1 <b>of mine</b>"),
        ("", "Unknown device"),
    ],
)
def test_words_name_browser_and_system(text: str, words: str) -> None:
    with translation.override("en"):
        assert words_of(text) == words


def test_words_without_the_library_are_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ua_parser", None)
    agents._parser.cache_clear()
    try:
        assert words_of(FIREFOX) == FIREFOX
    finally:
        agents._parser.cache_clear()
