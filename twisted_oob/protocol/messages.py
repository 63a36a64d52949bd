"""URLs inside messages and presence: ``jabber:x:oob`` (XEP-0066 section 3), built and read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish import domish

from twisted_oob.protocol.arguments import check_addresses
from twisted_oob.protocol.data import NS_X_OOB, OOBData, check_text, oob_elements
from twisted_oob.xmpp.deferreds import as_deferred
from twisted_oob.xmpp.jid import parse_jid, shown
from twisted_oob.xmpp.tracker import new_id

MESSAGE_TYPES: Final = ("chat", "groupchat", "headline", "normal")
"""The types of messages that may be sent (RFC 6121 section 5.2.2); an error is only an answer."""

_log = Logger()


@dataclass(frozen=True, slots=True)
class OOBMessage:
    """A URL that came inside a message or presence (XEP-0066 section 3). It is not answered.

    Attributes:
        data: What is offered, an OOBData; ``url`` and ``desc`` are its parts.
        sender: The JID that it came from; None if the stanza does not say.
        body: The text of the message's ``<body/>``; None if it has none.
        element: The whole stanza as it came.
    """

    data: OOBData
    sender: JID | None
    body: str | None = field(repr=False)  # most clients put the URL there, with its userinfo
    element: domish.Element = field(repr=False)

    @property
    def url(self) -> str:
        """The URL: an absolute URI, of any scheme."""
        return self.data.url

    @property
    def desc(self) -> str | None:
        """The sender's description, for people; None if it gave none."""
        return self.data.desc


MessageCallback = Callable[[OOBMessage], "Awaitable[object] | None"]


def build_message(
    recipient: JID | str,
    url: str,
    desc: str | None,
    *,
    body: str | None,
    message_type: str,
    sender: JID | str | None,
) -> domish.Element:
    """Build a message that holds a URL; its parameters are those of ``OOBHandler.send_message``.

    Raises:
        ValueError: One of them can't be sent.
        TypeError: One of them has the wrong type.
    """
    data = OOBData(url, desc)
    text = data.url if body is None else body
    check_text("body", text)
    check_text("message_type", message_type)
    if message_type not in MESSAGE_TYPES:
        raise ValueError(f"message_type must be one of {MESSAGE_TYPES}, not {message_type!r}")
    check_addresses(recipient, sender)
    message = domish.Element((None, "message"))
    message["id"] = new_id()
    message["to"] = parse_jid(recipient).full()
    if sender is not None:
        message["from"] = parse_jid(sender).full()
    message["type"] = message_type
    message.addElement("body", content=text)
    message.addChild(data.to_element(NS_X_OOB))
    # If it can't be written, that must show here: later, it would hold up all that waits behind it.
    message.toXml().encode()
    return message


def messages_in(stanza: domish.Element) -> Iterator[OOBMessage]:
    """Read each usable ``<x xmlns='jabber:x:oob'/>`` of a message or presence.

    Yields nothing for a stanza of type error: it brings back what we sent.
    """
    if stanza.getAttribute("type") == "error":
        return
    address = stanza.getAttribute("from")
    body = next((str(child) for child in stanza.elements(stanza.uri, "body")), None)
    # A list, as what the application does with one may change the stanza.
    for element in list(oob_elements(stanza, NS_X_OOB)):
        try:
            data = OOBData.from_element(element)
            sender = None if address is None else parse_jid(address)
        except ValueError as error:  # noqa: PERF203  (each is for itself)
            _log.debug("Ignored a URL from {sender}: {error}", sender=shown(address), error=error)
        else:
            yield OOBMessage(data, sender, body, stanza)


def deliver(stanza: domish.Element, on_message: MessageCallback) -> None:
    """Give each URL of a message or presence to the application; what fails is logged."""
    for message in messages_in(stanza):
        try:
            returned = on_message(message)
            if returned is not None:
                as_deferred(returned).addErrback(_log_failure)
        except Exception:  # noqa: PERF203  (each is for itself)
            _log_failure(Failure())


def _log_failure(failure: Failure) -> None:
    _log.failure("on_message failed", failure=failure)
