"""Every session that somebody is logged in to: list them, and end any of them.

Add ``"django_multisession.registry"`` to INSTALLED_APPS and migrate. Each function has a twin for event loops, such as
``arevoke_all()``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .database import RegistryUnavailable
    from .revocable import NotRevocable
    from .revocation import (
        adescribe,
        arevoke,
        arevoke_all,
        arevoke_where,
        asessions_of,
        describe,
        revoke,
        revoke_all,
        revoke_where,
        sessions_of,
    )

__all__ = [
    "NotRevocable",
    "RegistryUnavailable",
    "adescribe",
    "arevoke",
    "arevoke_all",
    "arevoke_where",
    "asessions_of",
    "describe",
    "revoke",
    "revoke_all",
    "revoke_where",
    "sessions_of",
]

_EXCEPTIONS = {"NotRevocable": "revocable", "RegistryUnavailable": "database"}


def __getattr__(name: str) -> Any:
    # Models can be imported only once Django has loaded the applications, and this package is one of them.
    if name in __all__:
        return getattr(import_module(f"{__name__}.{_EXCEPTIONS.get(name, 'revocation')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
