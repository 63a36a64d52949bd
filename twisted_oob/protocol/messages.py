"""Files inside messages and presence: ``jabber:x:oob`` (XEP-0066 section 3), SFS and SIMS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish import domish

from twisted_oob.protocol.arguments import check_addresses
from twisted_oob.protocol.data import NS_X_OOB, OOBData, check_text
from twisted_oob.protocol.delay import delayed_since
from twisted_oob.protocol.fallbacks import body_of
from twisted_oob.protocol.file_sharing import add_sharing, files_in
from twisted_oob.protocol.metadata import FileInfo, check_info
from twisted_oob.xmpp.deferreds import as_deferred
from twisted_oob.xmpp.jid import parse_jid, shown
from twisted_oob.xmpp.serial import SafeElement
from twisted_oob.xmpp.tracker import new_id

MESSAGE_TYPES: Final = ("chat", "groupchat", "headline", "normal")
"""The types of messages that may be sent (RFC 6121 section 5.2.2); an error is only an answer."""

_log = Logger()


@dataclass(frozen=True, slots=True)
class OOBMessage:
    """A file that came inside a message or presence, by its URL. It is not answered.

    ``jabber:x:oob`` (XEP-0066 section 3), SFS (XEP-0447) and SIMS (XEP-0385) may name it, and all
    of them at once. It is one file all the same.

    Attributes:
        data: What is offered, an OOBData; ``url`` and ``desc`` are its parts.
        sender: The JID that it came from; None if the stanza does not say.
        body: The text of the message's ``<body/>``; None if it has none.
        element: The whole stanza as it came.
        info: What the sender knows of the file; None if it gave only the URL.
        delayed: When the stanza was first sent, in UTC, if it did not come at once: it waited on a
            server until we were online, or it is of a room's history (XEP-0203). None if it came
            at once.
        groupchat: Whether it was said in a room (XEP-0045). ``sender`` is then the occupant.
    """

    data: OOBData
    sender: JID | None
    body: str | None = field(repr=False)  # most clients put the URL there, with its userinfo
    element: domish.Element = field(repr=False)
    info: FileInfo | None = field(default=None, repr=False)  # a stranger's text of any length
    delayed: datetime | None = field(default=None, repr=False)
    groupchat: bool = field(default=False, repr=False)

    @property
    def url(self) -> str:
        """The URL: an absolute URI, of any scheme."""
        return self.data.url

    @property
    def desc(self) -> str | None:
        """The sender's description, for people; None if it gave none."""
        return self.data.desc


MessageCallback = Callable[[OOBMessage], "Awaitable[object] | None"]


def build_messages(
    recipient: JID | str,
    url: str,
    desc: str | None,
    *,
    info: FileInfo | None,
    body: str | None,
    message_type: str,
    sender: JID | str | None,
) -> list[domish.Element]:
    """Build the message that holds a URL, and the one of its description if it needs its own.

    The parameters are those of ``OOBHandler.send_message``.

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
    to = parse_jid(recipient).full()
    from_ = None if sender is None else parse_jid(sender).full()
    messages = [_message(to, from_, message_type, text)]
    if info is None:
        messages[0].addChild(data.to_element(NS_X_OOB))
        return messages
    messages[0].addChild(OOBData(data.url).to_element(NS_X_OOB))
    add_sharing(messages[0], data.url, check_info(info), text)
    if data.desc is not None:
        messages.append(_message(to, from_, message_type, data.desc))
    return messages


def _message(to: str, from_: str | None, message_type: str, body: str) -> domish.Element:
    # Safe, as the text may be anything: a carriage return in it must not become a line feed.
    message: domish.Element = SafeElement((None, "message"))  # type: ignore[no-untyped-call]
    message["id"] = new_id()
    message["to"] = to
    if from_ is not None:
        message["from"] = from_
    message["type"] = message_type
    message.addElement("body", content=body)
    return message


def messages_in(stanza: domish.Element, in_text: Sequence[str] = ()) -> list[OOBMessage]:
    """Read each file that a message or presence, not of type error, names with a usable URL.

    Args:
        stanza: The message or presence.
        in_text: URIs that its text has, and that count as well.
    """
    address = stanza.getAttribute("from")
    seen_unusable = False

    def ignored(error: ValueError) -> None:
        # A line for each would let one message fill the log.
        nonlocal seen_unusable
        if not seen_unusable:
            seen_unusable = True
            _log.debug("Ignored a URL from {sender}: {error}", sender=shown(address), error=error)

    files = files_in(stanza, ignored, in_text)
    if not files:
        return []
    try:
        sender = None if address is None else parse_jid(address)
    except ValueError as error:
        ignored(error)
        return []
    body, delayed = body_of(stanza), delayed_since(stanza)
    groupchat = stanza.name == "message" and stanza.getAttribute("type") == "groupchat"
    return [
        OOBMessage(file.data, sender, body, stanza, file.info, delayed, groupchat) for file in files
    ]


def deliver(stanza: domish.Element, on_message: MessageCallback) -> None:
    """Give each file of a message or presence to the application; what fails is logged.

    Args:
        stanza: What came in. One of type error brings back what we sent, and is not for this.
        on_message: What takes each file.
    """
    for message in messages_in(stanza):
        try:
            returned = on_message(message)
            if returned is not None:
                as_deferred(returned).addErrback(_log_failure)
        except Exception:  # noqa: PERF203  (each is for itself)
            _log_failure(Failure())


def _log_failure(failure: Failure) -> None:
    _log.failure("on_message failed", failure=failure)
