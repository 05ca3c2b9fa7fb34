"""Look up host names within a time limit: on a thread, since the system's resolver takes no limit."""

import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from ..deadline import Allowance
from ..runtime import ALWAYS, Kept

T = TypeVar("T")
AddressInfo = tuple[int, int, int, str, Any]

_lookups: Kept[dict[tuple[str, int], "Future[Sequence[AddressInfo]]"]] = Kept(dict, ALWAYS)


def resolve(host: str, port: int, seconds: float) -> Sequence[AddressInfo]:
    """Return the addresses of a host, as socket.getaddrinfo() does, within so many seconds (TimeoutError)."""
    return wait_for(look_up(host, port), seconds)


def wait_for(answer: "Future[T]", seconds: float) -> T:
    """Return the result that another thread sets, within so many seconds (TimeoutError)."""
    allowance = Allowance(seconds)
    while True:
        try:
            return answer.result(allowance.left())
        except TimeoutError:
            if answer.done():  # the TimeoutError is the other thread's
                raise
            allowance.go_on()


def look_up(host: str, port: int) -> "Future[Sequence[AddressInfo]]":
    """Begin to look up the addresses of a host.

    Callers share one lookup for each name at a time, so nobody may cancel the future.
    """
    lookup: Future[Sequence[AddressInfo]] = Future()
    try:
        lookup.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    except socket.gaierror:  # a name
        pending = _lookups.value.setdefault((host, port), lookup)
        if pending is lookup:
            threading.Thread(target=_look_up, args=(host, port, lookup), daemon=True).start()
        return pending
    return lookup


def _look_up(host: str, port: int, lookup: "Future[Sequence[AddressInfo]]") -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except Exception as error:  # noqa: BLE001 - raised where the name was asked for
        lookup.set_exception(error)
    else:
        lookup.set_result(found)
    finally:
        _lookups.value.pop((host, port), None)
