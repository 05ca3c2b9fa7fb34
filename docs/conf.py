"""Sphinx: ``sphinx-build -W docs OUT``."""

project = "django_multisession"
author = "The django_multisession authors"
copyright = author  # noqa: A001 - the name that Sphinx reads
extensions = ["myst_parser"]
html_theme = "furo"
html_title = project
myst_heading_anchors = 3
exclude_patterns = ["_build"]
