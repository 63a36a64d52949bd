"""ChatMessage: one message of somebody, as a chat takes it.

Theory of operation
===================

Any message stanza comes in. Those that a person, or a program like one, wrote to us come out as a
ChatMessage; of all others there is None:

======================================================  ==========================================
what comes in                                           what is made of it
======================================================  ==========================================
type error or headline                                  None
a carbon (XEP-0280), a forwarded message (XEP-0297),    None: it is a message to somebody else, or
one from an archive (XEP-0313)                          one that we have had
no ``from``, or one that is no JID                      None: nobody could be answered
a reaction (XEP-0444), a retraction (XEP-0424), an      only the files that it shares: its text is
invitation to a room (XEP-0045, XEP-0249)               for clients that don't know what it is
an encrypted message (OMEMO, OpenPGP, OTR, XEP-0454)    ``encrypted``; its text is a note, or a key,
                                                        and counts neither as words nor for URLs
a file's description without a URL (XEP-0447)           no words, no files: for Seen, which knows
                                                        it when its sources are attached
a message without words or files, such as a chat        None
state, a receipt or a subject
======================================================  ==========================================

A file is named in ``jabber:x:oob``, by SFS, by SIMS, or by an http or https URL in the text. In a
room (type groupchat) the text does not count: people paste links to pages there. One file that is
named in several ways is one file.

A server may turn round the children of a message, so the order of different ones means nothing.
Nothing that a peer may have sent raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from urllib.parse import unquote

from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish.domish import Element

from twisted_oob._urls import to_uri
from twisted_oob.protocol.attached import described_in
from twisted_oob.protocol.encrypted import is_encrypted
from twisted_oob.protocol.fallbacks import body_of, own_words
from twisted_oob.protocol.messages import OOBMessage, messages_in
from twisted_oob.protocol.metadata import text_of
from twisted_oob.protocol.same_file import file_key
from twisted_oob.protocol.text_urls import MAX_TEXT_LENGTH, urls_in
from twisted_oob.xmpp.jid import normalized_jid, parse_jid
from twisted_oob.xmpp.room_presence import NS_MUC_USER
from twisted_oob.xmpp.times import delayed_since

MAX_FILES: Final = 20
"""How many files of one message are kept."""
NS_CORRECTION: Final = "urn:xmpp:message-correct:0"
NS_REPLY: Final = "urn:xmpp:reply:0"
NS_RECEIPTS: Final = "urn:xmpp:receipts"

_NS_SID: Final = "urn:xmpp:sid:0"
_NS_FORWARD: Final = "urn:xmpp:forward:0"
_NS_CARBONS: Final = "urn:xmpp:carbons:"
_NS_ARCHIVE: Final = "urn:xmpp:mam:"
_KINDS: Final = {"chat": "chat", "groupchat": "groupchat", "error": None, "headline": None}
_WITHOUT_WORDS: Final = frozenset(
    (
        ("urn:xmpp:reactions:0", "reactions"),
        ("urn:xmpp:message-retract:0", "retract"),
        ("urn:xmpp:message-retract:1", "retract"),
        ("urn:xmpp:fasten:0", "apply-to"),
        ("jabber:x:conference", "x"),
    )
)
_WORD: Final = re.compile(r"\S+")
# Ids and threads are sent back, and remembered. Those that clients make have 36 characters.
_LONGEST_ID: Final = 1023


@dataclass(frozen=True, slots=True)
class Thread:
    """The conversation that a message belongs to (RFC 6121 section 5.2.5).

    Attributes:
        text: Its id.
        parent: The id of the conversation that it came out of; None if it does not say.
    """

    text: str
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of somebody, as a chat takes it.

    Attributes:
        sender: Who wrote it; in a room, the occupant.
        recipient: The address that it was written to; None if the stanza does not say.
        kind: ``chat``, ``normal`` or ``groupchat``.
        body: The writer's own words, without white space around them, and without what clients add
            for others (XEP-0428), such as a quote above a reply. None if it has no words, or if
            it is encrypted.
        files: Each file that it names, once; at most MAX_FILES.
        left_out: How many more files it names.
        id: Its id; None if it has none that can be used.
        thread: The conversation that it belongs to; None if it does not say.
        delayed: When it was first sent, in UTC; None if it came at once.
        asks_receipt: Whether its sender wants to know that it has come (XEP-0184).
        is_reply: Whether it says that it answers another message (XEP-0461).
        replaces: The id of the message that it corrects (XEP-0308); None if it corrects nothing.
        encrypted: Whether its words are, or its only file is, for those who have a key.
        element: The whole stanza as it came.
        origin_id: The id that the sender's client gave it (XEP-0359); None if it gave none.
        stanza_ids: Ids that servers gave it, by the JID that each gives for itself (XEP-0359). A
            sender may have made up those of others.
        from_occupant: Whether an occupant of a room wrote it to us alone (XEP-0045 section 7.5).
    """

    sender: JID
    recipient: JID | None
    kind: str
    body: str | None = field(repr=False)
    files: tuple[OOBMessage, ...]
    left_out: int
    id: str | None
    thread: Thread | None
    delayed: datetime | None
    asks_receipt: bool
    is_reply: bool
    replaces: str | None
    encrypted: bool
    element: Element = field(repr=False)
    origin_id: str | None
    stanza_ids: Mapping[str, str]
    from_occupant: bool

    @property
    def in_room(self) -> bool:
        """Whether its sender is an occupant of a room, known only by the nick there."""
        return self.kind == "groupchat" or self.from_occupant

    def without_contents(self) -> ChatMessage:
        """Give it without what may be large, for who keeps it until it is answered."""
        empty = Element((None, "message"))
        return replace(self, body=None, files=(), element=empty)


def message_kind(stanza: Element) -> str | None:
    """Give the type of a message that somebody wrote to us or to a room (RFC 6121 section 5.2.2).

    Returns:
        ``chat``, ``normal`` or ``groupchat``; an unknown type is ``normal``. None for everything
        else: another stanza, an error, a headline, a carbon, a forwarded message, and one from an
        archive.
    """
    if stanza.name != "message":
        return None
    kind = _KINDS.get(stanza.getAttribute("type"), "normal")
    return None if kind is None or any(map(_is_copy, stanza.elements())) else kind


def _is_copy(child: Element) -> bool:
    uri, name = child.uri or "", child.name
    if uri.startswith(_NS_CARBONS):
        return name in ("received", "sent")
    return (name == "result" and uri.startswith(_NS_ARCHIVE)) or (
        name == "forwarded" and uri == _NS_FORWARD
    )


def sender_of(stanza: Element) -> JID | None:
    """Give the JID that a stanza came from; None if it says none, or what is no JID.

    It takes much less time than to read a message.
    """
    return _jid(stanza, "from")


def read_chat_message(stanza: Element) -> ChatMessage | None:
    """Read a message of somebody; None if it is not one, or has nothing in it.

    Args:
        stanza: Any stanza. Nothing that a peer may have sent raises.
    """
    kind = message_kind(stanza)
    sender = sender_of(stanza)
    if kind is None or sender is None:
        return None
    body = body_of(stanza)
    encrypted = is_encrypted(stanza, body)
    children = {(child.uri, child.name): child for child in stanza.elements()}
    of_room = children.get((NS_MUC_USER, "x"))
    invites = of_room is not None and any(
        child.name in ("invite", "decline") for child in of_room.elements()
    )
    words = None
    if body is not None and not encrypted and not invites and not _WITHOUT_WORDS & children.keys():
        words = own_words(stanza, body) or None
    files = _files(stanza, None if kind == "groupchat" else words)
    if encrypted:
        # Such a file is there for those who have the key, which is part of the URL (XEP-0454).
        files = [file for file in files if not file.url.lower().startswith("aesgcm:")]
    if not files and words is None and not encrypted and not any(described_in(stanza)):
        return None
    id_ = _id(stanza)
    request, receipt = (NS_RECEIPTS, "request"), (NS_RECEIPTS, "received")
    asks = request in children and receipt not in children and kind != "groupchat"
    return ChatMessage(
        sender=sender,
        recipient=_jid(stanza, "to"),
        kind=kind,
        body=words,
        files=tuple(files[:MAX_FILES]),
        left_out=max(0, len(files) - MAX_FILES),
        id=id_,
        thread=_thread(stanza),
        delayed=delayed_since(stanza),
        asks_receipt=asks and id_ is not None,
        is_reply=(NS_REPLY, "reply") in children,
        replaces=_id(children.get((NS_CORRECTION, "replace"))),
        encrypted=encrypted,
        element=stanza,
        origin_id=_id(children.get((_NS_SID, "origin-id"))),
        stanza_ids=_stanza_ids(stanza),
        from_occupant=kind != "groupchat" and of_room is not None and not invites,
    )


def _files(stanza: Element, words: str | None) -> list[OOBMessage]:
    shared = messages_in(stanza)
    if words is None:
        return shared
    searched = words[:MAX_TEXT_LENGTH]
    in_text = urls_in(_without(searched, [file.url for file in shared[:MAX_FILES]]))
    return messages_in(stanza, in_text) if in_text else shared


def _without(words: str, urls: list[str]) -> str:
    """Take out of a text URLs that may end in what would be the sentence's, or have spaces."""
    if not urls:
        return words
    keys = {file_key(url) for url in urls}
    if _key_of(words) in keys:
        return ""
    for url in urls:
        if "%20" in url:
            for written in (url.replace("%20", " "), unquote(url)):
                words = words.replace(written, " ")
    return _WORD.sub(lambda word: "" if _key_of(word[0]) in keys else word[0], words)


def _key_of(text: str) -> str | None:
    if text[:4].lower() != "http":
        return None
    try:
        return file_key(to_uri(text))
    except ValueError:
        return None


def _jid(stanza: Element, attribute: str) -> JID | None:
    try:
        return parse_jid(stanza.getAttribute(attribute))
    except ValueError:
        return None


def _id(element: Element | None, attribute: str = "id") -> str | None:
    id_ = None if element is None else element.getAttribute(attribute)
    return id_ if id_ and len(id_) <= _LONGEST_ID else None


def _thread(stanza: Element) -> Thread | None:
    thread = next(stanza.elements(stanza.uri, "thread"), None)
    text = "" if thread is None else text_of(thread)
    if not text.strip() or len(text) > _LONGEST_ID:
        return None
    return Thread(text, _id(thread, "parent"))


def _stanza_ids(stanza: Element) -> Mapping[str, str]:
    ids: dict[str, str] = {}
    for child in stanza.elements(_NS_SID, "stanza-id"):
        id_ = _id(child)
        try:
            by = normalized_jid(child.getAttribute("by", ""))
        except ValueError:
            continue
        if id_ is not None:
            ids.setdefault(by, id_)
    return ids
