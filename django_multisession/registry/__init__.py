"""The registry of logins: list the sessions that users are logged in to, and end any of them.

Add ``"django_multisession.registry"`` to INSTALLED_APPS and migrate. Each function has an asynchronous twin, such as
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
    # Lazily: models can be imported only once all apps are ready, and this package is one of the apps.
    if name in __all__:
        return getattr(import_module(f"{__name__}.{_EXCEPTIONS.get(name, 'revocation')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
