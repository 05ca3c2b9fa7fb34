"""The application, for INSTALLED_APPS."""

from django.apps import AppConfig
from django.core import checks
from django.utils.translation import gettext_lazy as _


class MultisessionConfig(AppConfig):
    name = "django_multisession"
    verbose_name = _("Sessions")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from .checks import check_deploy, check_settings, check_tables

        checks.register(check_settings, "multisession")
        checks.register(check_tables, checks.Tags.database)
        checks.register(check_deploy, "multisession", deploy=True)
