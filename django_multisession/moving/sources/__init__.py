"""The sources for the engines that FALLBACK may name, with a module for each format."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.cache import SessionStore as DjangosCache
from django.contrib.sessions.backends.file import SessionStore as DjangosFiles
from django.contrib.sessions.backends.signed_cookies import SessionStore as DjangosSignedCookies
from django.core.exceptions import ImproperlyConfigured

from ...conf import Fallback
from ...sessions.base import MultisessionBase
from ..source import Source
from .cached_tables import CachedTableSource
from .caches import CacheSource
from .files import FileSource
from .own import OwnSource
from .own_cookies import OwnCookieSource
from .signed_cookies import SignedCookieSource
from .tables import TableSource


def source_of(fallback: Fallback) -> Source:
    """Return the source of a FALLBACK; ImproperlyConfigured if its engine's format is not known."""
    path = str(fallback.entry.engine)
    try:
        store_class = import_module(path).SessionStore
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ImproperlyConfigured(
            f"ENGINE is {path!r}; it must be the dotted path of a module with a SessionStore: {error}"
        ) from error
    except RuntimeError as error:  # raised by Django for a model whose app is not installed
        raise ImproperlyConfigured(
            f"ENGINE is {path!r}, whose app is not in INSTALLED_APPS. Leave it there until FALLBACK is removed."
        ) from error
    if issubclass(store_class, MultisessionBase):
        return _own(store_class)(fallback)
    return _kind_of(path, store_class)(fallback)


def _own(session: type[Any]) -> Callable[[Fallback], Source]:
    if hasattr(session, "store_class"):
        return partial(OwnSource, store_class=session.store_class)
    return partial(OwnCookieSource, encrypt=session.encrypt)


def _kind_of(path: str, store_class: type[SessionBase]) -> type[Source]:
    """Return the class of sources for an engine of Django or another package, or for a subclass of one."""
    kinds: dict[Any, type[Source]] = {
        DjangosCache: CacheSource,
        DjangosFiles: FileSource,
        DjangosSignedCookies: SignedCookieSource,
    }
    for base, kind in kinds.items():
        if issubclass(store_class, base):
            return kind
    if hasattr(store_class, "get_model_class") or _is_of_user_sessions(store_class):
        return CachedTableSource if hasattr(store_class, "cache_key_prefix") else TableSource
    raise ImproperlyConfigured(
        f"ENGINE is {path!r}, whose format is not known. Known are the engines of this "
        "package, of Django, of django-user-sessions and django-qsessions, and subclasses of them."
    )


def _is_of_user_sessions(store_class: type[SessionBase]) -> bool:
    return any(base.__module__ == "user_sessions.backends.db" for base in store_class.__mro__)
