"""XMPP addresses: how they are read, compared and kept (RFC 7622)."""

from __future__ import annotations

import gc
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.words.protocols.jabber import jid as words_jid
from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish import domish

from twisted_oob.xmpp.jid import (
    _PREPARED_JID,
    MAX_JID_LENGTH,
    _kept_parts,
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
        ".",
        "h..",
        "h.。",
        "a@b@c",
        "-h.x",
        "h-.x",
        "h_x",
        "xn--",
        "xn--\u00fc",
        "[h]",
        "[::1",
        "[::1%eth0]",
        "[::1].",
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
@given(
    st.text()
    | st.text(st.characters(exclude_categories=[]))
    | st.text(st.sampled_from("a@/.-\u00fc\u3002\u00ad\u00df\u0301\u05d0\u200d\ufdfa\u1e9e😀"))
    | st.from_regex(r"(a@)?([xX]n--[a-z0-9-]{0,12}\.?){1,2}(/b)?", fullmatch=True)
    | st.tuples(st.text(), st.text(), st.text()).map(lambda parts: "{}@{}/{}".format(*parts))
)
def test_any_text_is_a_jid_that_can_be_sent_or_a_value_error(text):
    try:
        jid = parse_jid(text)
    except ValueError:
        return
    # What is prepared stays as it is, however it is read again.
    assert parse_jid(jid.full()) == jid
    assert parse_jid(jid) is jid
    assert normalized_jid(text) == normalized_jid(jid) == jid.full()
    parts = [part for part in (jid.user, jid.host, jid.resource) if part is not None]
    assert all(1 <= len(part.encode()) <= 1023 for part in parts)
    iq = domish.Element((None, "iq"))
    iq["to"] = jid.full()
    assert parseXml(iq.toXml().encode())["to"] == jid.full()


def same_as_twisted(text):
    """Tell whether a text that is a JID is read as Twisted reads it, but for the domain's dot."""
    try:
        jid = parse_jid(text)
    except ValueError:
        return True
    theirs = JID(text)
    theirs.host = theirs.host.removesuffix(".")
    return jid == theirs and normalized_jid(text) == jid.full() == theirs.full()


@pytest.mark.parametrize(
    "where",
    ["{}@h", "a{}b@h/r", "{}", "{}h", "h{}", "a@{}h.x", "a@h.x{}", "h{}h/r", "h/{}", "h/a{}"],
)
def test_each_character_anywhere_is_what_stringprep_makes_of_it(where):
    characters = [*map(chr, range(256)), "\u0130", "\u212a", "\u3002", "\uff21"]
    # In a domain it is a letter of its own (RFC 5892), which Twisted's nameprep makes "ss".
    if where.partition("@")[2] or not where.startswith(("{}@", "a{}b@", "h/")):
        characters.remove("\u00df")
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
        assert parse_jid(text).full() == normalized_jid(text) == normalized_jid(JID(text))
    assert set(words_jid.__internJIDs) == interned
    assert 0 < _kept_parts.cache_info().currsize <= 4096


@pytest.mark.parametrize(("made", "resource"), [(str, "phone"), (str, "r" * 1000), (JID, "phone")])
def test_memory_of_addresses_is_bounded(made, resource):
    def ask(first):
        for number in range(first, first + 4500):
            address = made(f"peer{number}@far.example/{resource}")
            assert parse_jid(address).full() == normalized_jid(address)
        gc.collect()

    # The cache is full after that: what comes now takes the place of others.
    ask(0)
    tracemalloc.start()
    try:
        memory = []
        for first in range(4500, 18_000, 4500):
            ask(first)
            memory.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # What addresses would leave, each round leaves. Threads of other tests may take some in one.
    assert min(after - before for before, after in pairwise(memory)) < 100_000


def test_text_of_an_address_is_one_object_for_all_requests():
    one, other = (normalized_jid(JID(f"peer@far.example/{'phone'}")) for _ in range(2))
    assert one is other


@pytest.mark.parametrize("address", [None, 1, b"a@h", "a..b"])
def test_only_an_address_is_normalized(address):
    with pytest.raises(ValueError, match="JID"):
        normalized_jid(address)


@pytest.mark.parametrize("read", [parse_jid, normalized_jid])
def test_what_is_longer_than_any_address_is_not_looked_at(read):
    with pytest.raises(ValueError, match=f"at most {MAX_JID_LENGTH} characters, not 3072") as told:
        read("a@b.example/".ljust(MAX_JID_LENGTH + 1, "r"))
    assert len(str(told.value)) < 100


@pytest.mark.parametrize("read", [parse_jid, normalized_jid])
@pytest.mark.parametrize("letter", ["r", "\u00fc", "\u20ac", "😀"])
@pytest.mark.parametrize(
    ("form", "part"), [("{}@h", "localpart"), ("{}", "domain"), ("h/{}", "re")]
)
def test_each_part_of_an_address_has_at_most_1023_bytes(read, letter, form, part):
    most, rest = divmod(1023, len(letter.encode()))
    longest = letter * most + "r" * rest
    assert read(form.format(longest))
    with pytest.raises(ValueError, match=f"its {part}.* has more than 1023 bytes") as told:
        read(form.format(longest + "r"))
    # Not all of it: a log may show the error.
    assert len(str(told.value)) < 300


def test_an_address_may_be_as_long_as_its_parts():
    longest = "@".join(["l" * 1023, "d" * 1023]) + "/" + "r" * 1023
    assert len(longest) == MAX_JID_LENGTH
    assert normalized_jid(longest) == longest


BOOKS = [
    "b\u00fccher.example",
    "B\u00dcCHER.Example",
    "bu\u0308cher.example",
    "b\u00fccher\u3002example\uff0e",
    "b\u00fccher.example.",
    "xn--bcher-kva.example",
    "XN--BCHER-KVA.EXAMPLE.",
    "\uff58\uff4e--bcher-kva\uff61example",
]


@pytest.mark.parametrize("domain", BOOKS)
@pytest.mark.parametrize("form", ["{}", "a@{}", "{}/r", "a@{}/r"])
@pytest.mark.parametrize("made", [str, JID])
def test_a_domain_is_the_same_however_it_is_written(domain, form, made):
    address, one = made(form.format(domain)), form.format(BOOKS[0])
    assert parse_jid(address).full() == normalized_jid(address) == one
    assert parse_jid(address).host == BOOKS[0]


def test_a_jid_of_twisteds_is_not_changed():
    theirs = JID("a@xn--bcher-kva.example./r")
    assert parse_jid(theirs) is not theirs
    assert theirs.host == "xn--bcher-kva.example."
