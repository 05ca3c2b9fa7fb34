"""The contract of an engine on a store: saving, merging, secrecy and expiry, in both colours.

It is not for cookie engines, which make other promises, and have no store to wrap.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from django.test import override_settings

from ..sessions.server import ServerSession
from .drive import Drive, driving
from .interleaved import Plan
from .session_basics import Basics, Colours
from .session_cycles import Cycles
from .session_equality import Equality
from .session_expiry import Expiry
from .session_merges import Identities, Merging
from .session_outages import Outages
from .session_races import Races
from .session_records import ForeignRecords
from .session_sealing import SealedRecords
from .visits import Observed, Visits

_BASE = {
    "SERIALIZER": "django.core.signing.JSONSerializer",
    "TIMEOUT": 20.0,  # these tests do not depend on how fast answers come
}


class SessionContract(
    Basics, Colours, Races, Cycles, Identities, Merging, Equality, Outages, ForeignRecords, SealedRecords, Expiry
):
    """Subclass it in a test module, name the subclass Test…, and override the fixture ``engine``.

    If the engine needs settings, such as its LOCATION, override ``entry`` too. Each test uses keys of its own, so the
    server may hold other sessions.
    """

    @pytest.fixture
    def engine(self) -> type[ServerSession]:
        """Return the SessionStore of the engine under test."""
        raise NotImplementedError("Override the fixture engine() to return your SessionStore.")

    @pytest.fixture
    def entry(self) -> Mapping[str, Any]:
        """Return the entry MULTISESSION["default"]; tests add to it."""
        return {}

    def leave_thread(self) -> None:
        """Do what a thread must do before it ends, such as closing its database connections."""

    @pytest.fixture
    def configure(self, engine: type[ServerSession], entry: Mapping[str, Any]) -> Iterator[Callable[..., None]]:
        """Configure the sessions "default" and "other"; return a function that does so with further keys."""

        def configure(**changes: Any) -> None:
            default = {**_BASE, **entry, **changes}
            # The dotted path is imported only if a middleware opens the session.
            both = {"default": default, "other": {**default, "ENGINE": engine.__module__}}
            stack.enter_context(override_settings(MULTISESSION=both))

        with ExitStack() as stack:
            configure()
            yield configure

    @pytest.fixture
    def plan(self) -> Plan:
        """Return the plan for the store's operations."""
        return Plan()

    @pytest.fixture
    def session_class(self, engine: type[ServerSession], configure: Callable[..., None], plan: Plan) -> type[Observed]:
        """Return the engine's SessionStore, with a store that follows the plan."""
        return type(engine.__name__, (Observed, engine), {"plan": plan, "__module__": engine.__module__})

    @pytest.fixture(params=["sync", "async"])
    def drive(self, request: pytest.FixtureRequest, session_class: type[Observed]) -> Iterator[Drive]:
        """Run the test in one colour; its event loop ends with the test."""
        with driving(request.param, self.leave_thread) as drive:
            yield drive

    @pytest.fixture
    def visits(self, session_class: type[Observed], drive: Drive, caplog: pytest.LogCaptureFixture) -> Iterator[Visits]:
        """Return the Visits, whose session keys must not be in any log after the test."""
        caplog.set_level("DEBUG")
        visits = Visits(session_class, drive)
        yield visits
        messages = " ".join(record.getMessage() for record in caplog.get_records("call"))
        assert not [visit for visit in visits.opened if visit.key and visit.key in messages]
