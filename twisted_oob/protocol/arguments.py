"""What callers give us: checked, with an error that names the argument."""

from __future__ import annotations

from enum import Enum

from twisted.words.protocols.jabber.jid import JID

from twisted_oob.errors import WrongType

ADDRESSES = (str, JID)
"""The types that an address may have."""


class Timeout(Enum):
    """What ``send_url`` takes for a timeout, beside a number of seconds and None."""

    OF_HANDLER = "the handler's"


def wrong_type(name: str, wanted: str, given: object) -> WrongType:
    """Make the error for an argument of the wrong type.

    Args:
        name: The argument.
        wanted: What it must be, in words.
        given: What it is. Only its type is told: it may hold a URL with its secrets.
    """
    return WrongType(f"{name} must be {wanted}, not {type(given).__name__}")


def not_an_address(name: str, given: object) -> WrongType:
    """Make the error for what is neither a JID nor the text of one."""
    return wrong_type(name, "a JID or a str", given)


def check_callable(name: str, given: object) -> None:
    """Check that a callback can be called, or is None.

    Raises:
        WrongType: It can't be called.
    """
    if given is not None and not callable(given):
        raise wrong_type(name, "callable or None", given)


def checked_seconds(name: str, given: object) -> float | None:
    """Give a number of seconds, or None for never.

    Raises:
        WrongType: It is not a number.
        ValueError: It is not above 0.
    """
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise wrong_type(name, "a number of seconds or None", given)
    if not given > 0:  # NaN is not, either
        raise ValueError(f"{name} must be a number of seconds above 0, or None, not {given!r}")
    return given


def checked_count(name: str, given: object) -> int:
    """Give a count of at least one.

    Raises:
        WrongType: It is not an int.
        ValueError: It is below 1.
    """
    if isinstance(given, bool) or not isinstance(given, int):
        raise wrong_type(name, "an int", given)
    if given < 1:
        raise ValueError(f"{name} must be at least 1, not {given}")
    return given
