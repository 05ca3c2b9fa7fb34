"""What is installed, and that a new project works on it as the README says."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connections
from django.test import override_settings

from django_multisession.checks import check_settings
from django_multisession.sessions.base import MultisessionBase
from django_multisession.sessions.loading import session_class
from django_multisession.testing.servers.base import free_port
from django_multisession.testing.servers.redis import RedisServer
from tests.moving.places import unregister
from tests.system.backends import PATIENCE
from tests.system.demo import Answer, Browser, wait_until_it_answers
from tests.system.installed import ROOT, bare_environment, build, install, run

PACKAGE = ROOT / "django_multisession"
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DAY = re.compile(r'(?<="UNTIL": ")[\d-]+')
"""A day that is over sooner or later."""
USER, PASSWORD = "somebody", "not-a-secret"

VIEWS = """
from django.http import HttpResponse


def visits(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(str(request.session["visits"]))


urlpatterns += [path("get", visits)]
"""
# "..." stands for what the project has; ours is in the place of Django's own.
SPLICE = """
INSTALLED_APPS = [app for each in INSTALLED_APPS for app in (theirs[0] if each is ... else [each])]
MIDDLEWARE = [
    next(ours for ours in MIDDLEWARE if ours is not ...) if each.endswith(".SessionMiddleware") else each
    for each in theirs[1]
]
"""


# What is in the distributions.


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist, and the wheel built from it, by their suffix."""
    return build(tmp_path_factory.mktemp("distributions"))


@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(distributions: dict[str, Path]) -> None:
    with zipfile.ZipFile(distributions[".whl"]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        metadata = next(name for name in wheel.namelist() if name.endswith("/METADATA"))
        described = wheel.read(metadata).decode()
    files = run("git", "ls-files", "-co", "--exclude-standard", "django_multisession", cwd=ROOT).split()
    assert names == {name for name in files if (ROOT / name).exists()}
    assert {"django_multisession/py.typed", "django_multisession/templates/503_sessions.html"} <= names
    assert "django_multisession/migrations/0001_initial.py" in names
    assert set(re.findall(r"^Provides-Extra: (\w+)$", described, re.MULTILINE)) == EXTRAS


@pytest.mark.slow
def test_sdist_holds_what_its_tests_need_and_nothing_of_the_working_copy(distributions: dict[str, Path]) -> None:
    with tarfile.open(distributions[".gz"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    needed = {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "noxfile.py", "scripts/test"}
    assert needed | {"tests/conftest.py", "testproject/settings.py", "docs/index.md"} <= names
    # hatchling writes PKG-INFO, and keeps .gitignore for builds from the sdist.
    tracked = set(run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).splitlines())
    assert names - tracked == {"PKG-INFO"}


# A project on them.


@pytest.fixture(scope="module")
def environment(distributions: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new virtual environment with the wheel in it."""
    return install(tmp_path_factory.mktemp("environment"), f"{distributions['.whl']}[redis,registry]")


@pytest.fixture
def project(environment: Path, redis_server: RedisServer, tmp_path: Path) -> Path:
    """A new project, set up as the README says."""
    run(environment / "django-admin", "startproject", "mysite", tmp_path, env=bare_environment())
    setup = SNIPPET.search((ROOT / "README.md").read_text().partition("## Set it up")[2])
    assert setup
    ours, replaced = re.subn(r"redis://[^\"]+", redis_server.location, setup[1])
    assert replaced == 1
    with (tmp_path / "mysite" / "settings.py").open("a") as settings:
        settings.write(f"\ntheirs = INSTALLED_APPS, MIDDLEWARE\n{ours}{SPLICE}")
    with (tmp_path / "mysite" / "urls.py").open("a") as urls:
        urls.write(VIEWS)
    return tmp_path


@contextmanager
def served(environment: Path, project: Path) -> Iterator[str]:
    """Serve the project, with its tables and a user, until the end of the block; yield its address."""
    python, port = environment / "python", free_port()
    variables = {**bare_environment(), "DJANGO_SUPERUSER_PASSWORD": PASSWORD, "PYTHONWARNINGS": "error"}

    def manage(*command: str) -> str:
        return run(python, "manage.py", *command, cwd=project, env=variables)

    assert "no issues" in manage("check")
    manage("migrate", "--verbosity=0")
    assert "no issues" in manage("check", "--database", "default")
    assert "round trip" in manage("checksessions").lower()
    manage("createsuperuser", "--noinput", "--username", USER, "--email", "somebody@example.com")
    address, log = f"http://127.0.0.1:{port}", project / "log"
    command: list[str | Path] = [python, "manage.py", "runserver", "--noreload", str(port)]
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=project, env=variables, stdout=output, stderr=output)
    try:
        wait_until_it_answers(server, address, log)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE)
    assert "Traceback" not in log.read_text()


def log_in(browser: Browser) -> Answer:
    """Log in by the admin's page, and return the one that comes after it."""
    browser.get("/admin/login/")
    return browser.submit("/admin/login/?next=/admin/", username=USER, password=PASSWORD)


@pytest.mark.slow
def test_new_project_works_as_the_readme_says(environment: Path, project: Path) -> None:
    with served(environment, project) as address:
        browser = Browser(address)
        assert [browser.get("/get").text for _ in range(3)] == ["1", "2", "3"]
        welcome = log_in(browser)
        assert welcome.status == 200
        assert welcome.url == f"{address}/admin/"
        assert browser.get("/get").text == "4"
        assert Browser(address).get("/get").text == "1"


@pytest.mark.slow
def test_devices_of_a_new_project_work_as_the_docs_say(environment: Path, project: Path) -> None:
    settings, urls, *_ = SNIPPET.findall((ROOT / "docs" / "devices.md").read_text())
    with (project / "mysite" / "settings.py").open("a") as file:
        file.write(f"{settings}LOGIN_URL = '/admin/login/'\n")
    with (project / "mysite" / "urls.py").open("a") as file:
        file.write(f"from django.urls import include\n{urls}")
    with served(environment, project) as address:
        here, there = Browser(address), Browser(address)
        for browser in (here, there):
            log_in(browser)
        text = here.get("/devices/").text
        assert text.count("This device") == 1
        (_, other) = re.findall(r'action="(/devices/[\w-]{36})"', text)
        assert there.get("/admin/").url == f"{address}/admin/"
        assert here.submit(other).url == f"{address}/devices/"
        assert "/admin/login/" in there.get("/admin/").url
        assert here.get("/admin/").url == f"{address}/admin/"
        assert here.get("/static/multisession/devices.css").status == 200


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["memcached", "mongodb", "postgresql"])
def test_installed_engine_without_its_extra_names_it(environment: Path, project: Path, engine: str) -> None:
    with (project / "mysite" / "settings.py").open("a") as settings:
        settings.write(f"\nSESSION_ENGINE = 'django_multisession.engines.{engine}'\nMULTISESSION = {{}}\n")
    command: list[str | Path] = [environment / "python", "manage.py", "check"]
    variables = bare_environment()
    result = subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert f'pip install "django_multisession[{engine}]"' in re.sub(r"\s+", " ", result.stderr)


@pytest.mark.parametrize(
    ("library", "extra", "settings"),
    [
        ("redis", "redis", {"SESSION_ENGINE": "django_multisession.engines.redis"}),
        ("pymemcache", "memcached", {"SESSION_ENGINE": "django_multisession.engines.memcached"}),
        ("pymongo", "mongodb", {"SESSION_ENGINE": "django_multisession.engines.mongodb"}),
        ("psycopg", "postgresql", {"SESSION_ENGINE": "django_multisession.engines.postgresql"}),
        (
            "msgspec",
            "typed",
            {
                "SESSION_ENGINE": "django_multisession.engines.memory",
                "SESSION_SERIALIZER": "django_multisession.serializers.TypedSerializer",
            },
        ),
    ],
)
def test_absent_library_is_an_error_that_names_the_extra(library: str, extra: str, settings: dict[str, Any]) -> None:
    program = f"""\
import sys
sys.modules[{library!r}] = None
from django.conf import settings
settings.configure(SECRET_KEY="not-a-secret", INSTALLED_APPS=["django_multisession"], **{settings!r})
import django
django.setup()
from django_multisession.checks import check_settings
print(*(message.msg for message in check_settings()))
"""
    assert f'"django_multisession[{extra}]"' in run(sys.executable, "-c", program)


# What the documents say.


def snippets() -> Iterator[Any]:
    """Yield each set of settings that a document shows, as parameters of a test."""
    for document in DOCUMENTS:
        for number, source in enumerate(SNIPPET.findall(DAY.sub("2999-01-01", document.read_text())), 1):
            if not re.search(r"^(SESSION_ENGINE|SESSION_SERIALIZER|MULTISESSION) = ", source, re.MULTILINE):
                continue
            alternatives = [ast.unparse(each) for each in ast.parse(source).body]
            settings: dict[str, Any] = {}
            for statement in alternatives:
                shown: dict[str, Any] = {"INSTALLED_APPS": []} if statement.startswith("INSTALLED_APPS +=") else {}
                exec(statement, shown)  # noqa: S102 - our own documents
                (name,) = shown.keys() - {"__builtins__"}
                if name in settings:  # another engine in its place
                    yield pytest.param(dict(settings), id=f"{document.name}-{number}-{name}")
                settings[name] = shown[name]
            yield pytest.param(settings, id=f"{document.name}-{number}")


@pytest.mark.parametrize("shown", list(snippets()))
def test_settings_in_the_documents_are_right(shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    # The others are lists with "..." in them.
    ours = {name: value for name, value in shown.items() if name.startswith(("SESSION", "MULTISESSION"))}
    if "postgresql" in str(ours):
        monkeypatch.setattr(connections["default"], "vendor", "postgresql")
    # Where no engine is shown, the one of the set-up above it.
    others = {"CACHES": {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://"}}}
    engine = {"SESSION_ENGINE": "django_multisession.engines.redis", "MULTISESSION": {}}
    others_apps = [app for app in ("user_sessions", "qsessions") if f"'{app}." in str(ours)]
    installed = [*settings.INSTALLED_APPS, *others_apps]
    with override_settings(INSTALLED_APPS=installed, **{**others, **engine, **ours}):
        # Where a site stands that moves in, and that pickles are loaded, is said in any case.
        said = {"multisession.I002", "multisession.I003", "multisession.W052"}
        assert [message for message in check_settings() if message.id not in said] == []
        for name in ["default", *ours.get("MULTISESSION", {})]:
            assert issubclass(session_class(name), MultisessionBase)
        for app in others_apps:
            unregister(list(apps.get_app_config(app).get_models()))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_extras_in_the_documents_exist(path: Path) -> None:
    named = re.findall(r"django[_-]multisession\[([\w,]+)\]", path.read_text())
    assert {extra for each in named for extra in each.split(",")} <= EXTRAS
