"""XMPP addresses: how they are read, compared and kept (RFC 7622)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.words.protocols.jabber import jid as words_jid
from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish import domish

from twisted_oob.xmpp.jid import (
    _PREPARED_JID,
    MAX_JID_LENGTH,
    _normalized_jid,
    _parts_of_jid,
    normalized_jid,
    parse_jid,
)

# Wokkel's own imports need what importing twisted_oob puts back.
from wokkel.generic import parseXml  # isort: skip


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "a@",
        "/r",
        "a..example",
        "a@.",
        ".example",
        "a@\x00",
        "a b@h",
        "-h",
        "h\ud800",
        "h/\ud800",
        "@h",
        "@h/r",
        "a@h/",
        "h/",
        "\u00ad@h",
        "h/\u00ad",
    ],
)
def test_bad_jid_is_a_value_error(text):
    with pytest.raises(ValueError, match="JID"):
        parse_jid(text)


@pytest.mark.parametrize("value", [None, 1, b"a@h"])
def test_jid_of_another_type_is_a_value_error(value):
    with pytest.raises(ValueError, match="must be a JID or a str"):
        parse_jid(value)


@settings(deadline=None)
@given(st.text() | st.text(st.sampled_from("a@/.-\u00fc\u3002\u00ad")))
def test_any_text_is_a_jid_that_can_be_sent_or_a_value_error(text):
    try:
        jid = parse_jid(text)
    except ValueError:
        return
    iq = domish.Element((None, "iq"))
    iq["to"] = jid.full()
    assert parseXml(iq.toXml().encode())["to"] == jid.full()


def same_as_twisted(text):
    """Tell whether a text that is a JID is read as Twisted's stringprep reads it."""
    try:
        jid = parse_jid(text)
    except ValueError:
        return True
    return jid == JID(text) and normalized_jid(text) == jid.full() == JID(text).full()


@pytest.mark.parametrize(
    "where",
    ["{}@h", "a{}b@h/r", "{}", "{}h", "h{}", "a@{}h.x", "a@h.x{}", "h{}h/r", "h/{}", "h/a{}"],
)
def test_each_character_anywhere_is_what_stringprep_makes_of_it(where):
    characters = [*map(chr, range(256)), "\u0130", "\u212a", "\u3002", "\uff21"]
    assert [each for each in characters if not same_as_twisted(where.format(each))] == []


@settings(deadline=None)
@given(st.from_regex(_PREPARED_JID, fullmatch=True))
def test_prepared_jid_is_what_stringprep_makes_of_it(text):
    assert same_as_twisted(text)


def test_plain_jid_skips_stringprep(monkeypatch):
    def failing(*args):
        raise AssertionError

    monkeypatch.setattr(JID, "__init__", failing)
    for text in ("alice.smith+1@home-1.example/Desk @/ 2", "h", "files.example", "a@h", "h/ @"):
        assert normalized_jid(text) == text
        assert parse_jid(text).host in text


def test_jid_is_given_back_as_it_is():
    jid = JID("a@h/r")
    assert parse_jid(jid) is jid


def test_changing_a_jid_changes_no_other():
    changed = parse_jid("alice@home.example/desk")
    changed.user, changed.resource = "mallory", None
    assert parse_jid("alice@home.example/desk").full() == "alice@home.example/desk"


def test_addresses_of_strangers_are_not_kept_for_ever():
    interned = set(words_jid.__internJIDs)
    for number in range(5000):
        text = f"Stranger{number}@far.example/\u00fc"
        assert parse_jid(text).full() == normalized_jid(text)
    assert set(words_jid.__internJIDs) == interned
    for cache in (_parts_of_jid, _normalized_jid):
        assert 0 < cache.cache_info().currsize <= 4096


def test_text_of_an_address_is_one_object_for_all_requests():
    one, other = (normalized_jid(JID(f"peer@far.example/{'phone'}")) for _ in range(2))
    assert one is other


@pytest.mark.parametrize("address", [None, 1, b"a@h", "a..b"])
def test_only_an_address_is_normalized(address):
    with pytest.raises(ValueError, match="JID"):
        normalized_jid(address)


@pytest.mark.parametrize("read", [parse_jid, normalized_jid])
def test_an_address_has_a_length_that_it_may_have(read):
    longest = "a@b.example/".ljust(MAX_JID_LENGTH, "r")
    assert read(longest)
    with pytest.raises(ValueError, match=f"at most {MAX_JID_LENGTH} characters, not 3072") as told:
        read(f"{longest}r")
    assert len(str(told.value)) < 100
