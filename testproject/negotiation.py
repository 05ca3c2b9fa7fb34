"""What the demo's views share: JSON or HTML by what the client accepts, and CSRF protection for both."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt, csrf_protect

View = Callable[..., HttpResponse]


def wants_json(request: HttpRequest) -> bool:
    """Tell whether to answer in JSON: to API clients, and to curl, which accepts anything."""
    # Browsers name text/html; of equal preferences the first one here is taken.
    return request.get_preferred_type(["application/json", "text/html"]) != "text/html"


def answer(
    request: HttpRequest,
    template: str,
    data: dict[str, Any],
    *,
    status: int = 200,
    **context: Any,
) -> HttpResponse:
    """Return data as JSON, or in the template together with context."""
    response: HttpResponse
    if wants_json(request):
        response = JsonResponse(data, status=status)
    else:
        response = render(request, template, {**data, **context}, status=status)
    response.headers["Vary"] = "Accept"  # the session's middleware adds Cookie
    response.headers["Cache-Control"] = "no-store"
    return response


def posted(request: HttpRequest) -> dict[str, Any]:
    """Return the fields of a form or of a JSON object; empty if the body is neither."""
    if request.content_type != "application/json":
        return request.POST.dict()
    try:
        fields = json.loads(request.body)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def forms_carry_a_token(view: View) -> View:
    """Protect forms by Django's CSRF token, and let bodies of JSON pass without one.

    Another site's page can make a browser send a form here, cookies included, but not a request with the content
    type application/json: the browser asks for leave first (CORS), and this project never gives it.
    """
    protected = csrf_protect(view)

    @wraps(view)
    def chosen(request: HttpRequest, *args: str, **kwargs: str) -> HttpResponse:
        return (view if request.content_type == "application/json" else protected)(request, *args, **kwargs)

    return csrf_exempt(chosen)
