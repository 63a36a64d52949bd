"""XMPP addresses: reading them, and comparing them after stringprep (RFC 7622)."""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import Final

from twisted.words.protocols.jabber.jid import JID, InvalidFormat

MAX_JID_LENGTH: Final = 3071
"""Three parts of 1023 bytes and two separators (RFC 7622 section 3.1)."""
_MOST_SHOWN: Final = 200


def parse_jid(text: object) -> JID:
    """Read an XMPP address (RFC 7622).

    Args:
        text: Its text, or a JID, which is given back as it is.

    Raises:
        ValueError: It is not an address; the message says what is wrong.
    """
    if isinstance(text, JID):
        return text
    if not isinstance(text, str):
        raise ValueError(f"a JID must be a JID or a str, not {type(text).__name__}")
    # First, as stringprep is slow, and an attribute may be a megabyte long.
    if len(text) > MAX_JID_LENGTH:
        raise ValueError(f"a JID has at most {MAX_JID_LENGTH} characters, not {len(text)}")
    # A new one each time, as an application may change it. What is prepared is not prepared again.
    jid = JID.__new__(JID)
    jid.user, jid.host, jid.resource = _parts_of_jid(text)
    return jid


# Stringprep costs several times all else that is done for a stanza. It leaves these as they are,
# which is what most are.
_PREPARED_JID: Final = re.compile(
    r"(?:([!#-%(-.0-9;=?\[-~]+)@)?([a-z0-9]+(?:(?:\.|-+)[a-z0-9]+)*)(?:/([ -~]+))?"
)


# Twisted's internJID keeps every address for ever, and strangers choose them.
@lru_cache(maxsize=4096)
def _parts_of_jid(text: str) -> tuple[str | None, str, str | None]:
    prepared = _PREPARED_JID.fullmatch(text)
    if prepared is not None:
        user, host, resource = prepared.groups()
        return user, host, resource
    try:
        jid = JID(text)
    except (InvalidFormat, RuntimeError, ValueError) as error:
        raise ValueError(f"{text!r} is not a valid JID: {error}") from None
    except IndexError:  # Twisted's, for a domain with an empty label
        raise ValueError(f"{text!r} is not a valid JID: a label of its domain is empty") from None
    bare, slash, _ = text.partition("/")
    # Twisted takes these for an address without the part (RFC 7622 sections 3.3.1 and 3.4.1).
    if "@" in bare and not jid.user:
        raise ValueError(f"{text!r} is not a valid JID: there is nothing before its '@'")
    if slash and not jid.resource:
        raise ValueError(f"{text!r} is not a valid JID: there is nothing after its '/'")
    return jid.user, jid.host, jid.resource


def shown(address: str | None) -> str | None:
    """Give an address as a log may show it: a stranger can make one of any length."""
    return address if address is None else address[:_MOST_SHOWN]


def normalized_jid(address: JID | str) -> str:
    """Give an XMPP address as text, after stringprep.

    Raises:
        ValueError: ``parse_jid`` would raise it.
    """
    if isinstance(address, str) and len(address) <= MAX_JID_LENGTH:
        return _normalized_jid(address)
    # It is kept with every request: one text for all to the same peer.
    return sys.intern(parse_jid(address).full())


@lru_cache(maxsize=4096)
def _normalized_jid(text: str) -> str:
    if _PREPARED_JID.fullmatch(text):
        return text
    full: str = parse_jid(text).full()
    return full
