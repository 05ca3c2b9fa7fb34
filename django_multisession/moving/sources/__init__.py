"""Sources by the engine that FALLBACK names, a module for each kind of format."""

from ...conf import Fallback
from ..source import Source


def source_of(fallback: Fallback) -> Source:
    """Return the source of a FALLBACK; ImproperlyConfigured if its engine is none that can be read."""
    raise NotImplementedError
