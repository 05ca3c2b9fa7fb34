"""A store around a store that acts at a chosen moment: races and outages that happen each time, not by luck."""

from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

from ..exceptions import StoreUnavailable
from ..stores.base import Store

Action = Callable[[], Awaitable[object]]

OPERATIONS = frozenset({"read", "insert", "insert_many", "replace", "delete", "delete_many", "exists"})


@dataclass(frozen=True, slots=True)
class _Step:
    before: Action | None = None
    after: Action | None = None
    lose: Literal["command", "reply"] | None = None
    retryable: bool = False


class Plan:
    """What is to happen around the operations of a store, and which of them were called.

    Operations that an action calls are neither counted nor do they take a step of the plan.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.max_payload: int | None = None
        """A limit to feign, in bytes; None leaves the store its own."""
        self.stores: list[Store] = []
        """Those that follow the plan; kept, for their asynchronous clients are to be closed by the loop's end."""
        self._steps: defaultdict[str, deque[_Step]] = defaultdict(deque)
        self._acting = False

    def on(
        self,
        operation: str,
        *,
        before: Action | None = None,
        after: Action | None = None,
        lose: Literal["command", "reply"] | None = None,
        retryable: bool = False,
        times: int = 1,
    ) -> None:
        """Plan for the next call of an operation, and for ``times`` of them; each one takes one step.

        ``lose`` makes the call a StoreUnavailable: in place of the operation ("command") or after it ("reply").
        ``retryable`` tells the caller that the connection broke, False that it timed out.
        """
        self._steps[operation].extend([_Step(before, after, lose, retryable)] * times)

    def forget(self) -> None:
        """Let the steps go that were not taken."""
        self._steps.clear()

    def done(self) -> bool:
        """Tell whether every step has been taken."""
        return not any(self._steps.values())

    async def _carry_out(self, name: str, operation: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        if self._acting:
            return await operation(*args, **kwargs)
        self.calls.append(name)
        step = self._steps[name].popleft() if self._steps[name] else _Step()
        await self._act(step.before)
        if step.lose == "command":
            raise StoreUnavailable("a plan", "the command was lost", retryable=step.retryable)
        result = await operation(*args, **kwargs)
        await self._act(step.after)
        if step.lose == "reply":
            raise StoreUnavailable("a plan", "the reply was lost", retryable=step.retryable)
        return result

    async def _act(self, action: Action | None) -> None:
        if action is None:
            return
        self._acting = True
        try:
            await action()
        finally:
            self._acting = False


class Interleaved:
    """Stands in for a store and follows a plan; whatever is no operation is the store's own."""

    def __init__(self, store: Store, plan: Plan) -> None:
        self._store = store
        self._plan = plan

    @classmethod
    def around(cls, store: Store, plan: Plan) -> Store:
        """Return store, following plan."""
        plan.stores.append(store)
        return cast(Store, cls(store, plan))

    @property
    def max_payload(self) -> int | None:
        return self._store.max_payload if self._plan.max_payload is None else self._plan.max_payload

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return partial(self._plan._carry_out, name, found) if name in OPERATIONS else found
