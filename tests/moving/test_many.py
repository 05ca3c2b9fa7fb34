"""A million rows of Django's table are walked to Redis: at what rate, and in how much memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from django_multisession.testing.servers.postgresql import PostgreSQLServer
from django_multisession.testing.servers.redis import RedisServer

pytestmark = [pytest.mark.server, pytest.mark.nightly, pytest.mark.slow]
ROWS = int(os.environ.get("MULTISESSION_ROWS", "1000000"))
FIRST = 30.0
"""Seconds after which what the walk needs is in memory, and no more may come."""
GROWTH = 32 * 1024 * 1024

SETTINGS = """\
SECRET_KEY = "not-a-secret-only-for-the-tests"
INSTALLED_APPS = ["django.contrib.sessions", "django_multisession"]
DATABASES = {databases!r}
USE_TZ = True
SESSION_ENGINE = "django_multisession.engines.redis"
MULTISESSION = {{
    "default": {{
        "LOCATION": {location!r},
        "FALLBACK": {{"ENGINE": "django.contrib.sessions.backends.db", "UNTIL": "2999-01-01"}},
    }}
}}
"""
FILL = """\
INSERT INTO django_session (session_key, session_data, expire_date)
SELECT md5(number::text), %s, now() + interval '10 days' FROM generate_series(1, %s) AS number
"""
SIGN = """\
import django; django.setup()
from django.contrib.sessions.backends.db import SessionStore
print(SessionStore().encode({"n": 1, "_auth_user_id": "1", "_auth_user_hash": "0" * 64, "text": "a" * 100}))
"""


def test_walk_of_a_million_rows_needs_no_more_memory_than_of_a_few(
    postgresql_server: PostgreSQLServer, tmp_path: Path
) -> None:
    with RedisServer() as redis:
        (tmp_path / "many.py").write_text(
            SETTINGS.format(databases={"default": dict(postgresql_server.location)}, location=redis.location)
        )
        variables = {**os.environ, "DJANGO_SETTINGS_MODULE": "many", "PYTHONPATH": f"{tmp_path}:{Path.cwd()}"}

        def run(*command: str) -> str:
            return subprocess.run(command, env=variables, check=True, capture_output=True, text=True).stdout

        run(sys.executable, "-m", "django", "migrate", "--verbosity=0")
        with psycopg.connect(postgresql_server.url) as connection:
            connection.execute(FILL, [run(sys.executable, "-c", SIGN).strip(), ROWS])
        command = [sys.executable, "-m", "django", "migratesessions"]
        began = time.monotonic()
        with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as walk:
            sizes = _sizes(walk)
            output, _ = walk.communicate()
        took = time.monotonic() - began
        print(f"\n{output}{ROWS / took:.0f} a second; {sizes[0] >> 20} MiB, at most {sizes[1] >> 20} MiB")  # noqa: T201 - what the test measures
        assert walk.returncode == 0
        assert output.startswith(f"default: {ROWS} moved")
        assert sizes[1] - sizes[0] < GROWTH
        with psycopg.connect(postgresql_server.url) as connection:
            assert connection.execute("SELECT count(*) FROM django_session").fetchone() == (0,)


def _sizes(walk: subprocess.Popen[Any]) -> tuple[int, int]:
    """Return the bytes that a process holds after FIRST seconds, or at most if it ends before, and at most."""
    process, began, first, most = psutil.Process(walk.pid), time.monotonic(), 0, 0
    while walk.poll() is None:
        try:
            size = process.memory_info().rss
        except psutil.NoSuchProcess:
            break
        most = max(most, size)
        if time.monotonic() - began < FIRST:
            first = most
        time.sleep(0.2)
    return first, most
