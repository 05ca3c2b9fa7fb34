"""The registry's AppConfig."""

from django.apps import AppConfig, apps
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _


class RegistryConfig(AppConfig):
    name = "django_multisession.registry"
    label = "multisession_registry"
    verbose_name = _("Registered sessions")
    default_auto_field = "django.db.models.BigAutoField"

    def import_models(self) -> None:
        # The models import those beneath them, of which Django says only that they are in no application.
        if not apps.is_installed("django_multisession"):
            raise ImproperlyConfigured(
                f"INSTALLED_APPS has {self.name!r} without 'django_multisession', whose models and commands it needs. "
                "Add 'django_multisession' to INSTALLED_APPS."
            )
        super().import_models()

    def ready(self) -> None:
        from ..checks import refuse_also
        from ..sessions.registration import registrations
        from .checks import check_registry, check_tables
        from .following import Following
        from .former import FormerLogins
        from .users import follow_users

        checks.register(check_registry, "multisession")
        checks.register(check_tables, checks.Tags.database)
        refuse_also(check_registry)
        registrations.make, registrations.former = Following, FormerLogins()
        follow_users()
