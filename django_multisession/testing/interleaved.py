"""A store around a store that acts at planned moments, so that races and outages happen every time."""

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
    """What must happen around the operations of a store, and a list of those that were called.

    Operations that an action calls are not counted, and take no step of the plan.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.max_payload: int | None = None
        """A limit to pretend, in bytes; None for the store's own."""
        self.stores: list[Store] = []
        """The stores that follow the plan; kept, so that the end of the loop closes their asynchronous clients."""
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
        """Plan what happens at the next ``times`` calls of an operation; each call takes one step.

        ``lose`` makes the call raise StoreUnavailable, instead of the operation ("command") or after it ("reply").
        ``retryable`` stands for a lost connection, False for a timeout.
        """
        self._steps[operation].extend([_Step(before, after, lose, retryable)] * times)

    def forget(self) -> None:
        """Drop the steps that were not taken."""
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
    """Stands in for a store and follows a plan; all attributes that are no operations are the store's own."""

    def __init__(self, store: Store, plan: Plan) -> None:
        self._store = store
        self._plan = plan

    @classmethod
    def around(cls, store: Store, plan: Plan) -> Store:
        """Return a store that follows the plan."""
        plan.stores.append(store)
        return cast(Store, cls(store, plan))

    @property
    def max_payload(self) -> int | None:
        return self._store.max_payload if self._plan.max_payload is None else self._plan.max_payload

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return partial(self._plan._carry_out, name, found) if name in OPERATIONS else found
