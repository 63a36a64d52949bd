"""Which messages are encrypted."""

from __future__ import annotations

import pytest

from tests.support.written import arrived, body, sfs, x
from twisted_oob.protocol.encrypted import is_encrypted
from twisted_oob.protocol.fallbacks import body_of

URL = "https://h.example/a.pdf"


def encrypted(*children, order=1):
    message = arrived(*children, order=order)
    return is_encrypted(message, body_of(message))


ENCRYPTED = {
    "OMEMO": "<encrypted xmlns='eu.siacs.conversations.axolotl'><payload>x</payload></encrypted>",
    "OMEMO 2": "<encrypted xmlns='urn:xmpp:omemo:2'><header/><payload>x</payload></encrypted>",
    "OpenPGP": "<openpgp xmlns='urn:xmpp:openpgp:0'>x</openpgp>",
    "OpenPGP of old": "<x xmlns='jabber:x:encrypted'>x</x>",
    "another, by its hint": "<encryption xmlns='urn:xmpp:eme:0' namespace='urn:example'/>",
    "a file": sfs(more="<encrypted xmlns='urn:xmpp:esfs:0'/>"),
    "OTR": body("?OTR:AAMC"),
    "a key in the text": body("aesgcm://h.example/a.jpg#0123"),
    "OpenPGP in the text": body("-----BEGIN PGP MESSAGE-----\n"),
}


@pytest.mark.parametrize("child", ENCRYPTED.values(), ids=ENCRYPTED)
def test_what_only_those_with_a_key_can_read(child):
    assert encrypted(child)
    if "<body" not in child:
        note = body("This message is encrypted.")
        assert encrypted(child, note)
        assert encrypted(child, note, order=-1)


KEYS = "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted>"
HINT = "<encryption xmlns='urn:xmpp:eme:0' namespace='eu.siacs.conversations.axolotl'/>"
PLAIN = {
    "nothing": [],
    "words": [body("How about OTR, or aesgcm://h.example/a?")],
    "a file": [x(URL), body(URL)],
    "a file that can be had plain, too": [sfs(URL, more="<encrypted xmlns='urn:xmpp:esfs:0'/>")],
    "a file without sources": [sfs()],
    "keys alone": [KEYS],
    "keys alone, with a hint": [KEYS, HINT],
}


@pytest.mark.parametrize("children", PLAIN.values(), ids=PLAIN)
def test_what_anybody_can_read(children):
    assert not encrypted(*children)
    assert not encrypted(*children, order=-1)


def test_a_hint_tells_of_an_encrypted_message_if_there_is_a_note():
    assert encrypted(KEYS, HINT, body("This message is encrypted."))
