"""One line in the security log for each record or cookie that we did not write; without its key, and without data."""

import logging

from ..exceptions import InvalidRecord

security_logger = logging.getLogger("django.security.SuspiciousSession")


def report_unreadable(session_name: str, reason: InvalidRecord) -> None:
    """Log that what is stored of a session, or came as one, is damaged, forged, moved or of an unknown key."""
    security_logger.warning("Session %r unreadable: %s", session_name, reason)
