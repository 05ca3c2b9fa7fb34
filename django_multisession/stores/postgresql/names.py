"""Look host names up with a time limit, which libpq does not have, and without blocking an event loop."""

import asyncio
from collections.abc import Mapping
from typing import Any

from ...bridge import native_loop
from ...runtime import monotonic
from ..resolver import look_up


async def resolved(parameters: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Return libpq's parameters with the addresses of all hosts that they name.

    A host with several addresses is repeated for each: libpq tries them in turn. Raises OSError if no host has an
    address, and TimeoutError after so many seconds on a thread; in an event loop the caller sets the limit.
    """
    if not parameters.get("host") or parameters.get("hostaddr"):
        return dict(parameters)
    ends_at = monotonic() + seconds
    hosts = str(parameters["host"]).split(",")
    ports = str(parameters.get("port") or "").split(",")
    if len(ports) != len(hosts):
        ports = ports[:1] * len(hosts)
    places: list[tuple[str, str, str]] = []
    failure: OSError | None = None
    for host, port in zip(hosts, ports, strict=True):
        if not host or host.startswith(("/", "@")):
            places.append((host, "", port))  # a Unix socket
            continue
        try:
            lookup = look_up(host, 0)
            if native_loop() is None:
                found = lookup.result(max(ends_at - monotonic(), 0.0))
            else:
                found = await asyncio.shield(asyncio.wrap_future(lookup))
        except TimeoutError:
            raise
        except OSError as error:
            failure = error
        else:
            places.extend((host, str(address[0]), port) for *_, address in found)
    if failure is not None and not places:
        raise failure
    names, addresses, numbers = zip(*places, strict=True)
    return {**parameters, "host": ",".join(names), "hostaddr": ",".join(addresses), "port": ",".join(numbers)}
