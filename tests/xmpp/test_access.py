"""AllowList: whom each kind of entry allows."""

from __future__ import annotations

import re

import pytest
from twisted.words.protocols.jabber.jid import JID

from twisted_oob.xmpp.access import EVERYBODY, AllowList
from twisted_oob.xmpp.jid import parse_jid


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
        ("fa\u00df.example", "me@fass.example", False),
        ("me@fass.example", "me@xn--fa-hia.example", False),
        ("me@home.example/😀", "me@home.example/😀", True),
        ("*me@home.example", "*me@home.example", True),
        ("home.example", "[::1]", False),
        ("[::1]", "me@[0:0::1]/desk", True),
    ],
)
def test_an_entry_allows_whom_it_names(entry, sender, allowed):
    sender = parse_jid(sender)
    assert (sender in AllowList([entry])) is allowed
    assert (sender in AllowList(["other.example", entry])) is allowed
    assert (sender in AllowList(iter([entry, "other.example"]))) is allowed
    assert (sender in AllowList([entry if entry == EVERYBODY else parse_jid(entry)])) is allowed


SPELLINGS = [
    "b\u00fccher.example",
    "B\u00dcCHER.example.",
    "xn--bcher-kva.example",
    "XN--BCHER-KVA.example.",
    "b\u00fccher\u3002example",
]


@pytest.mark.parametrize("entry", SPELLINGS)
@pytest.mark.parametrize("sender", SPELLINGS)
@pytest.mark.parametrize("form", ["{}", "me@{}", "me@{}/desk"])
@pytest.mark.parametrize("made", [JID, parse_jid])
def test_a_domain_is_the_same_however_it_is_written(entry, sender, form, made):
    allowed = AllowList([form.format(entry)])
    assert made(form.format(sender)) in allowed
    assert made(form.format(f"sub.{sender}")) not in allowed


def test_an_empty_list_allows_nobody():
    assert JID("me@home.example") not in AllowList([])


@pytest.mark.parametrize(
    ("entries", "allowed"),
    [([], False), (["home.example"], False), ([EVERYBODY], True), (["a.example", "*"], True)],
)
def test_who_has_no_address_is_allowed_only_if_everybody_is(entries, allowed):
    assert (None in AllowList(entries)) is allowed


def test_who_has_no_valid_address_is_allowed_only_if_everybody_is():
    sender = JID("me@home.example")
    sender.host = "home..example"
    assert sender not in AllowList(["home.example", "me@home.example"])
    assert sender in AllowList([EVERYBODY])


@pytest.mark.parametrize("entry", ["a@b@c/ \0", "", "@home.example", "home..example", "*@"])
def test_what_is_not_a_jid_is_an_error(entry):
    for entries in ([entry], [EVERYBODY, entry], ["home.example", entry]):
        with pytest.raises(ValueError, match="JID"):
            AllowList(entries)


@pytest.mark.parametrize(
    ("entry", "right"),
    [
        ("*@home.example", "'home.example' allows everybody there"),
        ("*@home.example/desk", "'home.example' allows everybody there"),
        ("me@home.example/*", "'me@home.example' allows each resource"),
        ("*.home.example", "no patterns"),
        ("me@*.example", "no patterns"),
        ("me@*", "no patterns"),
        ("**", "no patterns"),
    ],
)
def test_a_pattern_is_an_error_that_says_what_would_be_right(entry, right):
    with pytest.raises(ValueError, match=re.escape(right)) as told:
        AllowList([entry])
    assert repr(entry) in str(told.value)


@pytest.mark.parametrize("entries", ["localhost", "*", "", b"localhost", None, 5, JID("a@h"), True])
def test_anything_but_a_list_is_a_type_error_that_names_it(entries):
    with pytest.raises(
        TypeError, match=r"allow_from.* must be a list of addresses, such as"
    ) as told:
        AllowList(entries)
    assert repr(entries) in str(told.value)


def test_the_type_error_for_a_text_says_what_to_write():
    with pytest.raises(TypeError, match=re.escape("such as ['localhost'], not 'localhost' (str)")):
        AllowList("localhost")


@pytest.mark.parametrize("entry", [b"localhost", None, 5, ["localhost"], {"a": 1}])
def test_an_entry_that_is_no_address_is_a_type_error_that_names_it(entry):
    for entries in ([entry], ["home.example", entry], [EVERYBODY, entry]):
        with pytest.raises(TypeError, match="must be a str or a JID") as told:
            AllowList(entries)
        assert repr(entry) in str(told.value)


def test_a_list_that_is_replaced_allows_others_and_no_more():
    allowed = AllowList(["me@home.example", "far.example"])
    allowed.replace(["you@home.example"])
    assert parse_jid("you@home.example/desk") in allowed
    assert parse_jid("me@home.example/desk") not in allowed
    assert parse_jid("anybody@far.example") not in allowed
    allowed.replace([EVERYBODY])
    assert parse_jid("anybody@any.example") in allowed
    allowed.replace([])
    assert parse_jid("anybody@any.example") not in allowed


@pytest.mark.parametrize("entries", ["home.example", ["you@home.example", "a..b"], [None], None])
def test_a_list_with_a_mistake_replaces_nothing(entries):
    allowed = AllowList(["me@home.example"])
    with pytest.raises((TypeError, ValueError)):
        allowed.replace(entries)
    assert parse_jid("me@home.example/desk") in allowed
    assert parse_jid("you@home.example/desk") not in allowed
