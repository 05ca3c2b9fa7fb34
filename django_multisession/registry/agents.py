"""The words for a user agent: "Firefox on Windows"."""

import re
from functools import cache
from typing import Any, Final

from django.utils.translation import gettext as _

_VARIANTS: Final = re.compile(r"^(?:Mobile |Headless)|(?: Mobile| iOS| WebView| UI/WKWebView)+$")
"""What ua-parser adds to a browser's name, and which says no more than the system beside it."""
_SYSTEMS: Final = {"Mac OS X": "macOS"}
_DEVICES: Final = frozenset({"iPhone", "iPad", "iPod"})
"""Devices that people call by name rather than by their system's."""


def words_of(agent: str) -> str:
    """Return words for a user agent in the active language, or its text as it is if they are not known.

    They are not without the extra ``registry``, which installs ua-parser. Whoever sends the text may write anything:
    it names a device to the person who has it, and to no program.
    """
    browser, system = _recognised(agent)
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or agent or _("Unknown device")


def _recognised(agent: str) -> tuple[str, str]:
    parse = _parser()
    if parse is None or not agent:
        return "", ""
    found = parse(agent)
    browser = _VARIANTS.sub("", found.user_agent.family) if found.user_agent else ""
    system = _SYSTEMS.get(found.os.family, found.os.family) if found.os else ""
    if found.device and found.device.family in _DEVICES:
        system = found.device.family
    return browser, system


@cache
def _parser() -> Any:
    """Return ua-parser's parse(), None without it.

    The extra installs its matcher in Rust: its time is linear in the length of the text, which Python's ``re`` does not
    promise of patterns that others wrote, on a text that anybody may send.
    """
    try:
        from ua_parser import parse
    except ImportError:
        return None
    return parse
