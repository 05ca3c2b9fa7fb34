"""The demo's settings, with cookies that browsers keep over TLS only."""

from testproject.settings import *  # noqa: F403 - settings go on from others so

SESSION_COOKIE_NAME = "__Host-sessionid"
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
MULTISESSION = {
    "partitioned": {
        "ENGINE": "django_multisession.engines.memory",
        "COOKIE": {"NAME": "__Secure-partitioned", "SECURE": True, "SAMESITE": "None", "PARTITIONED": True},
    },
}
