"""The parts of an address: what is the same, what is different, and what is not allowed."""

from __future__ import annotations

import stringprep

import pytest
from twisted.words.protocols.jabber.xmpp_stringprep import nodeprep, resourceprep

from twisted_oob.xmpp.jid_parts import prepare_domain, prepare_localpart, prepare_resource

# Unicode 3.2 knows none of these: an emoji, one of several code points, and letters.
NEW = ["😀", "\U0001f469\U0001f3fd", "\u1e9e", "\U0001e900", "\u10d0\u1c90", "\U0003fffd"]


@pytest.mark.parametrize("prepare", [prepare_localpart, prepare_resource])
@pytest.mark.parametrize("text", NEW)
@pytest.mark.parametrize("form", ["{}", "a{}", "{}b", "a{}b"])
def test_what_unicode_3_2_does_not_know_passes_as_it_is(prepare, text, form):
    assert prepare(form.format(text)) == form.format(text)


@pytest.mark.parametrize(
    ("prepare", "text", "prepared"),
    [
        (prepare_localpart, "AB😀", "ab😀"),
        (prepare_localpart, "Stra\u00dfe", "strasse"),
        (prepare_localpart, "e\u0301\u00ad", "\u00e9"),
        (prepare_resource, "AB😀", "AB😀"),
        (prepare_resource, "e\u0301\u00ad", "\u00e9"),
        (prepare_resource, "\u2764\ufe0f", "\u2764"),
        (prepare_resource, " /@ ", " /@ "),
    ],
)
def test_the_rest_is_prepared_as_ever(prepare, text, prepared):
    assert prepare(text) == prepared


# A control, a space, private use, no character, a surrogate, a tag, a change of direction.
PROHIBITED = "\x00\x7f\x85\u3000\ue000\U0010fffd\ufffe\U0001ffff\ufdd0\ud83d\U000e0041\u202e\ufffd"


@pytest.mark.parametrize("character", PROHIBITED)
@pytest.mark.parametrize("form", ["{}", "a{}", "{}😀"])
def test_what_is_prohibited_stays_an_error(character, form):
    for prepare in (prepare_localpart, prepare_domain):
        with pytest.raises(ValueError, match=r"is not valid|of its domain"):
            prepare(form.format(character))
    # NFKC makes a space of it, which a resource may have.
    if character != "\u3000":
        with pytest.raises(ValueError, match="its resource is not valid"):
            prepare_resource(form.format(character))


@pytest.mark.parametrize("character", " \"&'/:<>@\uff20\u2100")
def test_a_localpart_has_none_of_what_separates(character):
    with pytest.raises(ValueError, match="its localpart is not valid"):
        prepare_localpart(f"a{character}")


@pytest.mark.parametrize("prepare", [prepare_localpart, prepare_resource])
@pytest.mark.parametrize("text", ["\u05d0a", "\u05d01", "1\u05d0", "\u05d0a\u05d0"])
def test_directions_are_not_mixed(prepare, text):
    with pytest.raises(ValueError, match="BIDI"):
        prepare(text)


@pytest.mark.parametrize("prepare", [prepare_localpart, prepare_resource, prepare_domain])
@pytest.mark.parametrize("text", ["", "\u00ad"])
def test_no_part_is_empty(prepare, text):
    with pytest.raises(ValueError, match=r"empty|of its domain"):
        prepare(text)


def test_each_assigned_character_is_what_twisted_makes_of_it():
    for prepare, theirs in ((prepare_localpart, nodeprep), (prepare_resource, resourceprep)):
        for character in map(chr, range(1, 0x3000)):
            # Twisted takes this for an error, or for what only a newer Unicode makes of it.
            if stringprep.in_table_a1(character):
                continue
            try:
                expected = theirs.prepare(character)
            except UnicodeError:
                continue
            if expected:
                assert prepare(character) == expected


@pytest.mark.parametrize(
    ("a_label", "u_label"),
    [
        ("xn--bcher-kva", "b\u00fccher"),
        ("xn--fa-hia", "fa\u00df"),
        ("xn--3xa", "\u03c2"),
        ("xn--wgv71a119e", "日本語"),
        ("xn--mgbh0fb", "مثال"),
        ("xn--80ak6aa92e", "\u0430\u0440\u0440\u04cf\u0435"),
        ("xn--i-7iq", "i\u2764"),
        ("xn--e28h", "😀"),
        ("xn--mgba3gch31f060k", "\u0646\u0627\u0645\u0647\u200c\u0627\u06cc"),
    ],
)
def test_an_a_label_is_its_u_label(a_label, u_label):
    for written in (a_label, a_label.upper(), u_label):
        assert prepare_domain(written) == u_label
        assert prepare_domain(f"A.{written}.b.") == f"a.{u_label}.b"


@pytest.mark.parametrize("owner", ["fass", "xn--fa-hia.evil", "fa\u00df"])
def test_domains_of_different_owners_stay_different(owner):
    others = ["fass", "fa\u00df", "xn--fa-hia.evil"]
    others.remove(owner)
    assert prepare_domain(owner) not in map(prepare_domain, others)


@pytest.mark.parametrize(
    "label",
    [
        "xn--a",  # no Punycode
        "xn--99999999",
        "xn--abc-",  # nothing but ASCII
        "xn---bbk",  # another spelling of xn--bbk
        "xn--bcher-kvaa",
        "xn--strae-oqa-",
        "xn--ab-m1t",  # a joiner between letters that don't join
        "xn--1ch",  # a symbol that the mapping takes apart
    ],
)
def test_an_a_label_that_stands_for_no_u_label_stays(label):
    try:
        prepared = prepare_domain(label)
    except ValueError:
        assert label.endswith("-")
    else:
        assert prepared == label or prepare_domain(prepared) == prepared


@pytest.mark.parametrize(
    "domain",
    [
        "xn--\u00fc",
        "a\u200db",
        "\u200d",
        "\u0301a",
        "\u05d0a",
        "a/b",
        "a\u2100b",
        "\u2488",
    ],
)
def test_what_can_be_no_label_is_an_error(domain):
    with pytest.raises(ValueError, match="domain"):
        prepare_domain(domain)


@pytest.mark.parametrize(
    ("domain", "prepared"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[0:0:0:0:0:0:0:1]", "[::1]"),
        ("[2001:DB8::A]", "[2001:db8::a]"),
    ],
)
def test_a_domain_may_be_an_ip_address(domain, prepared):
    assert prepare_domain(domain) == prepared


@pytest.mark.parametrize(
    "domain", ["::1", "[]", "[127.0.0.1]", "[::1%1]", "[::1", "::1]", "[v1.a]"]
)
def test_what_is_no_ip_address_is_an_error(domain):
    with pytest.raises(ValueError, match="domain"):
        prepare_domain(domain)
