"""Describe a user agent in words, such as "Firefox on Windows"."""

import re
from functools import cache
from typing import Any, Final

from django.utils.translation import gettext as _

_VARIANTS: Final = re.compile(r"^(?:Mobile |Headless)|(?: Mobile| iOS| WebView| UI/WKWebView)+$")
"""Parts of ua-parser's browser names that only repeat what the system says."""
_SYSTEMS: Final = {"Mac OS X": "macOS"}
_DEVICES: Final = frozenset({"iPhone", "iPad", "iPod"})
"""Devices that people know by their name rather than by their system."""


def words_of(agent: str) -> str:
    """Return a description of a user agent in the active language, or its text as it is if it is not recognised.

    Nothing is recognised without ua-parser, which the extra ``registry`` installs. Clients may send anything: the
    description helps people to recognise their devices, and proves nothing to a program.
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
    """Return ua-parser's parse(); None if it is not installed.

    The extra installs its matcher in Rust, whose time is linear in the length of the text. Python's ``re`` does not
    promise that for foreign patterns, on a text that anybody may send.
    """
    try:
        from ua_parser import parse
    except ImportError:
        return None
    return parse
