"""AllowList: whom each kind of entry allows."""

from __future__ import annotations

import pytest
from twisted.words.protocols.jabber.jid import JID

from twisted_oob.xmpp.access import EVERYBODY, AllowList


@pytest.mark.parametrize(
    ("entry", "sender", "allowed"),
    [
        ("*", "anyone@any.example/where", True),
        ("home.example", "home.example", True),
        ("home.example", "home.example/resource", True),
        ("home.example", "me@home.example", True),
        ("home.example", "me@home.example/desk", True),
        ("HOME.example", "me@home.example/desk", True),
        ("home.example", "me@sub.home.example", False),
        ("sub.home.example", "me@home.example", False),
        ("home.example", "home.example@far.example", False),
        ("home.example", "me@far.example/home.example", False),
        ("me@home.example", "me@home.example", True),
        ("me@home.example", "me@home.example/desk", True),
        ("Me@HOME.example", "me@home.example/desk", True),
        ("me@home.example", "you@home.example/desk", False),
        ("me@home.example", "home.example", False),
        ("me@home.example/desk", "me@home.example/desk", True),
        ("me@home.example/desk", "me@home.example/sofa", False),
        ("me@home.example/desk", "me@home.example/Desk", False),
        ("me@home.example/desk", "me@home.example", False),
    ],
)
def test_an_entry_allows_whom_it_names(entry, sender, allowed):
    assert (JID(sender) in AllowList([entry])) is allowed
    assert (JID(sender) in AllowList(["other.example", entry])) is allowed
    assert (JID(sender) in AllowList(iter([entry, "other.example"]))) is allowed


def test_an_empty_list_allows_nobody():
    assert JID("me@home.example") not in AllowList([])


@pytest.mark.parametrize(
    ("entries", "allowed"),
    [([], False), (["home.example"], False), ([EVERYBODY], True), (["a.example", "*"], True)],
)
def test_who_has_no_address_is_allowed_only_if_everybody_is(entries, allowed):
    assert (None in AllowList(entries)) is allowed


@pytest.mark.parametrize("entry", ["a@b@c/ \0", "", "@home.example", "home..example", "*@"])
def test_what_is_not_a_jid_is_an_error(entry):
    for entries in ([entry], [EVERYBODY, entry], ["home.example", entry]):
        with pytest.raises(ValueError, match="JID"):
            AllowList(entries)
