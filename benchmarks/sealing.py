"""Compare the codec's time for sealing a record with that for authenticating it: ``python -m benchmarks.sealing``."""

from __future__ import annotations

import json
import statistics
from timeit import timeit

from benchmarks.payload import PAYLOADS
from django_multisession.codec import Header, RecordCodec
from django_multisession.envelope import LATEST
from django_multisession.keys import Keyring, StorageKeys, new_session_key

ROUNDS = 400
LOADS = 50
"""Loads of each form in a round, by turns: what else the machine does meets both."""


def main() -> None:
    ring, keys = Keyring(["a secret of the benchmarks'"], "", "default"), StorageKeys("", "default")
    header = Header.new(version=b"8 bytes!", created_at=0, authenticated_at=0, expires_at=LATEST, issued_at=0)
    codecs = [RecordCodec(ring, encrypt=encrypt, compress=None) for encrypt in (False, True)]
    for size, data in PAYLOADS.items():
        secret = new_session_key()
        payloads = [codec.encode(header, json.dumps(data).encode(), keys.key(secret)) for codec in codecs]
        rounds = [[_load(*each, keys, secret) for each in zip(codecs, payloads, strict=True)] for _ in range(ROUNDS)]
        alone, sealed = (statistics.median(times) for times in zip(*rounds, strict=True))
        ratio = statistics.median(after / before for before, after in rounds)
        print(f"{size}: authenticated alone {alone:.1f} µs a load, sealed {sealed:.1f} µs, {ratio:.2f} times as long")


def _load(codec: RecordCodec, payload: bytes, keys: StorageKeys, secret: str) -> float:
    """Return the µs of a load, for which a request derives the keys anew."""
    return timeit(lambda: codec.decode(payload, keys.key(secret)), number=LOADS) / LOADS * 1e6


if __name__ == "__main__":
    main()
