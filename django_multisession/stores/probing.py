"""Bound a probe whose client library has no time limit that is short enough."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

from ..breaker import PROBE_TIMEOUT
from ..bridge import native_loop
from ..loop_time import within


async def probe_on_a_thread(look: Callable[[], object]) -> None:
    """Call look on a new thread, which goes on if it is late; raise what it raises, or TimeoutError."""
    answer: Future[object] = Future()
    answer.set_running_or_notify_cancel()  # so that it cannot be cancelled: the thread sets it even if nobody waits
    threading.Thread(target=_look, args=(look, answer), daemon=True).start()
    if native_loop() is None:
        answer.result(PROBE_TIMEOUT)
    else:
        await within(asyncio.wrap_future(answer), PROBE_TIMEOUT)


def _look(look: Callable[[], object], answer: "Future[object]") -> None:
    try:
        answer.set_result(look())
    except Exception as error:  # noqa: BLE001 - for whoever waits
        answer.set_exception(error)
