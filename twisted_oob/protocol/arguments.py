"""What callers give us: checked, with an error that names the argument."""

from __future__ import annotations

from enum import Enum
from typing import Final

from twisted.words.protocols.jabber.jid import JID

from twisted_oob.errors import WrongType

_ADDRESSES: Final = (str, JID)


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


def check_addresses(recipient: object, sender: object) -> None:
    """Check that addresses are JIDs or the texts of JIDs; the sender may be None.

    Raises:
        WrongType: One of them is something else.
    """
    if not isinstance(recipient, _ADDRESSES):
        raise wrong_type("recipient", "a JID or a str", recipient)
    if sender is not None and not isinstance(sender, _ADDRESSES):
        raise wrong_type("sender", "a JID, a str or None", sender)


def check_callable(name: str, given: object) -> None:
    """Check that a callback can be called, or is None.

    Raises:
        WrongType: It can't be called.
    """
    if given is not None and not callable(given):
        raise wrong_type(name, "callable or None", given)


def check_gate(given: object) -> None:
    """Check that a gate can judge, or is None.

    Raises:
        WrongType: It can't judge.
    """
    if given is not None and not callable(getattr(given, "judge", None)):
        raise wrong_type("gate", "a Gate, which has a method judge, or None", given)


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
