"""What an import does, each in a fresh interpreter: no library but its own, no network."""

from __future__ import annotations

import subprocess
import sys

from django_multisession.testing.servers.base import free_port
from tests.unit.test_imports import ENGINES, LIBRARIES, MODULES, PACKAGE, is_part_of

NEEDS_LIBRARY = {
    "engines.redis": "redis",
    "engines.memcached": "memcached",
    "engines.mongodb": "mongodb",
    "engines.postgresql": "postgresql",
    "serializers": "typed",
}
UNREACHABLE = f"redis://127.0.0.1:{free_port()}/0"


REGISTRYS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.admin", f"{PACKAGE}.registry"]
"""What must be installed for every module of the registry to be imported."""


def python(code: str, apps: list[str] | None = None) -> str:
    """Run code in a fresh interpreter, with Django set up; return what it prints."""
    setup = "import django\nfrom django.conf import settings\n"
    setup += f"settings.configure(SECRET_KEY='x' * 50, INSTALLED_APPS={[PACKAGE, *(apps or [])]!r})\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", setup + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_without_a_library_imports_without_any() -> None:
    blocked = [*LIBRARIES, "pytest"]
    optional = [owner for owner, _ in LIBRARIES.values() if owner != "codec"]
    modules = [
        module
        for module in MODULES
        if module not in NEEDS_LIBRARY
        and not module.startswith(("testing", "migrations"))
        and not any(is_part_of(module, owner) for owner in optional)
    ]
    python(
        f"import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({blocked!r}))\n"
        f"django.setup()\n"
        f"for module in {modules!r}:\n"
        f"    importlib.import_module(f'{PACKAGE}.{{module}}'.rstrip('.'))\n",
        REGISTRYS,
    )


def test_module_without_its_library_names_the_extra() -> None:
    printed = python(
        f"import importlib, sys\n"
        f"from django.core.exceptions import ImproperlyConfigured\n"
        f"sys.modules.update(dict.fromkeys({list(LIBRARIES)!r}))\n"
        f"django.setup()\n"
        f"for module in {list(NEEDS_LIBRARY)!r}:\n"
        f"    try:\n"
        f"        importlib.import_module(f'{PACKAGE}.{{module}}')\n"
        f"    except ImproperlyConfigured as error:\n"
        f"        print(module, error)\n"
    )
    lines = printed.splitlines()
    assert len(lines) == len(NEEDS_LIBRARY)
    for line, (module, extra) in zip(lines, NEEDS_LIBRARY.items(), strict=True):
        assert line.startswith(module)
        assert f"django_multisession[{extra}]" in line


def test_imports_and_constructors_do_no_network_io() -> None:
    modules = [module for module in MODULES if not module.startswith("migrations")]
    printed = python(
        # PyMongo imports it where it is installed, and it binds a socket to find out whether there is IPv6.
        f"import contextlib, importlib, sys\n"
        f"with contextlib.suppress(ImportError):\n"
        f"    import urllib3.util\n"
        f"def watch(event, arguments):\n"
        f"    if event.startswith('socket.') and event not in ('socket.__new__', 'socket.gethostname'):\n"
        f"        print(event)\n"
        f"sys.addaudithook(watch)\n"
        f"django.setup()\n"
        f"for module in {modules!r}:\n"
        f"    importlib.import_module(f'{PACKAGE}.{{module}}'.rstrip('.'))\n"
        f"for engine in {ENGINES!r}:\n"
        f"    importlib.import_module(f'{PACKAGE}.engines.{{engine}}').SessionStore('k' * 32)\n",
        REGISTRYS,
    )
    assert printed == ""


def test_outage_of_a_site_without_the_app_of_users_is_503() -> None:
    printed = python(
        f"from django.http import HttpResponse\n"
        f"from django.urls import path\n"
        f"settings.ROOT_URLCONF, settings.ALLOWED_HOSTS = '__main__', ['testserver']\n"
        f"settings.SESSION_ENGINE = '{PACKAGE}.engines.redis'\n"
        f"settings.MULTISESSION = {{'default': {{'LOCATION': {UNREACHABLE!r}}}}}\n"
        f"settings.MIDDLEWARE = ['{PACKAGE}.middleware.SessionMiddleware']\n"
        f"django.setup()\n"
        f"from django.test import Client\n"
        f"urlpatterns = [path('', lambda request: HttpResponse(request.session.get('n')))]\n"
        f"client = Client(raise_request_exception=False)\n"
        f"client.cookies['sessionid'] = 'k' * 32\n"
        f"print(client.get('/').status_code)\n"
    )
    assert printed == "503\n"
