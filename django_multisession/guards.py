"""Session keys with which other packages say who the user is, or is about to be: GUARD's presets for installed apps.

A merge of two concurrent requests must never combine such keys into a state that neither wrote, such as the pending
user of one and the passed second factor of the other. The keys are those that the packages' releases of 2026 write,
taken from their source.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

PRESETS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "django_otp": frozenset({"otp_device_id"}),
        # The wizards of django-formtools that hold a pending user, and a new device's secret.
        "two_factor": frozenset({"wizard_login_view", "wizard_setup_view", "django_two_factor-qr_secret_key"}),
        "two_factor.plugins.phonenumber": frozenset({"wizard_phone_setup_view"}),
        "two_factor.plugins.webauthn": frozenset(
            {
                "webauthn_creation_challenge",
                "webauthn_creation_options",
                "webauthn_request_challenge",
                "webauthn_request_options",
            }
        ),
        "allauth.account": frozenset(
            {
                "_password_reset_key",
                "account_authentication_methods",
                "account_authentication_methods_user",
                "account_email_reauthentication_code",
                "account_email_verification_code",
                "account_login",
                "account_password_reset_verification",
                "account_phone_verification",
                "account_reauthentication_state",
                "account_verified_email",
            }
        ),
        "allauth.mfa": frozenset({"mfa.totp.secret", "mfa.webauthn.state"}),
        "allauth.socialaccount": frozenset({"socialaccount_sociallogin"}),
        "hijack": frozenset({"hijack_history"}),
        "impersonate": frozenset(
            {"_impersonate", "_impersonate_prev_path", "_impersonate_session_id", "_impersonate_start"}
        ),
    }
)
"""The session keys by the name of the package's application, as it stands in INSTALLED_APPS."""


def installed(applications: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the PRESETS whose application is in INSTALLED_APPS, by its name or by the path of its AppConfig."""
    given = [f"{application}." for application in applications]
    return {
        name: keys for name, keys in PRESETS.items() if any(application.startswith(f"{name}.") for application in given)
    }
