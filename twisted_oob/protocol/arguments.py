"""Arguments of a handler that only Out of Band Data has: their types, and their checks."""

from __future__ import annotations

from enum import Enum
from typing import Final

from twisted.words.protocols.jabber.jid import JID

from twisted_oob._checks import wrong_type

_ADDRESSES: Final = (str, JID)


class Timeout(Enum):
    """What ``send_url`` takes for a timeout, beside a number of seconds and None."""

    OF_HANDLER = "the handler's"


def check_addresses(recipient: object, sender: object) -> None:
    """Check that addresses are JIDs or the texts of JIDs; the sender may be None.

    Raises:
        WrongType: One of them is something else.
    """
    if not isinstance(recipient, _ADDRESSES):
        raise wrong_type("recipient", "a JID or a str", recipient)
    if sender is not None and not isinstance(sender, _ADDRESSES):
        raise wrong_type("sender", "a JID, a str or None", sender)


def check_gate(given: object) -> None:
    """Check that a gate can judge, or is None.

    Raises:
        WrongType: It can't judge.
    """
    if given is not None and not callable(getattr(given, "judge", None)):
        raise wrong_type("gate", "a Gate, which has a method judge, or None", given)
