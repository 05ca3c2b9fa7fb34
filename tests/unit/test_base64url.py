"""Base64 of cookies: one text for any data, with msgspec and without."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_multisession import base64url

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.fixture(params=["msgspec", "standard library"], autouse=True, scope="module")
def library(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "msgspec":
            patch.setattr(base64url, "_encode", None)
            patch.setattr(base64url, "_decode", None)
        yield


@given(st.binary(max_size=200))
def test_encode_is_the_standard_library_without_padding(data: bytes) -> None:
    text = base64url.encode(data)
    assert text == base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    assert base64url.decode(text) == data


@given(st.one_of(st.text(max_size=9), st.text(ALPHABET + '=+/"\\\n', max_size=9)))
def test_decode_takes_what_encode_returns_and_nothing_else(text: str) -> None:
    try:
        data = base64url.decode(text)
    except ValueError:
        return
    assert base64url.encode(data) == text


@pytest.mark.parametrize("data", [b"ab", b"a"])
def test_decode_refuses_bits_that_belong_to_no_byte(data: bytes) -> None:
    text = base64url.encode(data)
    after = ALPHABET[ALPHABET.index(text[-1]) + 1]
    with pytest.raises(ValueError, match="unused bits"):
        base64url.decode(text[:-1] + after)


@pytest.mark.parametrize("text", ["\\u0041", "\\u0041AAA", "AA\\/", 'A"A'])
def test_decode_refuses_escapes(text: str) -> None:
    with pytest.raises(ValueError, match=r"Base64|alphabet"):
        base64url.decode(text)
