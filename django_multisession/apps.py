"""The application, for INSTALLED_APPS."""

from django.apps import AppConfig
from django.conf import global_settings, settings
from django.core import checks
from django.utils.translation import gettext_lazy as _

REPORTER_FILTER = "django_multisession.http.error_reports.ExceptionReporterFilter"


class MultisessionConfig(AppConfig):
    name = "django_multisession"
    verbose_name = _("Sessions")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # For reports outside of requests, and with Django's middleware: they show all settings, including LOCATION
        # with its password. A project's own filter is kept; it can be a subclass of ours.
        if settings.DEFAULT_EXCEPTION_REPORTER_FILTER == global_settings.DEFAULT_EXCEPTION_REPORTER_FILTER:
            settings.DEFAULT_EXCEPTION_REPORTER_FILTER = REPORTER_FILTER

        from .checks import check_deploy, check_settings, check_tables

        checks.register(check_settings, "multisession")
        checks.register(check_tables, checks.Tags.database)
        checks.register(check_deploy, "multisession", deploy=True)
