"""What the registry's commands share: arguments, and counts in words."""

import re
from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.management.base import CommandError

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def add_user_argument(parser: Any, meaning: str) -> None:
    """Add ``--user``: the value of the user model's USERNAME_FIELD, such as a name or a mail address."""
    field = get_user_model().USERNAME_FIELD
    parser.add_argument("--user", metavar=field.upper(), help=meaning)


def user_named(name: str) -> AbstractBaseUser:
    """Return the user with this USERNAME_FIELD; CommandError if there is none."""
    model: Any = get_user_model()
    try:
        found: AbstractBaseUser = model._default_manager.get_by_natural_key(name)
    except model.DoesNotExist:
        raise CommandError(f"There is no user whose {model.USERNAME_FIELD} is {name!r}.") from None
    return found


def age(text: str) -> timedelta:
    """Return the time that an argument such as ``30d`` or ``12h`` means."""
    found = re.fullmatch(r"(\d{1,9})([smhdw])", text, re.ASCII)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is no age; it is a number with s, m, h, d or w, such as 12h or 30d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def count_of(number: int, noun: str = "session") -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
