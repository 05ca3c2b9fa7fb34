"""Contract suites for stores and engines: ours and third parties' run the same tests.

They need pytest. Test a store of your own with a class in a test module of yours::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self) -> MyStore:
            return MyStore(StoreOptions(location="my://127.0.0.1:1234"))

and the engine on it with another one::

    class TestMyEngine(SessionContract):
        @pytest.fixture
        def engine(self) -> type[ServerSession]:
            return my_engine.SessionStore

        @pytest.fixture
        def entry(self) -> dict[str, Any]:
            return {"LOCATION": "my://127.0.0.1:1234"}

Only this package imports pytest; nothing else of django_multisession imports this package.
"""

import pytest

# Before the imports below, so that a failing assert in a suite shows both of its sides.
for _module in (
    *("stores", "visits", "session_basics", "session_races", "session_cycles", "session_merges", "session_outages"),
    *("session_records", "session_sealing", "session_expiry"),
):
    pytest.register_assert_rewrite(f"{__name__}.{_module}")

from .drive import Drive  # noqa: E402 - see above
from .interleaved import Interleaved, Plan  # noqa: E402 - see above
from .sessions import SessionContract  # noqa: E402 - see above
from .stores import StoreContract, make_key, make_payload  # noqa: E402 - see above
from .visits import Visit, Visits  # noqa: E402 - see above

__all__ = [
    "Drive",
    "Interleaved",
    "Plan",
    "SessionContract",
    "StoreContract",
    "Visit",
    "Visits",
    "make_key",
    "make_payload",
]
