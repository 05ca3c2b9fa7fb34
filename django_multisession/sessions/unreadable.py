"""Log records and cookies that cannot be read: one line each in the security log, without key and data."""

import logging

from ..exceptions import InvalidRecord

security_logger = logging.getLogger("django.security.SuspiciousSession")


def report_unreadable(session_name: str, reason: InvalidRecord) -> None:
    """Log why a session's record or cookie was rejected: damaged, forged, copied, or sealed with an unknown secret."""
    security_logger.warning("Session %r unreadable: %s", session_name, reason)
