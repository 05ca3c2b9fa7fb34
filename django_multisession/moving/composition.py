"""Make from a FALLBACK what takes the place of Records."""

from django.core.exceptions import ImproperlyConfigured

from ..sessions.config import SessionConfig
from ..stores.base import Store
from .beside import Beside
from .carrying import Carrying
from .into_cookies import IntoCookies
from .places import Places
from .source import Source


def places_of(store: Store, config: SessionConfig) -> Places | None:
    """Return the two places of a session name; None without a FALLBACK. ImproperlyConfigured if that is wrong."""
    source = source_for(config)
    if source is None:
        return None
    where = _where(config)
    if _is_same(store, config, source):
        raise ImproperlyConfigured(
            f"{where} names the place where the sessions are: {source.name}, with the same KEY_PREFIX. Remove it. "
            "(The db and postgresql engines keep sessions in one table, so that no FALLBACK is needed between them.)"
        )
    if source.in_cookies and not store.keeps_tombstones:
        raise ImproperlyConfigured(
            f"{where}: sessions cannot come from cookies to {store.name}, which may forget that a session has ended: "
            "a copy of its cookie would bring it back. Use another engine."
        )
    return (Carrying if source.fallback.carry else Beside)(store, config, source)


def into_cookies(config: SessionConfig) -> IntoCookies | None:
    """Return the FALLBACK of a cookie engine; None if there is none. ImproperlyConfigured if it is wrong."""
    source = source_for(config)
    return None if source is None else IntoCookies(config, source)


def source_for(config: SessionConfig) -> Source | None:
    """Return the source of a session name; None without a FALLBACK. ImproperlyConfigured if that is wrong."""
    fallback = config.entry.fallback
    if fallback is None:
        return None
    from .sources import source_of  # imports Django's engines, which a project without a FALLBACK need not have

    name = fallback.entry.cookie.get("NAME")
    if name is not None and name != config.cookie_name() and not fallback.carry:
        raise ImproperlyConfigured(
            f"{_where(config)} has COOKIE['NAME'] {name!r}, and does not CARRY: sessions are made there, and processes "
            f"without FALLBACK look for them under that name. Give the session itself the name {name!r} until it "
            "carries."
        )
    try:
        return source_of(fallback)
    except ImproperlyConfigured as error:
        raise ImproperlyConfigured(f"{_where(config)}: {str(error).removeprefix('MULTISESSION: ')}") from error
    except (ImportError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ImproperlyConfigured(
            f"{_where(config)} names what cannot be used ({type(error).__name__}: {error}). Correct its SERIALIZER, or "
            "the entry of CACHES or DATABASES that it reads."
        ) from error


def _where(config: SessionConfig) -> str:
    return f"MULTISESSION[{config.name!r}]['FALLBACK']"


def _is_same(store: Store, config: SessionConfig, source: Source) -> bool:
    theirs = source.store
    if theirs is None or source.fallback.entry.key_prefix != config.entry.key_prefix:
        return False
    alias = getattr(store, "alias", None)
    return theirs.name == store.name if alias is None else getattr(theirs, "alias", None) == alias
