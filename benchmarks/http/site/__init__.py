"""The measured site: a Django project of three pages, the same on every side."""

SETTINGS = "HTTP_BENCHMARK_SETTINGS"
"""The environment variable with a side's own settings, as JSON."""
