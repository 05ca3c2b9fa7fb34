"""listsessions and revokesessions: what they find, ask, say and exit with."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from django_multisession.registry import many
from django_multisession.registry.management.commands import revokesessions
from django_multisession.registry.models import RegisteredSession
from django_multisession.sessions.registration import registrations
from django_multisession.testing.servers.base import free_port
from tests.registry.rows import FIREFOX, row_of

pytestmark = pytest.mark.django_db

MEMORY = "django_multisession.engines.memory"


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann")


def call(command: str, *arguments: str, **options: Any) -> str:
    """Return what a command prints."""
    output = io.StringIO()
    call_command(command, *arguments, stdout=output, no_color=True, **options)
    return output.getvalue()


def test_listsessions_shows_the_live_ones_and_no_key(ann: User) -> None:
    now = timezone.now()
    row = row_of(ann, ip_address="203.0.113.9")
    ended = [row_of(ann, revoked_at=now), row_of(ann, expires_at=now)]
    text = call("listsessions")
    assert all(word in text for word in (str(row.public_id), "ann", "203.0.113.9", "Firefox on Windows", "1 session."))
    assert not [each for each in ended if str(each.public_id) in text]
    assert row.storage_key not in text
    assert call("listsessions", verbosity=0).count("\n") == 2  # the table alone


def test_listsessions_of_a_user_and_of_a_session_name(ann: User, settings: Any) -> None:
    settings.MULTISESSION = {"cart": {"ENGINE": "django_multisession.engines.memory"}}
    bob = User.objects.create_user("bob")
    of_ann, of_bob, cart = row_of(ann), row_of(bob), row_of(bob, session_name="cart")

    def listed(*arguments: str) -> set[str]:
        lines = call("listsessions", "--json", *arguments).splitlines()
        return {json.loads(line)["id"] for line in lines}

    assert listed() == {str(row.public_id) for row in (of_ann, of_bob, cart)}
    assert listed("--user", "bob") == {str(row.public_id) for row in (of_bob, cart)}
    assert listed("--user", "bob", "--session", "cart") == {str(cart.public_id)}
    for arguments, words in ((["--user", "eve"], "username is 'eve'"), (["--session", "x"], "'default', 'cart'")):
        with pytest.raises(CommandError, match=words):
            call("listsessions", *arguments)


def test_listsessions_in_json_tells_all_but_keys(ann: User) -> None:
    row = row_of(ann, ip_address="2001:db8::1", label="Küche", external_id="sid", previous_key="b" * 40)
    text = call("listsessions", "--json")
    told = json.loads(text)
    assert (told["user"], told["user_agent"], told["label"]) == ("ann", FIREFOX, "Küche")
    assert told["authenticated"] == row.authenticated_at.isoformat()
    assert row.storage_key not in text
    assert row.previous_key not in text


def test_listsessions_of_many_rows_asks_one_query(ann: User, django_assert_num_queries: Any) -> None:
    for _ in range(30):
        row_of(ann)
    with django_assert_num_queries(1):
        call("listsessions", "--json")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "one of the arguments"),
        (["--all", "--user", "ann"], "not allowed with"),
        (["--older-than", "30"], "'30' is no age"),
        (["--older-than", "-1d"], "expected one argument"),
        (["--where", "user"], "'user' is no condition"),
        (["--where", "external_id="], "'external_id=' is no condition"),
        (["--where", "nothing=1"], "Cannot resolve keyword 'nothing'"),
        (["--where", "user_id=x"], "does not fit RegisteredSession"),
        (["--where", "public_id=x"], "does not fit RegisteredSession"),
        (["--user", "eve"], "There is no user whose username is 'eve'"),
    ],
)
def test_revokesessions_refuses_what_it_does_not_understand(arguments: list[str], words: str, ann: User) -> None:
    row_of(ann)
    with pytest.raises(CommandError, match=words):
        call("revokesessions", "--yes", *arguments)
    assert RegisteredSession.objects.filter(revoked_at=None).count() == 1


def test_revokesessions_that_finds_nothing_says_so(ann: User) -> None:
    row_of(ann)
    assert call("revokesessions", "--where", "external_id=x") == "No live session is among them.\n"
    assert call("revokesessions", "--where", "external_id=x", verbosity=0) == ""


@pytest.mark.parametrize("answer", ["", "n", "no", "yes please"])
def test_revokesessions_asks_and_does_nothing_without_a_yes(
    ann: User, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row_of(ann)
    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    with pytest.raises(CommandError, match="Nothing was changed"):
        call("revokesessions", "--user", "ann")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(CommandError, match="give --yes"):
        call("revokesessions", "--user", "ann")
    assert RegisteredSession.objects.filter(revoked_at=None).count() == 1


class Terminal(io.StringIO):
    """A stream that somebody sits at."""

    def isatty(self) -> bool:
        return True


def live() -> set[int]:
    return set(RegisteredSession.objects.filter(revoked_at=None).values_list("pk", flat=True))


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["--user", "ann"], {"bob's", "cart"}),
        (["--older-than", "30d"], {"ann's", "bob's", "cart"}),
        (["--older-than", "2000w"], {"ann's", "bob's", "cart", "old"}),
        (["--where", "external_id=sid"], {"ann's", "bob's", "old"}),
        (["--where", "session_name=cart"], {"ann's", "bob's", "old"}),
        (["--where", "session_name=default", "--where", "user__username=bob"], {"ann's", "cart", "old"}),
        (["--where", "ip_address=203.0.113.9"], {"bob's", "cart", "old"}),
        (["--all"], set()),
    ],
)
def test_revokesessions_ends_those_alone(ann: User, arguments: list[str], kept: set[str], settings: Any) -> None:
    settings.SESSION_ENGINE = MEMORY
    settings.MULTISESSION = {"cart": {"ENGINE": MEMORY}}
    bob = User.objects.create_user("bob")
    rows = {
        "ann's": row_of(ann, ip_address="203.0.113.9"),
        "bob's": row_of(bob),
        "cart": row_of(bob, session_name="cart", external_id="sid"),
        "old": row_of(ann, authenticated_at=timezone.now() - timedelta(days=31)),
    }
    output = call("revokesessions", "--yes", *arguments)
    assert live() == {rows[name].pk for name in kept}
    count = len(rows) - len(kept)
    assert count == 0 or f"{count} session" in output


def test_revokesessions_with_a_yes_goes_on(ann: User, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SESSION_ENGINE = MEMORY
    row_of(ann), row_of(ann)
    monkeypatch.setattr("sys.stdin", Terminal("Y\n"))
    assert call("revokesessions", "--user", "ann").splitlines() == [
        "2 sessions will be revoked, and what else the user had logged in to before now will be refused.",
        "2 sessions revoked.",
    ]
    assert live() == set()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("chosen", [["--user", "ann"], ["--all"]])
def test_revokesessions_of_a_user_ends_what_is_older_than_the_registry(
    ann: User, chosen: list[str], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SESSION_ENGINE = MEMORY
    old, bob = Client(), Client()
    with monkeypatch.context() as patch:
        patch.setattr(registrations, "make", None)
        for client, user in ((old, ann), (bob, User.objects.create_user("bob"))):
            client.force_login(user)
    assert not live()
    call("revokesessions", "--yes", *chosen)
    assert ["_auth_user_id" in client.session for client in (old, bob)] == [False, chosen != ["--all"]]
    new = Client()
    new.force_login(ann)
    assert "_auth_user_id" in new.session


@pytest.mark.django_db(transaction=True)
def test_revokesessions_ends_what_lives_longer_than_its_row_tells(ann: User, settings: Any) -> None:
    settings.SESSION_ENGINE = MEMORY
    client = Client()
    client.force_login(ann)
    RegisteredSession.objects.update(expires_at=timezone.now() - timedelta(minutes=5))
    call("revokesessions", "--yes", "--where", "user__username=ann")
    assert "_auth_user_id" not in client.session


def test_revokesessions_without_verbosity_prints_nothing(
    ann: User, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.SESSION_ENGINE = MEMORY
    row_of(ann)
    lines = Terminal()
    call_command("revokesessions", "--user", "ann", "--yes", verbosity=0, stdout=lines)
    call_command("revokesessions", "--all", "--yes", verbosity=0, stdout=lines)
    assert lines.getvalue() == ""
    assert capsys.readouterr() == ("", "")


def test_revokesessions_goes_on_in_batches_until_it_is_interrupted(
    ann: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SESSION_ENGINE = MEMORY
    for _ in range(5):
        row_of(ann)
    assert [len(batch.keys) for batch in many.revoke_many(many.live(), batch_size=2)] == [2, 2, 1]
    for _ in range(2):
        row_of(ann)

    def interrupted(rows: Any) -> Iterator[many.Batch]:
        yield from islice(many.revoke_many(rows, batch_size=1), 1)
        raise KeyboardInterrupt

    monkeypatch.setattr(revokesessions, "revoke_many", interrupted)
    with pytest.raises(CommandError, match="Interrupted: what is revoked by now stays so") as raised:
        call("revokesessions", "--yes", "--user", "ann")
    assert raised.value.returncode == 130
    assert len(live()) == 1


@pytest.mark.django_db(transaction=True)  # an outage is raised where no transaction is to end first
def test_revokesessions_in_an_outage_marks_and_says_what_is_left(ann: User, settings: Any) -> None:
    settings.SESSION_ENGINE = MEMORY
    settings.MULTISESSION = {
        "away": {
            "ENGINE": "django_multisession.engines.redis",
            "LOCATION": f"redis://127.0.0.1:{free_port()}/0",
            "TIMEOUT": 0.2,
        }
    }
    row_of(ann, session_name="away")
    with pytest.raises(CommandError, match=r"1 session marked, not deleted yet: .*purgesessions") as raised:
        call("revokesessions", "--yes", "--user", "ann")
    assert raised.value.returncode == 1
    assert live() == set()


def test_revokesessions_of_cookies_that_nobody_asks_about_says_so(ann: User, settings: Any) -> None:
    settings.SESSION_ENGINE = MEMORY
    settings.MULTISESSION = {"cart": {"ENGINE": "django_multisession.engines.signed_cookies"}}
    row_of(ann, session_name="cart")
    with pytest.raises(CommandError, match="REVOCABLE"):
        call("revokesessions", "--yes", "--user", "ann")
