"""A project made from scratch moves in, source by source, with the settings that docs/moving-in.md shows."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from django_multisession.testing.servers.base import free_port
from django_multisession.testing.servers.redis import RedisServer
from tests.system.backends import PATIENCE
from tests.system.demo import Browser, wait_until_it_answers
from tests.system.installed import ROOT, bare_environment, build, install, run
from tests.system.test_packaging import DAY, SNIPPET, VIEWS

PAGE = DAY.sub("2999-01-01", (ROOT / "docs" / "moving-in.md").read_text())
DJANGOS = "django.contrib.sessions.backends"
USERS = ("first", "second")
PASSWORD = "not-a-secret"
CACHES = """
CACHES = {"default": {"BACKEND": "%s", "LOCATION": "{redis}/1"}}
"""
OF_DJANGO, OF_DJANGO_REDIS = (
    CACHES % "django.core.cache.backends.redis.RedisCache",
    CACHES % "django_redis.cache.RedisCache",
)
USER_SESSIONS = """
INSTALLED_APPS += ["user_sessions"]
SILENCED_SYSTEM_CHECKS = ["admin.E410"]  # its middleware is none of Django's, as its own manual says
"""
OURS = """
INSTALLED_APPS = ["django_multisession", *INSTALLED_APPS]
MIDDLEWARE = [
    "django_multisession.middleware.SessionMiddleware" if each.endswith(".SessionMiddleware") else each
    for each in MIDDLEWARE
]
"""
CREATE_USERS = """
from django.contrib.auth.models import User
for name in {names!r}: User.objects.create_superuser(name, password={password!r})
"""


@dataclass(frozen=True)
class Origin:
    """Where a project keeps its sessions before it moves in, and the heading of its screen in the page."""

    name: str
    heading: str
    engine: str
    settings: str = ""
    middleware: str | None = None
    walked: bool = True
    lists: str | None = None
    """The app whose table must be empty at the end."""


ORIGINS = [
    Origin("db", "In four steps", f"{DJANGOS}.db", lists="sessions"),
    Origin("cached_db", "From Django's `cached_db`", f"{DJANGOS}.cached_db", OF_DJANGO, lists="sessions"),
    Origin("cache", "From Django's `cache`", f"{DJANGOS}.cache", OF_DJANGO, walked=False),
    Origin("django-redis", "From Django's `cache`", f"{DJANGOS}.cache", OF_DJANGO_REDIS, walked=False),
    Origin("file", "From Django's `file`", f"{DJANGOS}.file", 'SESSION_FILE_PATH = "{directory}/files"\n'),
    Origin("signed_cookies", "From Django's `signed_cookies`", f"{DJANGOS}.signed_cookies", walked=False),
    Origin(
        "user-sessions", "From django-user-sessions", "user_sessions.backends.db",
        USER_SESSIONS, "user_sessions.middleware.SessionMiddleware", lists="user_sessions",
    ),
    Origin(
        "qsessions", "From django-qsessions", "qsessions.backends.db",
        'INSTALLED_APPS += ["qsessions"]\n', "qsessions.middleware.SessionMiddleware", lists="qsessions",
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new virtual environment with the built wheel, and what projects come from, in it."""
    wheel = build(tmp_path_factory.mktemp("distributions"))[".whl"]
    others = ("django-redis", "django-user-sessions", "django-qsessions", "setuptools<81")
    return install(tmp_path_factory.mktemp("environment"), f"{wheel}[redis]", *others)


class Site:
    """A project in one of its states; each deploy is another process."""

    def __init__(self, origin: Origin, environment: Path, redis: str, directory: Path) -> None:
        self._origin = origin
        self._python = environment / "python"
        self._directory = directory
        run(environment / "django-admin", "startproject", "mysite", directory, env=bare_environment())
        (directory / "files").mkdir()
        with (directory / "mysite" / "urls.py").open("a") as urls:
            urls.write(VIEWS)
        self._settings = directory / "mysite" / "settings.py"
        self._base = self._settings.read_text() + origin.settings.replace("{redis}", redis.removesuffix("/0")).replace(
            "{directory}", str(directory)
        )
        shown = SNIPPET.search(PAGE.partition(f"## {origin.heading}\n")[2])
        assert shown
        self._ours, replaced = re.subn(r"redis://[^\"]+", redis, shown[1])
        assert replaced == 1
        assert origin.engine in self._ours
        self.set("before")
        self.manage("migrate", "--verbosity=0")
        self.manage("shell", "--command", CREATE_USERS.format(names=USERS, password=PASSWORD))

    def set(self, state: str) -> None:
        """Write the settings of a state: before, first, second, end."""
        origin, settings = self._origin, self._base
        if state == "before":
            settings += f'SESSION_ENGINE = "{origin.engine}"\n'
            if origin.middleware:
                settings += (
                    f'MIDDLEWARE = ["{origin.middleware}" if each.endswith(".SessionMiddleware") else each '
                    "for each in MIDDLEWARE]\n"
                )
        else:
            settings += OURS + self._ours
        settings += {
            "second": 'del MULTISESSION["default"]["FALLBACK"]["CARRY"]\n',
            "end": 'del MULTISESSION["default"]["FALLBACK"]\n',
        }.get(state, "")
        self._settings.write_text(settings)

    def manage(self, *command: str) -> str:
        return run(self._python, "manage.py", *command, cwd=self._directory, env=bare_environment())

    @contextmanager
    def deployed(self, state: str, browsers: list[Browser]) -> Iterator[str]:
        """Serve the project in a state, and lead browsers there; yield its address."""
        self.set(state)
        port = free_port()
        address, log = f"http://127.0.0.1:{port}", self._directory / f"log-{state}"
        command: list[Any] = [self._python, "manage.py", "runserver", "--noreload", str(port)]
        with log.open("w") as output:
            server = subprocess.Popen(
                command, cwd=self._directory, env=bare_environment(), stdout=output, stderr=output
            )
        try:
            wait_until_it_answers(server, address, log)
            for browser in browsers:
                browser.address = address
            yield address
        finally:
            server.terminate()
            server.wait(timeout=PATIENCE)
        assert "Traceback" not in log.read_text(), log.read_text()


def logged_in(address: str, user: str) -> Browser:
    browser = Browser(address)
    browser.get("/admin/login/")
    answer = browser.submit("/admin/login/?next=/admin/", username=user, password=PASSWORD)
    assert (answer.status, answer.url) == (200, f"{address}/admin/")
    return browser


def is_logged_in(browser: Browser) -> bool:
    return browser.get("/admin/").url == f"{browser.address}/admin/"


@pytest.mark.slow
@pytest.mark.parametrize(
    "origin", [pytest.param(o, id=o.name, marks=[] if o.name == "db" else [pytest.mark.nightly]) for o in ORIGINS]
)
def test_project_moves_in_as_the_page_says(
    origin: Origin, environment: Path, redis_server: RedisServer, tmp_path: Path
) -> None:
    site = Site(origin, environment, redis_server.location, tmp_path)
    browsers: list[Browser] = []
    visits: Counter[Browser] = Counter()

    def everybody_counts() -> None:
        for browser in browsers:
            visits[browser] += 1
            assert browser.get("/get").text == str(visits[browser])
            assert is_logged_in(browser)

    with site.deployed("before", browsers) as address:
        browsers.append(logged_in(address, "first"))
        everybody_counts()
    with site.deployed("first", browsers) as address:
        everybody_counts()
        browsers.append(logged_in(address, "second"))
        everybody_counts()
        assert "works" in site.manage("checksessions")
    with site.deployed("before", browsers):  # the way back
        everybody_counts()
    with site.deployed("first", browsers):
        everybody_counts()
    with site.deployed("second", browsers) as address:
        everybody_counts()
        browsers.append(logged_in(address, "first"))
        everybody_counts()
        output = site.manage("migratesessions")
        assert (" moved from " in output) is origin.walked
        assert ("cannot be walked" in output) is not origin.walked
        everybody_counts()
        # A logout, and its cookie again.
        left = browsers.pop()
        kept = [copy(cookie) for cookie in left.jar]
        left.get("/admin/")
        left.submit("/admin/logout/")
        assert not is_logged_in(left)
        for cookie in kept:
            left.jar.set_cookie(cookie)
        assert not is_logged_in(left)
    with site.deployed("end", browsers):
        everybody_counts()
    if origin.lists:
        assert _live_rows(site, origin.lists) == 0
    if origin.name == "file":
        assert not list((tmp_path / "files").iterdir())


def _live_rows(site: Site, app: str) -> int:
    program = f"from django.apps import apps; print('rows', apps.get_model('{app}', 'Session').objects.count())"
    return int(site.manage("shell", "--command", program).rpartition("rows ")[2])
