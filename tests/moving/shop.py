"""The site whose visitors are under way while its settings change: its URLs and views."""

from __future__ import annotations

from django.contrib.auth import login, logout
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path


class Users(BaseBackend):
    """Users by their id; no table."""

    def get_user(self, user_id: int) -> User:
        user = User(pk=user_id, username=f"user {user_id}", password="a hash")
        user.save = lambda **_: None  # type: ignore[method-assign]  # last_login
        return user


def sign_in(request: HttpRequest, user_id: int) -> HttpResponse:
    login(request, Users().get_user(user_id), backend="tests.moving.shop.Users")
    request.session["count"] = 0
    return look(request)


def count(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        request.session["count"] += 1
    return look(request)


def look(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"user": request.user.pk, "count": request.session.get("count")})


def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return JsonResponse({})


urlpatterns = [
    path("", lambda request: HttpResponse()),
    path("login/<int:user_id>", sign_in),
    path("count", count),
    path("look", look),
    path("logout", sign_out),
]
