"""The demo's pages: the sessions side by side, and the flows of a login and a counter. Each answers in JSON or HTML.

Try it with curl, which gets JSON::

    curl -c jar -b jar -H 'Content-Type: application/json' \
        -d '{"username": "demo", "password": "not-a-secret"}' http://127.0.0.1:8000/login
    curl -c jar -b jar http://127.0.0.1:8000/profile
    curl -c jar -b jar -H 'Content-Type: application/json' -X POST http://127.0.0.1:8000/logout
"""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings
from django.contrib.auth import authenticate, login, logout
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from django_multisession.conf import DEFAULT, names
from testproject import trials
from testproject.actions import ACTIONS, REFUSED, SAMESITE, SOON, WEIGHT
from testproject.inspection import card as shown
from testproject.inspection import describe, describe_all
from testproject.negotiation import answer, forms_carry_a_token, posted, wants_json


@require_GET
def start(request: HttpRequest) -> HttpResponse:
    """Show every session: its engine, its cookie and what is in it."""
    return _cards(request)


@require_GET
def card(request: HttpRequest, name: str) -> HttpResponse:
    """Show one session, at an address that its cookie's path can be narrowed to."""
    return _cards(request, name)


@require_http_methods(["GET", "POST"])
@forms_carry_a_token
def act(request: HttpRequest, name: str, action: str) -> HttpResponse:
    """Do to a session what a button of its card says; 400, with the reason, if that cannot be done."""
    if name not in names() or action not in ACTIONS:
        raise Http404
    if request.method == "GET":
        return redirect("session", name)
    session, fields = request.sessions[name], posted(request)  # type: ignore[attr-defined]  # our middleware's
    alone = fields.get("back") == "session"
    if action == "options" and request.content_type != "application/json":
        # A browser sends no unticked boxes.
        fields = {"httponly": "", "secure": "", "partitioned": "", **fields}
    try:
        ACTIONS[action](session, fields)
    except REFUSED as error:
        if wants_json(request):
            return answer(request, "", {"error": str(error)}, status=400)
        # On the page where the button stands.
        return _cards(request, name if alone else None, Mishap(name, action, str(error)))
    if wants_json(request):
        return answer(request, "", {"session": name, "done": action})
    # The start page would not get a cookie with a narrower path.
    if alone or session.cookie().path != "/":
        return redirect("session", name)
    return redirect(f"{reverse('start')}#{name}")


@require_http_methods(["GET", "POST"])
@forms_carry_a_token
def race(request: HttpRequest) -> HttpResponse:
    """Show what two requests at once leave of a session, on an engine of ours and on Django's."""
    if request.method == "GET":
        return redirect("start")
    kept = trials.race()
    return answer(request, "race.html", {"kept": kept}, changes=trials.CHANGES, user_name=_user_name(request))


@require_http_methods(["GET", "POST"])
@forms_carry_a_token
def outage(request: HttpRequest) -> HttpResponse:
    """Take the default session's store away for some seconds; 400 if there is no session that could be missed."""
    session = request.session
    if request.method == "GET":
        return redirect("start")
    if not trials.can_fail(session):
        return answer(request, "forbidden.html", {"error": "There is no session on a server yet."}, status=400)
    where, name = session.records().store.name, _user_name(request)
    trials.fail(session)
    return answer(request, "outage.html", {"away": where, "seconds": trials.OUTAGE}, user_name=name)


@require_http_methods(["GET", "POST"])
@forms_carry_a_token
def log_in(request: HttpRequest) -> HttpResponse:
    """Log in with ``username`` and ``password``: a form with its CSRF token, or a JSON object without one."""
    if request.method == "GET":
        name = _user_name(request)
        return answer(request, "login.html", {"user": name or None}, user_name=name)
    fields = posted(request)
    name = str(fields.get("username", ""))
    user = authenticate(request, username=name, password=str(fields.get("password", "")))
    if user is None:
        error = "User name and password do not match."
        context = {"given_name": name, "user_name": _user_name(request)}
        return answer(request, "login.html", {"error": error}, status=401, **context)
    login(request, user)
    return _done(request, "profile", {"user": user.get_username()})


@require_GET
def profile(request: HttpRequest) -> HttpResponse:
    """Show who is logged in; 401 without a login."""
    if not request.user.is_authenticated:
        return answer(request, "unauthorized.html", {"error": "Log in first."}, status=401)
    return answer(
        request,
        "profile.html",
        {"user": request.user.get_username(), "expires_in": request.session.get_expiry_age()},
        expires=request.session.get_expiry_date(),
        user_name=_user_name(request),
    )


@require_POST
@forms_carry_a_token
def log_out(request: HttpRequest) -> HttpResponse:
    """Log out: a form with its CSRF token, or a request with the content type application/json."""
    logout(request)
    return _done(request, "start", {"user": None})


@require_http_methods(["GET", "POST"])
@forms_carry_a_token
def set_counter(request: HttpRequest) -> HttpResponse:
    """Count one more.

    By POST from the page. GET is for the address bar and curl, as in the model; where a visit by somebody else's
    link would matter more than a count, leave it out.
    """
    request.session["count"] = request.session.get("count", 0) + 1
    return _done(request, "get", {"count": request.session["count"]})


@require_GET
async def get_counter(request: HttpRequest) -> HttpResponse:
    """Show the counter, asynchronously down to the store where its client can."""
    count = await request.session.aget("count", 0)
    user = await request.auser()
    return answer(request, "counter.html", {"count": count}, user_name=user.get_username())


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form without its token."""
    error = "The form's token is missing or old. Reload the page, or send JSON (Content-Type: application/json)."
    return answer(request, "forbidden.html", {"error": error}, status=403)


class Mishap(NamedTuple):
    """What could not be done, and to which session."""

    name: str
    action: str
    error: str


def _cards(request: HttpRequest, only: str | None = None, mishap: Mishap | None = None) -> HttpResponse:
    """Show all sessions, or only one of them, with what could not be done at the card that it belongs to."""
    if only not in (None, *names()):
        raise Http404
    sessions = describe_all(request) if only is None else {only: describe(request, only)}
    data = {**sessions[only or DEFAULT], **({} if only else {"sessions": sessions})}
    cards = [
        shown(request, name, session, mishap if mishap and mishap.name == name else None)
        for name, session in sessions.items()
    ]
    return answer(
        request,
        "start.html",
        {**data, **({"error": mishap.error} if mishap else {})},
        status=400 if mishap else 200,
        cards=cards,
        begun=any(card.get("exists") for card in cards),
        only=only,
        soon=SOON,
        weight=WEIGHT,
        samesite=SAMESITE,
        missing={} if only else getattr(settings, "DEMO_MISSING", {}),
        outage=trials.OUTAGE,
        can_fail=trials.can_fail(request.session),
        user_name=_user_name(request),
    )


def _done(request: HttpRequest, view: str, data: dict[str, object]) -> HttpResponse:
    """Answer what has changed something: browsers go on to another page, so that reloading repeats nothing."""
    return answer(request, "", data) if wants_json(request) else redirect(view)


def _user_name(request: HttpRequest) -> str:
    return request.user.get_username()
