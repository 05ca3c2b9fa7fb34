"""The demo, as its users meet it: a server process for each engine, and a client that clicks through."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.test import Client

from django_multisession.testing.servers.base import free_port
from testproject import trials
from testproject.inspection import remaining
from testproject.management.commands.demouser import NAME, PASSWORD
from testproject.servers import SERVERS, every_server
from tests.system.demo import ROOT, Browser, demo_process, environment, process

ENGINES = [
    *("db", "memory", "redis", "memcached", "mongodb", "postgresql"),
    *("signed_cookies", "encrypted_cookies"),
]
NAMED = ["signed_cookies", "encrypted_cookies"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def demo(engine: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the demo on each engine, served as scripts/demo does."""
    directory = tmp_path_factory.mktemp(engine)
    location = None
    if engine in ("redis", "memcached", "mongodb", "postgresql"):
        server = request.getfixturevalue(f"{engine}_server")
        location = server.url if engine == "postgresql" else server.location
    named = {"MULTISESSION_NAMED": json.dumps(dict.fromkeys(NAMED))}
    with demo_process(environment(engine, directory, location) | named, directory) as address:
        yield address


@pytest.fixture
def browser(demo: str) -> Browser:
    return Browser(demo)


@pytest.fixture
def program(demo: str) -> Browser:
    """A client as curl is: it accepts anything."""
    return Browser(demo, accept="*/*")


def test_start_page_shows_engine_and_cookie(browser: Browser, engine: str) -> None:
    page = browser.get("/")
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert f"django_multisession.engines.{engine}" in page.text
    assert "sessionid" in page.text
    assert "There is no session yet" in page.text
    assert not [cookie for cookie in browser.jar if cookie.name == "sessionid"]


def test_stylesheet_is_served(browser: Browser) -> None:
    assert "prefers-color-scheme" in browser.get("/static/demo.css").text


def test_profile_without_a_login_is_401(browser: Browser) -> None:
    page = browser.get("/profile")
    assert page.status == 401
    assert "Log in first" in page.text


def test_login_profile_and_logout_by_forms(browser: Browser) -> None:
    browser.get("/login")
    page = browser.submit("/login", username=NAME, password=PASSWORD)
    assert (page.status, page.url) == (200, f"{browser.address}/profile")
    assert f"<h1>{NAME}</h1>" in page.text
    shown = browser.get("/").text
    assert "_auth_user_id" in shown
    assert browser.submit("/logout").url == f"{browser.address}/"
    assert browser.get("/profile").status == 401


def test_login_with_a_wrong_password_is_401_and_keeps_the_name(browser: Browser) -> None:
    browser.get("/login")
    page = browser.submit("/login", username=NAME, password="wrong")
    assert page.status == 401
    assert f'value="{NAME}"' in page.text
    assert "do not match" in page.text


def test_counter_by_forms_counts(browser: Browser) -> None:
    browser.get("/get")
    for count in (1, 2, 3):
        page = browser.submit("/set")
        assert page.url == f"{browser.address}/get"
        assert f"<output>{count}</output>" in page.text


def test_counter_survives_the_login(browser: Browser) -> None:
    browser.get("/get")
    browser.submit("/set")
    browser.get("/login")
    browser.submit("/login", username=NAME, password=PASSWORD)
    assert "<output>1</output>" in browser.get("/get").text


@pytest.mark.parametrize("path", ["/login", "/logout", "/set"])
def test_form_without_its_token_is_403(browser: Browser, path: str) -> None:
    page = browser.submit(path, username=NAME, password=PASSWORD)
    assert page.status == 403
    assert "token" in page.text


def test_login_profile_and_logout_by_json(program: Browser) -> None:
    assert program.get("/profile").json == {"error": "Log in first."}
    answer = program.post_json("/login", username=NAME, password="wrong")
    assert (answer.status, list(answer.json)) == (401, ["error"])
    assert program.post_json("/login", username=NAME, password=PASSWORD).json == {"user": NAME}
    profile = program.get("/profile")
    assert (profile.status, profile.json["user"]) == (200, NAME)
    assert program.post_json("/logout").json == {"user": None}
    assert program.get("/profile").status == 401


def test_counter_by_json_counts(program: Browser) -> None:
    assert program.get("/get").json == {"count": 0}
    assert program.get("/set").json == {"count": 1}
    assert program.post_json("/set").json == {"count": 2}
    assert program.get("/get").json == {"count": 2}


def test_start_page_as_json_hides_what_is_secret(program: Browser, engine: str) -> None:
    program.post_json("/login", username=NAME, password=PASSWORD)
    answer = program.get("/")
    assert answer.json["engine"].endswith(engine)
    assert answer.json["session"]["_auth_user_hash"] == "(hidden)"
    (key,) = [cookie.value for cookie in program.jar if cookie.name == "sessionid"]
    assert key
    assert key not in answer.text


def test_answers_are_not_kept_by_caches(program: Browser) -> None:
    headers = program.get("/get").headers
    assert headers["Cache-Control"] == "no-store"
    assert {"Accept", "Cookie"} <= set(headers["Vary"].split(", "))


@pytest.mark.parametrize("body", [b"{", b"[]", b"1", b"\xff"])
def test_login_with_json_that_is_no_object_is_401(program: Browser, body: bytes) -> None:
    assert program._open("/login", body, "application/json").status == 401


def test_logout_by_get_is_405(program: Browser) -> None:
    assert program.get("/logout").status == 405


def test_start_page_has_a_card_for_every_session(browser: Browser, engine: str) -> None:
    page = browser.get("/")
    assert re.findall(r'<article class="card" id="(\w+)"', page.text) == ["default", *NAMED]


def test_card_counts_in_its_own_session(browser: Browser) -> None:
    browser.get("/")
    page = browser.submit("/sessions/signed_cookies/add")
    assert page.url.partition("#")[0] == f"{browser.address}/"
    counts = re.findall(r'<output aria-label="Count of (\w+)">(\d+)', page.text)
    assert dict(counts) == {"default": "0", "signed_cookies": "1", "encrypted_cookies": "0"}


def test_flash_is_shown_once(browser: Browser) -> None:
    browser.get("/")
    assert "<b>once" not in browser.submit("/sessions/default/flash", text="<b>once").text
    browser.submit("/sessions/default/flash", text="just once")
    assert "just once" not in browser.get("/").text


def test_card_names_what_is_left_of_the_lifetime(program: Browser) -> None:
    program.post_json("/sessions/default/expire")
    described = program.get("/sessions/default/").json
    assert 8 <= described["expires_in"] <= 10
    assert described["cookie"]["Max-Age"] == "10 s"
    program.post_json("/sessions/default/clear")
    assert program.get("/").json["session"] == {}


def test_size_is_that_of_cookie_and_record(program: Browser) -> None:
    program.post_json("/sessions/default/add")
    small = program.get("/").json
    program.post_json("/sessions/default/grow")
    large = program.get("/").json
    kept = "cookies" if small["size"] is None else "size"
    sizes = [sum(each[kept]) if kept == "cookies" else each[kept] for each in (small, large)]
    assert sizes[1] - sizes[0] >= 2_000


def test_option_that_browsers_refuse_is_400_and_names_the_rule(browser: Browser) -> None:
    browser.get("/")
    page = browser.submit("/sessions/default/options", samesite="None")
    assert page.status == 400
    assert "needs Secure" in page.text


def test_error_stands_at_its_card_on_the_page_that_it_belongs_to(browser: Browser) -> None:
    browser.get("/")
    for back, cards in (("", ["default", *NAMED]), ("session", ["signed_cookies"])):
        page = browser.submit("/sessions/signed_cookies/options", samesite="None", back=back)
        found = dict(re.findall(r'<article class="card" id="(\w+)"(.*?)</article>', page.text, re.DOTALL))
        assert list(found) == cards
        assert [name for name, card in found.items() if 'role="alert"' in card] == ["signed_cookies"]


def test_race_keeps_both_changes_and_loses_one_on_djangos_engine(browser: Browser, engine: str) -> None:
    browser.get("/")
    page = browser.submit("/race")
    assert page.status == 200
    assert page.text.count(">lost<") == 1
    program = Browser(browser.address, accept="*/*")
    both = {"cart": "a book", "language": "Welsh"}
    ours = {} if engine in NAMED else {f"django_multisession.engines.{engine}": both}
    djangos = {"django.contrib.sessions.backends.db": {"language": "Welsh"}}
    assert program.post_json("/race").json == {"kept": {**ours, **djangos}}


@pytest.mark.parametrize("path", ["/sessions/nobody/", "/sessions/nobody/add", "/sessions/default/nothing"])
def test_unknown_session_or_action_is_404(program: Browser, path: str) -> None:
    assert program.get(path).status == 404


@pytest.fixture
def site(settings: Any) -> Any:
    """The demo in this process."""
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "testproject"]
    settings.ROOT_URLCONF = "testproject.urls"
    settings.LOGIN_URL = "login"
    settings.SESSION_ENGINE = "django_multisession.engines.memory"
    return settings


def test_card_of_an_unreachable_server_says_so_and_the_others_work(site: Any, client: Client) -> None:
    location = f"redis://:hush-hush@127.0.0.1:{free_port()}/0"
    client.cookies["sessionid_cart"] = "x" * 32
    named = {"cart": {"ENGINE": "django_multisession.engines.redis", "LOCATION": location}}
    site.MULTISESSION = named
    answer = client.get("/", headers={"Accept": "text/html"})
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "Not reachable just now" in page
    assert "hush-hush" not in page
    assert 'aria-label="Count of default"' in page


def test_outage_is_503_and_keeps_the_session(site: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "OUTAGE", 0.5)
    assert client.post("/set", content_type="application/json").json() == {"count": 1}
    key = client.cookies["sessionid"].value
    assert client.post("/outage", content_type="application/json").status_code == 200
    statuses = [client.get("/get").status_code]
    while statuses[-1] != 200:
        statuses.append(client.get("/get").status_code)
    assert statuses[0] == 503
    assert set(statuses) == {503, 200}
    assert client.get("/get").json() == {"count": 1}
    assert client.cookies["sessionid"].value == key


@pytest.mark.parametrize("engine", ["memory", "signed_cookies"])
def test_outage_needs_a_session_on_a_server(site: Any, client: Client, engine: str) -> None:
    site.SESSION_ENGINE = f"django_multisession.engines.{engine}"
    if engine == "signed_cookies":
        client.post("/set", content_type="application/json")
    assert client.post("/outage", content_type="application/json").status_code == 400
    page = client.get("/", headers={"Accept": "text/html"}).content.decode()
    assert re.search(r'formaction="/outage" disabled', page)


def test_engine_that_is_missing_is_named_with_the_reason(site: Any, client: Client) -> None:
    site.DEMO_MISSING = {"mongodb": "not on the PATH"}
    page = client.get("/", headers={"Accept": "text/html"}).content.decode()
    assert "<dt>mongodb</dt><dd>not on the PATH</dd>" in page


def test_servers_that_are_not_there_are_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in SERVERS:
        monkeypatch.setattr(kind, "available", staticmethod(lambda name=kind.name: f"{name}: nowhere"))
    with every_server() as variables:
        assert list(json.loads(variables["MULTISESSION_NAMED"])) == ["signed_cookies", "encrypted_cookies"]
        assert json.loads(variables["MULTISESSION_MISSING"])["redis"] == "nowhere"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (1_198, "19 min 58 s"),
        (3_605, "1 h"),
        (86_400, "1 day"),
        (14 * 86_400 - 1, "13 days 23 h"),
    ],
)
def test_remaining_time_is_said_in_two_units(seconds: int, text: str) -> None:
    assert remaining(seconds) == text


def run_script(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["scripts/demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "PROJECT_VENV": sys.prefix, **variables},
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_script_serves_the_demo_and_prints_the_login(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    address = f"http://127.0.0.1:{port}"
    variables = environment("db", tmp_path, None)
    with process(["scripts/demo"], {**variables, "PORT": str(port)}, address, log):
        browser = Browser(address, accept="*/*")
        assert browser.post_json("/login", username=NAME, password=PASSWORD).status == 200
    printed = log.read_text()
    assert f"Open    {address}/" in printed
    assert f"{NAME} / {PASSWORD}" in printed


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "note"), [("redis+cluster", "Redis Cluster: 3 masters"), ("redis+sentinel", "Redis Sentinel: a master")]
)
def test_script_starts_several_servers_that_are_one(tmp_path: Path, name: str, note: str) -> None:
    port, log = free_port(), tmp_path / "log"
    address = f"http://127.0.0.1:{port}"
    variables = environment("db", tmp_path, None) | {"PORT": str(port)}
    before = descendants()
    with process(["scripts/demo", name], variables, address, log):
        browser = Browser(address, accept="*/*")
        assert browser.post_json("/login", username=NAME, password=PASSWORD).status == 200
        started = descendants() - before
    assert note in log.read_text()
    assert not [process for process in started if process.is_running()]


def descendants() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def test_script_for_all_shows_every_engine_and_ends_its_servers(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    address = f"http://127.0.0.1:{port}"
    variables = environment("db", tmp_path, None) | {"PORT": str(port)}
    before = descendants()
    with process(["scripts/demo", "--all"], variables, address, log):
        page = Browser(address).get("/").text
        started = descendants() - before
    missing = dict(re.findall(r"^Not here: (\w+): (.+)$", log.read_text(), re.MULTILINE))
    # As the docs advise; mongo-java-server cannot do better.
    checked = {text.split()[0]: text for text in log.read_text().split("\n\n") if "django_multisession.engines" in text}
    assert not [name for name in ("redis", "memcached", "postgresql") if "problem" in checked.get(name, "")]
    for name in ("redis", "memcached", "mongodb", "postgresql"):
        assert (f'<article class="card" id="{name}"' in page) is (name not in missing)
        assert (f"<dt>{name}</dt>" in page) is (name in missing)
    assert len(started) >= 2  # the script and the demo
    assert not [process for process in started if process.is_running()]


def test_script_without_the_server_says_what_is_missing(tmp_path: Path) -> None:
    location = f"redis://:hush-hush@127.0.0.1:{free_port()}/0"
    variables = {"MULTISESSION_LOCATION": location, "DEMO_DATABASE": str(tmp_path / "demo.sqlite3")}
    result = run_script("redis", **variables)
    assert result.returncode == 1
    assert "Connection refused" in result.stdout
    assert "MULTISESSION_LOCATION" in result.stderr
    assert "hush-hush" not in result.stdout + result.stderr


@pytest.mark.parametrize("arguments", [[], ["--all"]])
def test_script_with_a_taken_port_says_so_first(arguments: list[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run_script(*arguments, PORT=str(port), DEMO_DATABASE=str(tmp_path / "demo.sqlite3"))
    assert result.returncode == 1
    assert f"The port {port} is taken" in result.stderr
    assert "PORT=" in result.stderr
    assert "Open" not in result.stdout
    assert "Starting servers" not in result.stderr


def test_script_with_an_unknown_engine_names_the_engines() -> None:
    result = run_script("reddis")
    assert result.returncode == 1
    assert "redis memcached mongodb" in result.stderr


@pytest.mark.usefixtures("site")
def test_asgi_application_answers() -> None:
    requests = iter([{"type": "http.request", "body": b"", "more_body": False}])
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        for request in requests:
            return request
        await asyncio.sleep(60)  # the client stays until it is answered
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask() -> None:
        from testproject.asgi import application

        headers = [(b"host", b"127.0.0.1"), (b"accept", b"*/*")]
        scope = {"type": "http", "method": "GET", "path": "/get", "query_string": b""}
        await application({**scope, "headers": headers}, receive, send)

    asyncio.run(ask())
    assert sent[0]["status"] == 200
    assert json.loads(sent[1]["body"]) == {"count": 0}
