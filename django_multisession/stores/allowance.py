"""How long a thread may wait, counted in waiting alone.

A gevent hub that is busy with another greenlet, or a thread that gets no processor, is no server that is silent: what
the thread does meanwhile counts nowhere, and whoever comes past the end finds it moved, once, by as much as it was
late.
"""

from typing import Final

from ..deadline import thread_clock
from .wording import NO_ANSWER

_ONE_LOOK: Final = 0.001

_clock: Final = thread_clock.time


class Allowance:
    """Seconds of waiting, of which some are left; see the module's docstring."""

    __slots__ = ("_ends_at", "_is_extended")

    def __init__(self, seconds: float) -> None:
        self._ends_at = _clock() + seconds
        self._is_extended = False

    def left(self) -> float:
        """Return how many seconds the next wait may take, 0 for none."""
        return max(self._ends_at - _clock(), 0.0)

    def go_on(self) -> None:
        """Return if there is something left after a wait that was in vain; TimeoutError if not."""
        now = _clock()
        late = now - self._ends_at
        if late < 0:
            return
        if self._is_extended:
            raise TimeoutError(NO_ANSWER)
        self._ends_at, self._is_extended = now + max(late, _ONE_LOOK), True
