"""Requests for jabber:iq:oob as they come in: judged, then read, before they are offers.

The order matters, as everybody may send them: first the gate, which knows only the sender; then
what is wrong with the request (RFC 6120 sections 8.2.3 and 8.3.3). See ``protocol/rules.py`` for
each answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from twisted.words.protocols.jabber.error import NS_XMPP_STANZAS, StanzaError

from twisted_oob.errors import InvalidOOBData
from twisted_oob.protocol.data import OOBData
from twisted_oob.xmpp.gate import Gate, Verdict
from twisted_oob.xmpp.jid import normalized_jid
from twisted_oob.xmpp.serial import SafeElement

if TYPE_CHECKING:
    from twisted.words.xish.domish import Element

    from twisted_oob.xmpp.stanza import IQ
    from twisted_oob.xmpp.stream import BoundStream


Request: TypeAlias = "tuple[OOBData, str | None, str | None]"
"""What a usable request says: the data, the prepared JID that offers it, and the one that it was
sent to; each address is None if nothing tells. (A NamedTuple costs a call for each request.)"""


def admits(gate: Gate, stream: BoundStream, attributes: Mapping[Any, str]) -> bool:
    """Judge a request by its sender, and answer it if it is denied.

    Args:
        gate: Who may ask.
        stream: What brought the request.
        attributes: Those of ``<iq/>``.
    """
    verdict = gate.judge(attributes.get("from"), attributes.get("id"))
    if verdict is Verdict.DENY:
        stream.send(short_error(attributes, "not-acceptable", "modify"))
    return verdict is Verdict.ADMIT


def check_form(iq: IQ, *, alone: bool) -> None:
    """Check that a request is a set with one child. Those that the Intake takes always are.

    Args:
        iq: The request.
        alone: Whether the payload is the only child of the IQ.

    Raises:
        StanzaError: It is not. The error is its answer.
    """
    if not alone:
        raise StanzaError("bad-request", text="an IQ request has one child")
    if iq.attributes.get("type") != "set":
        raise StanzaError("bad-request", text="Out of Band Data is offered by a set")


def read_request(iq: IQ, stream: BoundStream) -> Request:
    """Read a request that came in, a set with one child.

    Args:
        iq: The request.
        stream: What brought it.

    Raises:
        StanzaError: It is no usable offer. The error is its answer.
    """
    attributes = iq.attributes
    try:
        data = OOBData.from_payload(iq.payload)
    except InvalidOOBData as error:
        raise StanzaError("bad-request", text=str(error)) from error
    sender, recipient = attributes.get("from"), attributes.get("to")
    try:
        if sender is not None:
            sender = normalized_jid(sender)
        if recipient is not None:
            recipient = normalized_jid(recipient)
    except ValueError as error:
        raise StanzaError("jid-malformed", text="'from' or 'to' is not a valid JID") from error
    if (sender is None or recipient is None) and stream.me is not None:
        # Our own server may leave them out (RFC 6120 section 8.1.2.1).
        sender = sender or stream.me.userhost()
        recipient = recipient or stream.me.full()
    return data, sender, recipient


def short_error(attributes: Mapping[Any, str], condition: str, kind: str) -> Element:
    """Build an error without the request's child, which is only a MAY (RFC 6120 section 8.3.1).

    Whoever sends many must not have us send more than that.

    Args:
        attributes: Those of the request's ``<iq/>``.
        condition: One of RFC 6120 section 8.3.3.
        kind: Its type.
    """
    # Safe, as the id may be anything: a line feed in it must not become a space.
    answer: Element = SafeElement((None, "iq"))  # type: ignore[no-untyped-call]
    answer["type"] = "error"
    for ours, theirs in (("id", "id"), ("to", "from"), ("from", "to")):
        if attributes.get(theirs):
            answer[ours] = attributes[theirs]
    error = answer.addElement("error")
    error["type"] = kind
    error.addElement((NS_XMPP_STANZAS, condition))
    return answer
