"""A probe by a client whose own limits are too long for it."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

from ..breaker import PROBE_TIMEOUT
from ..bridge import native_loop
from ..loop_time import within


async def probe_on_a_thread(look: Callable[[], object]) -> None:
    """Raise what look raises; TimeoutError after PROBE_TIMEOUT. A thread of its own waits for look to its end."""
    answer: Future[object] = Future()
    answer.set_running_or_notify_cancel()  # or the thread could not set what nobody waits for any more
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
