"""The header in front of records and cookies."""

from __future__ import annotations

import pytest

from django_multisession.codec import Header
from django_multisession.envelope import COMPRESSED, LATEST, LENGTH, REGISTERED, SKEW, VERSION, clamp
from django_multisession.exceptions import InvalidRecord

HEADER = Header.new(b"version!", 1, 2, 3, 4)
PACKED = HEADER.pack(b"kid!")


def test_header_has_the_documented_layout() -> None:
    assert PACKED.hex(" ", 1) == (
        "01 00 6b 69 64 21 76 65 72 73 69 6f 6e 21 00 00 00 01 00 00 00 02 00 00 00 03 00 00 00 04"
    )
    assert len(PACKED) == LENGTH == 30
    assert PACKED[VERSION] == HEADER.version


def test_unpack_returns_what_was_packed() -> None:
    found = Header.unpack(HEADER.pack(b"kid!", COMPRESSED) + b"body")
    assert found == HEADER._replace(kid=b"kid!", flags=COMPRESSED)


@pytest.mark.parametrize("size", [0, 1, LENGTH - 1])
def test_unpack_of_too_few_bytes_is_unreadable(size: int) -> None:
    with pytest.raises(InvalidRecord, match="truncated"):
        Header.unpack(PACKED[:size])


@pytest.mark.parametrize("form", [0, 2, 255])
def test_unpack_of_another_format_is_unreadable(form: int) -> None:
    with pytest.raises(InvalidRecord, match=f"unknown format {form}"):
        Header.unpack(bytes([form]) + PACKED[1:])


@pytest.mark.parametrize("bit", range(4, 8))
def test_unpack_of_an_unknown_flag_is_unreadable(bit: int) -> None:
    with pytest.raises(InvalidRecord, match="unknown flags"):
        Header.unpack(b"\x01" + bytes([1 << bit]) + PACKED[2:])


def test_expired_allows_for_clocks_that_differ() -> None:
    assert not HEADER.expired(HEADER.expires_at + SKEW)
    assert HEADER.expired(HEADER.expires_at + SKEW + 0.1)
    assert not HEADER.expired(0)


@pytest.mark.parametrize(
    ("timestamp", "clamped"),
    [(-1, 0), (-0.5, 0), (0, 0), (1.9, 1), (LATEST, LATEST), (LATEST + 1, LATEST), (1e300, LATEST)],
)
def test_clamp_keeps_what_fits(timestamp: float, clamped: int) -> None:
    assert clamp(timestamp) == clamped


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize(("timestamp", "stored"), [(-1, 0), (LATEST, LATEST), (LATEST + 1, LATEST)])
def test_header_of_any_time_can_be_packed(place: int, timestamp: int, stored: int) -> None:
    times = [7, 7, 7, 7]
    times[place] = timestamp
    found = Header.unpack(Header.new(b"version!", *times).pack(b"kid!"))[4:]
    times[place] = stored
    assert found == tuple(times)


@pytest.mark.parametrize("flags", [0, COMPRESSED])
def test_login_without_a_mark_gets_none_as_it_goes_on(flags: int) -> None:
    before = Header.new(b"version!", 10, 20, 30, 10, flags=flags)
    assert Header.continuing(before, 50.0, 100, ("1", "1")).flags == 0


@pytest.mark.parametrize(
    ("users", "is_new", "authenticated_at", "flags"),
    [
        ((None, None), False, 0, 0),
        (("1", None), False, 50, REGISTERED),
        (("1", "2"), False, 50, REGISTERED),
        (("1", "1"), False, 20, REGISTERED),
        (("1", "1"), True, 20, REGISTERED),
        ((None, "1"), False, 0, 0),
    ],
)
def test_header_continues_a_login_of_the_same_user(
    users: tuple[str | None, str | None], is_new: bool, authenticated_at: int, flags: int
) -> None:
    before = Header.new(b"version!", 10, 20, 30, 10)
    header = Header.continuing(before, 50.0, 100, users, registers=True, is_new=is_new)
    assert (header.created_at, header.authenticated_at, header.flags) == (10, authenticated_at, flags)
    assert (header.expires_at, header.issued_at) == (150, 50)


@pytest.mark.parametrize("is_new", [True, False])
def test_mark_of_a_login_stays_under_its_key_alone(is_new: bool) -> None:
    before = Header.new(b"version!", 10, 20, 30, 10, flags=REGISTERED)
    header = Header.continuing(before, 50.0, 100, ("1", "1"), is_new=is_new)
    assert bool(header.flags & REGISTERED) is not is_new
    assert Header.unpack(header.pack(b"kid!")).flags == header.flags
