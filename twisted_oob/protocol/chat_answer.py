"""Answers to messages: in the conversation that they belong to, and marked as answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from twisted.words.xish.domish import Element

from twisted_oob.protocol.chat_message import NS_RECEIPTS, NS_REPLY
from twisted_oob.xmpp.room_presence import NS_MUC_USER
from twisted_oob.xmpp.serial import SafeElement
from twisted_oob.xmpp.tracker import new_id

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.protocol.chat_message import ChatMessage


def answerable(message: ChatMessage, me: JID | None) -> ChatMessage:
    """Give a message as it is answered on a stream.

    A component answers from the address that was written to. An account has one address, whatever
    the message says: some servers leave another resource in it, to which somebody wrote (RFC 6121
    section 8.5.3.2.1), and end the stream for an answer from there (RFC 6120 section 4.9.3.9).

    Args:
        message: What is to be answered.
        me: Our address on the stream; None if nothing tells.

    Returns:
        The message, for an account without its ``recipient``.
    """
    return message if me is None or me.user is None else replace(message, recipient=None)


def build_answer(message: ChatMessage, text: str) -> Element:
    """Build the message that answers another.

    It goes to the full JID that wrote, and for a message of a room to all in it. It is in the same
    thread, and says what it answers (XEP-0461), unless what it answers has no id for that: in a
    room, the room must have given it one (section 4.1).

    Args:
        message: What is answered; see ``answerable``.
        text: The answer. Characters that XML can't hold are replaced.
    """
    in_room = message.kind == "groupchat"
    to = message.sender.userhostJID() if in_room else message.sender
    answer = _message(to, message)
    answer.addElement("body", content=text)
    if message.from_occupant:
        # Without it, servers don't know it from a message to somebody outside of the room.
        answer.addElement((NS_MUC_USER, "x"), NS_MUC_USER)
    if message.thread is not None:
        thread = answer.addElement("thread", content=message.thread.text)
        if message.thread.parent is not None:
            thread["parent"] = message.thread.parent
    id_ = message.stanza_ids.get(message.sender.userhost()) if in_room else message.id
    if id_ is not None:
        reply = answer.addElement((NS_REPLY, "reply"), NS_REPLY)
        reply["to"] = message.sender.full()
        reply["id"] = id_
    return answer


def build_receipt(message: ChatMessage) -> Element | None:
    """Build the receipt that the sender of a message asked for (XEP-0184).

    It has nothing else in it, as section 7 wants it, so no hints for archives either.

    Returns:
        The receipt; None if the sender did not ask for one.
    """
    if not message.asks_receipt or message.id is None:
        return None
    receipt = _message(message.sender, message)
    receipt.addElement((NS_RECEIPTS, "received"), NS_RECEIPTS)["id"] = message.id
    return receipt


def _message(to: JID, answered: ChatMessage) -> Element:
    """Build an empty message, from the address that was written to and of the same type."""
    # Safe, as some of it is a stranger's.
    message: Element = SafeElement((None, "message"))  # type: ignore[no-untyped-call]
    message["id"] = new_id()
    message["to"] = to.full()
    if answered.recipient is not None:
        message["from"] = answered.recipient.full()
    message["type"] = answered.kind
    return message
