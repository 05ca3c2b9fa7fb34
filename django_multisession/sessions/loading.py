"""From a session name to its SessionStore class."""

from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from ..conf import DEFAULT, entry
from ..runtime import Event, Kept, cached
from .base import MultisessionBase

_classes: Kept[dict[tuple[type[Any], str], type[Any]]] = Kept(dict, Event(0))


def named(session_class: type[MultisessionBase], name: str) -> type[Any]:
    """Return the subclass of a session class for another session name; the same one each time."""
    if name == session_class.session_name:
        return session_class
    found = _classes.value.get((session_class, name))
    if found is None:
        attributes = {
            "session_name": name,
            "__module__": session_class.__module__,
            "__doc__": session_class.__doc__,
        }
        found = type(session_class.__name__, (session_class,), attributes)
        found = _classes.value.setdefault((session_class, name), found)
    return found


def _meant(engine: str) -> str:
    """Ask whether the engine of ours that is spelt most like this is meant; "" if none is like it."""
    engines = import_module("django_multisession.engines")
    ours = [f"{engines.__name__}.{module.name}" for module in iter_modules(engines.__path__)]
    alike = get_close_matches(engine, ours, 1, 0.8)
    return f" Did you mean {alike[0]!r}?" if alike else ""


@cached
def session_class(name: str) -> type[Any]:
    """Return the SessionStore class of a session name; the same one until settings change.

    For "default" that is the class of SESSION_ENGINE, which need not be one of ours. ImproperlyConfigured for a name
    that is not configured and for an engine that cannot be imported.
    """
    if name == DEFAULT:
        setting, engine = "SESSION_ENGINE", str(settings.SESSION_ENGINE)
    else:
        setting, engine = f"MULTISESSION[{name!r}]['ENGINE']", str(entry(name).engine)
    try:
        found: type[Any] = import_module(engine).SessionStore
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ImproperlyConfigured(
            f"{setting} is {engine!r}; it must be the dotted path of a module with a SessionStore: {error}."
            f"{_meant(engine)}"
        ) from error
    if name == DEFAULT:
        return found
    if not issubclass(found, MultisessionBase):
        raise ImproperlyConfigured(
            f"{setting} is {engine!r}, which knows of one session only. Use an engine of django_multisession."
        )
    return named(found, name)
