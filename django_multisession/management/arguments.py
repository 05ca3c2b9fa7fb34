"""Types for the options of commands."""

from argparse import ArgumentTypeError


def positive(text: str) -> int:
    """Return a whole number above 0; ArgumentTypeError for anything else."""
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
