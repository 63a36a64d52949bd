"""Which messages are encrypted, so that their text is not what was written."""

from __future__ import annotations

from typing import Final

from twisted.words.xish.domish import Element

from twisted_oob.protocol.file_sharing import NS_SFS

_OMEMO: Final = frozenset(
    ("eu.siacs.conversations.axolotl", "urn:xmpp:omemo:0", "urn:xmpp:omemo:1", "urn:xmpp:omemo:2")
)
_HINT: Final = ("urn:xmpp:eme:0", "encryption")  # XEP-0380
_OTHERS: Final = frozenset(
    (
        ("urn:xmpp:openpgp:0", "openpgp"),  # XEP-0373
        ("jabber:x:encrypted", "x"),  # XEP-0027
        ("urn:ietf:params:xml:ns:xmpp-e2e", "e2e"),  # RFC 3923
    )
)
# XEP-0454, OTR, and OpenPGP.
_TEXTS: Final = ("aesgcm://", "?OTR", "-----BEGIN PGP MESSAGE-----")
_NS_ESFS: Final = "urn:xmpp:esfs:0"


def is_encrypted(message: Element, body: str | None) -> bool:
    """Whether a message has something for those who have a key.

    Messages that only set up keys have no content (XEP-0384), and do not count.

    Args:
        message: Any message.
        body: Its text; None if it has none. Clients put a note there, for those without the key.
    """
    if body is not None and body.lstrip().startswith(_TEXTS):
        return True
    hinted = False
    keys_only = False
    for child in message.elements():
        kind = (child.uri, child.name)
        if kind in _OTHERS:
            return True
        if kind == _HINT:
            hinted = True
        elif child.uri in _OMEMO and child.name == "encrypted":
            if next(child.elements(child.uri, "payload"), None) is not None:
                return True
            keys_only = True
        elif kind == (NS_SFS, "file-sharing") and _is_encrypted_file(child):
            return True
    return hinted and (body is not None or not keys_only)


def _is_encrypted_file(sharing: Element) -> bool:
    """Whether a file can be had only in encrypted form (XEP-0448)."""
    sources = [one for held in sharing.elements(NS_SFS, "sources") for one in held.elements()]
    return bool(sources) and all(
        (source.uri, source.name) == (_NS_ESFS, "encrypted") for source in sources
    )
