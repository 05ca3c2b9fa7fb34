"""No pages: a test that visits some names its own ROOT_URLCONF."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
