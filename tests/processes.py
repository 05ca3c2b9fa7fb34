"""New processes, which share no connection, thread or setting with the one that runs the tests."""

from __future__ import annotations

import importlib
import multiprocessing
from multiprocessing.context import ForkServerContext
from typing import Any

import django


def fresh_processes() -> ForkServerContext:
    """Return the context that makes processes: each is a fork of one that has imported Django and done nothing else.

    To import it anew costs a process 0.7 s of CPU, and many tests start eight.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.ready"])
    return context


def call_with_django(module: str, function: str, *arguments: Any) -> None:
    """Call a module's function in a new process, where Django is to be set up before the import."""
    django.setup()
    getattr(importlib.import_module(module), function)(*arguments)
