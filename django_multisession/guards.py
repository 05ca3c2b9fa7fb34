"""Session keys of other packages that say who somebody is, or is about to become: GUARD's part for what is installed.

Of such keys, two requests at once must never add up to what neither wrote, such as one's pending user and the other's
passed second factor. Taken from the packages' source; each key is what its releases of 2026 write.
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
"""The keys by the name of the package's application, as INSTALLED_APPS has it."""


def installed(applications: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return those of PRESETS whose application is one of INSTALLED_APPS, there by its name or its AppConfig."""
    given = [f"{application}." for application in applications]
    return {
        name: keys for name, keys in PRESETS.items() if any(application.startswith(f"{name}.") for application in given)
    }
