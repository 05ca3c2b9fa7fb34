"""Backends: opaque bytes by key. Nothing here knows of Django's sessions."""
