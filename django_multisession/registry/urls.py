"""The URLs of the pages and the JSON: ``path("devices/", include("django_multisession.registry.urls"))``."""

from django.urls import path

from . import api, views

app_name = "multisession"
urlpatterns = [
    path("", views.devices, name="devices"),
    path("others", views.others, name="others"),
    path("<uuid:public_id>", views.end_one, name="end"),
    path("api/sessions", api.sessions, name="api-sessions"),
    path("api/sessions/<uuid:public_id>", api.session, name="api-session"),
]
