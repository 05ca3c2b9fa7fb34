"""Log records and cookies that we have not written: one line each in the security log, without key and data."""

import logging

from ..exceptions import InvalidRecord

security_logger = logging.getLogger("django.security.SuspiciousSession")


def report_unreadable(session_name: str, reason: InvalidRecord) -> None:
    """Log why a session's record or cookie was rejected: damaged, forged, copied, or made with an unknown key."""
    security_logger.warning("Session %r unreadable: %s", session_name, reason)
