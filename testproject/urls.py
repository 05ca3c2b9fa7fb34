"""The demo's addresses."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from testproject import views

urlpatterns = [
    path("", views.start, name="start"),
    path("sessions/<str:name>/", views.card, name="session"),
    path("sessions/<str:name>/<str:action>", views.act, name="act"),
    path("race", views.race, name="race"),
    path("outage", views.outage, name="outage"),
    path("login", views.log_in, name="login"),
    path("profile", views.profile, name="profile"),
    path("logout", views.log_out, name="logout"),
    path("set", views.set_counter, name="set"),
    path("get", views.get_counter, name="get"),
    path("devices/", include("django_multisession.registry.urls")),
    path("admin/", admin.site.urls),
]
