"""With a FALLBACK, sessions keep the contract that they keep without: carried, and beside another engine of ours."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import pytest

from django_multisession.sessions.records import Records
from django_multisession.sessions.repository import Repository
from django_multisession.sessions.server import ServerSession
from django_multisession.testing import Interleaved, Plan, SessionContract
from django_multisession.testing.session_cycles import Cycles
from django_multisession.testing.session_equality import Equality
from django_multisession.testing.session_records import ForeignRecords
from django_multisession.testing.session_sealing import SealedRecords
from django_multisession.testing.visits import Observed

OLD = {"ENGINE": "django_multisession.engines.memory", "KEY_PREFIX": "old:", "UNTIL": "2100-01-01"}


class TestCarrying(SessionContract):
    @pytest.fixture
    def engine(self) -> type[ServerSession]:
        found: type[ServerSession] = import_module("django_multisession.engines.memory").SessionStore
        return found

    @pytest.fixture
    def entry(self) -> Mapping[str, Any]:
        return {"FALLBACK": OLD}


class ObservedThere(Observed):
    """Its plan is followed by the store where its sessions live."""

    @classmethod
    def repository(cls) -> Repository:
        repository = super(Observed, cls).repository()
        records: Any = repository.records
        there = records.source.records
        if not isinstance(there.store, Interleaved):
            there.store = Interleaved.around(there.store, cls.plan)
        return repository

    @classmethod
    def records(cls) -> Records:
        places: Any = cls.repository().records
        found: Records = places.source.records
        return found


class TestBeside(TestCarrying):
    @pytest.fixture
    def entry(self) -> Mapping[str, Any]:
        return {"FALLBACK": {**OLD, "CARRY": False}}

    @pytest.fixture
    def session_class(self, engine: type[ServerSession], configure: Any, plan: Plan) -> type[Observed]:
        return type(engine.__name__, (ObservedThere, engine), {"plan": plan, "__module__": engine.__module__})


def leave_out(suite: type[SessionContract], *tests: str) -> None:
    """Have a suite not run these tests."""
    for test in tests:
        setattr(suite, test, None)


CARRYING = ("test_unknown_key_makes_no_record", "test_session_of_an_unknown_secret_can_be_left")
"""What differs here: an unknown key is looked for twice, and of a record that cannot be read a tombstone stays."""
BESIDE = (
    "test_each_use_is_one_operation_of_the_store",
    "test_outage_on_delete_is_raised",
    "test_each_use_costs_as_little_where_the_response_commits",
    "test_keys_of_several_types_merge",
    "test_login_as_another_user_in_the_middle_of_a_cycle_key_is_a_conflict",
    "test_lost_reply_and_a_change_of_theirs_on_top_is_no_second_change",
    "test_merge_in_a_cycle_key_follows_the_rule",
    "test_touch_comes_when_it_is_due",
)
"""What differs there: how a change of key ends the old one, the types of the serializer, the clock."""
leave_out(TestCarrying, *CARRYING)
leave_out(TestBeside, *BESIDE)
for records in (Cycles, Equality, ForeignRecords, SealedRecords):
    leave_out(TestBeside, *(name for name in vars(records) if name.startswith("test_")))
