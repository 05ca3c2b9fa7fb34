"""A browser, its requests in pieces, and the orders in which those can happen; the site is Django's own logins."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import combinations, permutations, product
from math import factorial, prod
from typing import Any, ClassVar

from django.contrib.auth import aget_user, alogin, alogout, aupdate_session_auth_hash, get_user, login, logout
from django.contrib.auth import update_session_auth_hash as update_hash
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import User
from django.contrib.sessions.exceptions import SessionInterrupted
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from django_multisession.bridge import driven
from django_multisession.conf import DEFAULT
from django_multisession.cookies import cookie_options
from django_multisession.middleware import SessionMiddleware
from django_multisession.sessions.server import ServerSession

Step = Callable[[], Awaitable[object]]

VICTIM, ATTACKER = 1, 2


class Users(BaseBackend):
    """Users by their id, with the hash of a password each; no table."""

    passwords: ClassVar[dict[int, str]] = {}

    def get_user(self, user_id: int) -> User:
        user = User(pk=user_id, username=f"user {user_id}", password=self.passwords.get(user_id, "first"))
        user.save = user.asave = lambda **_: None  # type: ignore[method-assign, assignment]  # last_login
        return user

    async def aget_user(self, user_id: int) -> User:
        return self.get_user(user_id)


class Exchange:
    """A request, and what comes of it, in pieces: what the view does, the end of the request, the answer's way back."""

    def __init__(self, middleware: SessionMiddleware, jar: dict[str, str]) -> None:
        self._middleware = middleware
        self._jar = jar
        self.brought = jar.get(cookie_options(DEFAULT).name)
        """The session key that the request brings."""
        self.request: Any = RequestFactory().get("/")
        self.request.COOKIES = dict(jar)
        middleware.process_request(self.request)
        self.response: Any = None
        self.sent: str | None = None
        """The session key that the response sets."""
        self.deletes = False
        """Whether the response has the browser forget the session's cookie."""

    @property
    def session(self) -> Any:
        return self.request.session

    # What a view does.

    async def look(self) -> None:
        await self.get("cart")

    async def get(self, key: str) -> Any:
        return self.session.get(key) if driven() else await self.session.aget(key)

    async def put(self, **data: Any) -> None:
        if driven():
            self.session.update(data)
        else:
            await self.session.aupdate(data)

    async def user(self) -> Any:
        return get_user(self.request) if driven() else await aget_user(self.request)

    async def login(self, user_id: int = VICTIM) -> None:
        user = Users().get_user(user_id)
        if driven():
            login(self.request, user)
        else:
            await alogin(self.request, user)

    async def logout(self) -> None:
        if driven():
            logout(self.request)
        else:
            await alogout(self.request)

    async def cycle_key(self) -> None:
        if driven():
            self.session.cycle_key()
        else:
            await self.session.acycle_key()

    async def see_user(self) -> None:
        """Look at the user, as a view that needs one does first."""
        before = await self.user()

        async def auser() -> Any:
            return before

        self.request.user, self.request.auser = before, auser  # as AuthenticationMiddleware remembers it

    async def save_password(self, password: str = "second") -> None:
        """Do the first half of a change of password, which other requests see."""
        Users.passwords[VICTIM] = self._password = password

    async def keep_logged_in(self) -> None:
        """Do the other half: the session gets a new key, and the hash of the password that this request has saved."""
        user = Users().get_user(VICTIM)
        user.password = self._password
        if driven():
            update_hash(self.request, user)
        else:
            await aupdate_session_auth_hash(self.request, user)

    async def change_password(self) -> None:
        await self.see_user()
        await self.save_password()
        await self.keep_logged_in()

    # The end of the request, and the answer.

    async def respond(self, status: int = 200, *, races: bool = False) -> None:
        """End the request; the key that it sends lives, unless a logout ``races`` with it."""
        response = HttpResponse(status=status)
        try:
            if driven():
                self.response = self._middleware.process_response(self.request, response)
            else:
                self.response = await self._middleware.aprocess_response(self.request, response)
        except SessionInterrupted:
            self.response = HttpResponse(status=400)
        morsel = self.response.cookies.get(cookie_options(DEFAULT).name)
        self.sent = morsel.value if morsel is not None and morsel.value else None
        self.deletes = morsel is not None and not morsel.value
        session = self.session
        if self.sent and not races and isinstance(session, ServerSession):
            assert session.exists(self.sent) if driven() else await session.aexists(self.sent), "a dead key"

    async def answer(self) -> None:
        """Let the browser have the response's cookies."""
        for name, morsel in self.response.cookies.items():
            if not morsel.value:
                self._jar.pop(name, None)
            else:
                self._jar[name] = morsel.value


class Browser:
    """A browser is a jar of cookies."""

    def __init__(self, middleware: SessionMiddleware, key: str | None = None) -> None:
        self._middleware = middleware
        self.jar: dict[str, str] = {}
        if key is not None:
            self.jar[cookie_options(DEFAULT).name] = key

    @property
    def key(self) -> str | None:
        return self.jar.get(cookie_options(DEFAULT).name)

    def request(self) -> Exchange:
        """Send a request with the cookies that the browser has now."""
        return Exchange(self._middleware, self.jar)

    async def visit(self, view: Callable[[Exchange], Awaitable[object]]) -> Exchange:
        """Make one request from its beginning to its end."""
        exchange = self.request()
        await view(exchange)
        await exchange.respond()
        await exchange.answer()
        return exchange

    async def finds(self) -> dict[str, Any]:
        """Return what a page shows: the session's data, with the user that Django takes it for under "user"."""
        exchange = self.request()
        user = await exchange.user()
        data = dict(exchange.session.items() if driven() else await exchange.session.aitems())
        return {"user": user.pk, **{key: value for key, value in data.items() if not key.startswith("_auth")}}


async def nothing(request: HttpRequest) -> HttpResponse:
    """Stand in for the view, which the exchanges are themselves."""
    return HttpResponse()


def orders(lengths: Sequence[int], most: int, seed: str = "") -> Iterator[tuple[int, ...]]:
    """Yield the orders in which so many steps of each can happen, by the number of whose step it is.

    All of them if there are no more than ``most``; else as many, drawn by a seed.
    """
    if factorial(sum(lengths)) // prod(map(factorial, lengths)) <= most:
        yield from _all_orders(tuple(lengths))
        return
    steps = [number for number, length in enumerate(lengths) for _ in range(length)]
    draw = random.Random(seed)  # noqa: S311 - no secret
    for _ in range(most):
        draw.shuffle(steps)
        yield tuple(steps)


def meetings(kinds: Sequence[int], *, acts: bool = True) -> Iterator[tuple[int, ...]]:
    """Yield the orders of requests that look, act and respond, once for all orders that are one to the store.

    Neither what is read nor what is written under a new key, which is all that an act does, tells of what other
    requests read or write so: only between which responses a look or an act stands counts. Without ``acts``, each comes
    at once before its request's response. Requests of the same number among ``kinds`` are alike, and one is as good as
    the other.
    """
    gaps = [
        [(look, act) for look in range(place + 1) for act in (range(look, place + 1) if acts else [place])]
        for place in range(len(kinds))
    ]
    for ends in _arrangements(kinds):
        for chosen in product(*gaps):
            order: list[int] = []
            for gap, end in enumerate(ends):
                order += [who for who, (look, _) in zip(ends, chosen, strict=True) if look == gap]
                order += [who for who, (_, act) in zip(ends, chosen, strict=True) if act == gap]
                order.append(end)
            yield tuple(order)


def _arrangements(kinds: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield the orders of requests by their numbers, where those of one kind keep theirs."""
    for order in permutations(range(len(kinds))):
        if all(one < other for one, other in combinations(order, 2) if kinds[one] == kinds[other]):
            yield order


def _all_orders(lengths: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    if not any(lengths):
        yield ()
    for number, length in enumerate(lengths):
        if length:
            rest = (*lengths[:number], length - 1, *lengths[number + 1 :])
            for order in _all_orders(rest):
                yield (number, *order)


async def play(order: Sequence[int], *parts: Sequence[Step]) -> None:
    """Take the steps of each part, in this order."""
    waiting = [iter(steps) for steps in parts]
    for number in order:
        await next(waiting[number])()
