"""Slots as values: what is asked, and every answer that a service can give."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.words.protocols.jabber.error import StanzaError

from tests.support.slot_service import NS, refusal, slot
from twisted_oob.errors import FileTooLarge, SlotRefused, error_from_stanza
from twisted_oob.protocol.slots import (
    read_refusal,
    read_size,
    read_slot,
    slot_name,
    slot_request,
)
from twisted_oob.xmpp.characters import NON_XML

from wokkel.generic import parseXml  # isort: skip

PUT = "https://upload.example/slot/a.png?sig=secret"
GET = "https://files.example/a.png"
NOW = datetime(2026, 11, 26, 12, 0, 0, tzinfo=timezone.utc)


def iq(payload, kind="result"):
    return parseXml(f"<iq xmlns='jabber:client' type='{kind}'>{payload}</iq>".encode())


def test_a_request_has_name_size_and_type():
    xml = slot_request("a & b.png", 5, "image/png").to_xml()
    given = "filename='a &amp; b.png' size='5' content-type='image/png'"
    assert xml == f"<request xmlns='{NS}' {given}></request>"


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("photo.jpg", "photo.jpg"),
        ("/home/me/photo.jpg", "photo.jpg"),
        ("../../photo.jpg", "photo.jpg"),
        ("photo\\of\\me.jpg", "photo_of_me.jpg"),
        (" \t photo.jpg\r\n", "_ photo.jpg__"),
        ("a\0b\x1bc\x7fd\x9be.txt", "a_b_c_d_e.txt"),
        ("a\u2028b\u2029c", "a_b_c"),
        ("caf\udce9.txt", "caf_.txt"),
        ("\ufffe\uffff", "__"),
        ("\N{CAT}'\"<>&.png", "\N{CAT}'\"<>&.png"),
        (".bashrc", ".bashrc"),
        ("", "file"),
        ("/", "file"),
        (".", "file"),
        ("..", "file"),
        ("a/..", "file"),
        ("a" * 300 + ".jpg", "a" * 251 + ".jpg"),
        ("\u00e9" * 300 + ".jpg", "\u00e9" * 125 + ".jpg"),
        ("a." + "b" * 300, "a." + "b" * 253),
        ("." + "b" * 300, "." + "b" * 254),
    ],
)
def test_a_name_becomes_one_segment(name, cleaned):
    assert slot_name(name) == cleaned


@settings(deadline=None)
@given(st.text(st.characters(), max_size=400))
def test_any_name_becomes_one_segment(name):
    cleaned = slot_name(name)
    assert 0 < len(cleaned.encode()) <= 255
    assert "/" not in cleaned
    assert cleaned not in {".", ".."}
    assert NON_XML.search(cleaned) is None
    assert slot_name(cleaned) == cleaned


def test_a_slot_has_both_urls_and_its_headers():
    read = read_slot(iq(slot(PUT, GET, ("authorization", "Bearer secret"), ("X-Other", "no"))))
    assert (read.put, read.get) == (PUT, GET)
    assert read.headers == (("Authorization", "Bearer secret"),)
    assert "secret" not in repr(read)
    assert GET in repr(read)


def test_its_urls_are_made_uris():
    read = read_slot(iq(slot(" https://upload.example/\u00e4 b ", "https://b\u00fccher.example/a")))
    assert read.put == "https://upload.example/%C3%A4%20b"
    assert read.get == "https://xn--bcher-kva.example/a"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        iq(""),
        iq("text"),
        iq("<slot/>"),
        iq(f"<slot xmlns='{NS}'/>"),
        iq(f"<slot xmlns='{NS}'><put url='{PUT}'/></slot>"),
        iq(f"<slot xmlns='{NS}'><put xmlns='x' url='{PUT}'/><get url='{GET}'/></slot>"),
        iq(slot("/relative", GET)),
        iq(slot(PUT, "")),
    ],
)
def test_what_is_no_slot(answer):
    with pytest.raises(ValueError, match="the upload service") as caught:
        read_slot(answer)
    assert "secret" not in str(caught.value)


def refused(more="", condition="not-acceptable", **options):
    said = refusal(condition, more=more, **options)
    return read_refusal(error_from_stanza(iq(said, "error")), NOW)


# Prosody has the condition first, ejabberd last, with the request beside the error.
PROSODY = (
    "<error type='modify'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
    "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>File too large</text>"
    f"<file-too-large xmlns='{NS}'><max-file-size>10485760</max-file-size></file-too-large></error>"
)
EJABBERD = (
    f"<request xmlns='{NS}' filename='a' size='5'/><error code='406' type='modify'>"
    f"<file-too-large xmlns='{NS}'><max-file-size>10485760</max-file-size></file-too-large>"
    "<not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
)


@pytest.mark.parametrize("said", [PROSODY, EJABBERD])
def test_a_file_that_is_too_large(said):
    error = read_refusal(error_from_stanza(iq(said, "error")), NOW)
    assert isinstance(error, FileTooLarge)
    assert error.max_size == 10_485_760


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        ("2026-11-26T12:01:00Z", 60),
        ("2026-11-26T12:01:00", 60),
        ("2026-11-26T12:01:00.123456789Z", 60),
        ("2026-11-26T14:01:00+02:00", 60),
        ("2026-11-26T07:31:00-04:30", 60),
        ("2026-11-26T11:00:00Z", 0),
        ("2027-11-26T12:00:00Z", 365 * 86_400),
        ("20261126T12:01:00", None),
        ("2026-13-26T12:01:00Z", None),
        ("2026-11-26T12:01:00EST", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("0000-00-00T00:00:00Z", None),
        ("", None),
    ],
)
def test_a_stamp_says_when_to_ask_again(stamp, seconds):
    error = refused(f"<retry xmlns='{NS}' stamp='{stamp}'/>", "resource-constraint", kind="wait")
    assert isinstance(error, SlotRefused)
    assert error.retry == seconds


def test_both_may_come_in_any_order():
    retry = f"<retry xmlns='{NS}' stamp='2026-11-26T12:01:00Z'/>"
    for more in (f"{retry}<other xmlns='urn:x'/>", f"<other xmlns='urn:x'/>{retry}"):
        assert refused(more).retry == 60


def test_an_error_that_no_stanza_carried():
    error = read_refusal(StanzaError("forbidden", text="no"), NOW)
    assert (error.condition, error.text, error.retry) == ("forbidden", "no", None)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("104857600", 104_857_600),
        (" 5\n", 5),
        ("0", None),
        ("-5", None),
        ("+5", None),
        ("5.0", None),
        ("\u0665", None),
        ("5 MB", None),
        ("", None),
        ("9" * 5000, None),
    ],
)
def test_only_a_number_of_bytes_is_a_limit(text, size):
    assert read_size(text) == size
