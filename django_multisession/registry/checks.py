"""System checks of the registry, registered while it is installed; the numbers are in django_multisession/checks.

- **multisession.E020**: MULTISESSION_TRUSTED_PROXIES, MULTISESSION_IP_PREFIX, MULTISESSION_REAUTHENTICATE or
  MULTISESSION_LAST_SEEN is wrong.
"""

from typing import Any

from ..checks.found import Messages, error
from . import networks, policy, reauthentication


def check_registry(app_configs: object = None, **kwargs: Any) -> Messages:
    """Check the settings of the registry."""
    sentences = [*networks.problems(), *reauthentication.problems(), *policy.problems()]
    return [error("E020", sentence) for sentence in sentences]
