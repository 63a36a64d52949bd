"""XMPP addresses: reading them, and comparing them in their one prepared form (RFC 7622)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, TypeAlias

from twisted.words.protocols.jabber.jid import JID

from twisted_oob.xmpp.jid_parts import (
    MAX_PART_BYTES,
    prepare_domain,
    prepare_localpart,
    prepare_resource,
)

MAX_JID_LENGTH: Final = 3 * MAX_PART_BYTES + 2
"""Three parts of 1023 bytes and two separators (RFC 7622 section 3.1)."""
_MOST_SHOWN: Final = 200
# Strangers choose what is kept. This and the number of texts bound its size to a few megabytes.
_LONGEST_KEPT: Final = 128
_MOST_KEPT: Final = 4096

# Localpart, domain, resource, and all of it as one text.
_Parts: TypeAlias = "tuple[str | None, str, str | None, str]"


def parse_jid(address: object) -> JID:
    """Read an XMPP address (RFC 7622).

    Args:
        address: Its text or a JID. A JID is given back as it is if it is prepared as ours are.
            Those that Twisted makes may have A-labels and a final dot in their domain.

    Raises:
        ValueError: It is not an address; the message says what is wrong.
    """
    user, host, resource, _full = _read(address)
    if isinstance(address, JID) and (user, host, resource) == (
        address.user,
        address.host,
        address.resource,
    ):
        return address
    # A new one each time, as an application may change it. What is prepared is not prepared again.
    jid = JID.__new__(JID)
    jid.user, jid.host, jid.resource = user, host, resource
    return jid


def normalized_jid(address: JID | str) -> str:
    """Give the one text of an XMPP address, in whichever way it is written (RFC 7622).

    It is kept with every request. Requests to the same peer share one, unless it is long.

    Raises:
        ValueError: ``parse_jid`` would raise it.
    """
    # What nearly all are, without another call: each request and each offer comes here.
    if isinstance(address, str) and len(address) <= _LONGEST_KEPT:
        return _kept_parts(address)[3]
    return _read(address)[3]


def shown(address: str | None) -> str | None:
    """Give an address as a log may show it: a stranger can make one of any length."""
    return address if address is None else address[:_MOST_SHOWN]


def _read(address: object) -> _Parts:
    text = address.full() if isinstance(address, JID) else address
    if not isinstance(text, str):
        raise ValueError(f"a JID must be a JID or a str, not {type(address).__name__}")
    # First, as the rest may take long, and an attribute may be a megabyte long.
    if len(text) > MAX_JID_LENGTH:
        raise ValueError(f"a JID has at most {MAX_JID_LENGTH} characters, not {len(text)}")
    return _kept_parts(text) if len(text) <= _LONGEST_KEPT else _parts(text)


# To prepare the parts costs several times all else that is done for a stanza. It leaves these as
# they are, which is what most are.
_PREPARED_JID: Final = re.compile(
    r"(?:([!#-%(-.0-9;=?\[-~]+)@)?"
    r"((?!(?:[a-z0-9-]+\.)*xn--)[a-z0-9]+(?:(?:\.|-+)[a-z0-9]+)*)"
    r"(?:/([ -~]+))?"
)


def _parts(text: str) -> _Parts:
    # Below this limit, no part is too long.
    prepared = _PREPARED_JID.fullmatch(text) if len(text) <= MAX_PART_BYTES else None
    if prepared is not None:
        user, host, resource = prepared.groups()
        return user, host, resource, text
    bare, slash, after_slash = text.partition("/")
    before_at, at, domain = bare.partition("@") if "@" in bare else ("", "", bare)
    try:
        user = prepare_localpart(before_at) if at else None
        host = prepare_domain(domain)
        resource = prepare_resource(after_slash) if slash else None
    except ValueError as error:
        raise ValueError(f"{shown(text)!r} is not a valid JID: {error}") from None
    full = host if user is None else f"{user}@{host}"
    if resource is not None:
        full = f"{full}/{resource}"
    return user, host, resource, full


# Twisted's internJID keeps every address for ever, and since Python 3.12 so does sys.intern.
_kept_parts: Final = lru_cache(maxsize=_MOST_KEPT)(_parts)
