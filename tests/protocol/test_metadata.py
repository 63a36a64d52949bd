"""What is known of a file, in offers: sent, read, echoed; and whatever strangers write there."""

from __future__ import annotations

from hashlib import sha256
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.words.xish.domish import Element
from wokkel.component import InternalComponent, Router

from tests.support.streams import (
    PEER,
    URL,
    WIRES,
    Direct,
    canonical,
    connected,
    outcome,
    query,
    stanza,
)
from twisted_oob import FileInfo, OOBData, OOBHandler, Rejected
from twisted_oob.protocol.metadata import NS_FILE, file_element, read_file

pytestmark = pytest.mark.usefixtures("log")

HASH = sha256(b"foo").hexdigest()
BASE64 = "LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564="
PICTURE = FileInfo("a cat.jpg", 3, "image/jpeg", HASH)
PARTS = (
    "<media-type>image/jpeg</media-type><name>a cat.jpg</name><size>3</size>"
    f"<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>{BASE64}</hash>"
)

every_wire = pytest.mark.parametrize("make", WIRES.values(), ids=WIRES)
every_handler = pytest.mark.parametrize("handler", [OOBHandler, Direct], ids=["ordinary", "direct"])


def file_xml(parts=PARTS, namespace=NS_FILE):
    return f"<file xmlns='{namespace}'>{parts}</file>"


def query_with(file):
    return query(desc="A cat").replace("</query>", f"{file}</query>")


def offered(parts, handler=OOBHandler):
    """Give the offer that a <file/> with these parts comes in."""
    offers = []
    _handler, wire = connected(offers.append, handler=handler)
    wire.offer(payload=query_with(file_xml(parts)))
    (offer,) = offers
    return offer


@every_wire
@every_handler
def test_an_offer_says_what_is_known(handler, make):
    made, wire = connected(wire=make, handler=handler)
    for _ in range(2):
        answer = made.send_url(PEER, URL, "A cat", info=PICTURE)
        sent = wire.sent_one()
        assert canonical(sent[0]) == canonical(query_with(file_xml()))
        wire.answer(sent)
        assert outcome(answer) is None


@every_handler
@pytest.mark.parametrize(
    ("info", "parts"),
    [
        (FileInfo(), ""),
        (FileInfo(name="a"), "<name>a</name>"),
        (FileInfo(size=0), "<size>0</size>"),
        (FileInfo(media_type="text/plain"), "<media-type>text/plain</media-type>"),
        # A file's name may have any character, and XML can't hold all of them.
        (FileInfo(name="a\x00\udcff<&>\ufffe"), "<name>a\ufffd\ufffd&lt;&amp;&gt;\ufffd</name>"),
    ],
)
def test_only_what_is_known_is_said(handler, info, parts):
    made, wire = connected(handler=handler)
    made.send_url(PEER, URL, info=info)
    file = f"<file xmlns='{NS_FILE}'>{parts}</file>"
    wanted = query().replace("</query>", f"{file}</query>")
    assert canonical(wire.sent_one()[0]) == canonical(wanted)


@every_wire
@every_handler
def test_info_waits_for_a_stream(handler, make):
    made, wire = connected(wire=make, handler=handler)
    wire.lose()
    made.send_url(PEER, URL, "A cat", info=PICTURE)
    wire.open()
    assert canonical(wire.sent_one()[0]) == canonical(query_with(file_xml()))


@every_wire
@every_handler
def test_an_offer_tells_what_its_sender_knows(handler, make):
    offers = []
    _made, wire = connected(offers.append, wire=make, handler=handler)
    # Mixed with others: each way to take an offer comes after the other.
    for payload in (query(), query_with(file_xml()), query(), query_with(file_xml())):
        wire.offer(payload=payload)
    assert [offer.info for offer in offers] == [None, PICTURE, None, PICTURE]
    assert [offer.data for offer in offers] == [OOBData(URL), OOBData(URL, "A cat")] * 2
    for offer in offers:
        offer.reply_success()
    assert [answer.get("type") for answer in wire.sent()] == ["result"] * 4


@every_wire
@every_handler
def test_an_error_brings_back_the_whole_query(handler, make):
    def on_offer(_offer):
        raise Rejected

    _handler, wire = connected(on_offer, wire=make, handler=handler)
    wire.offer(payload=query_with(file_xml()))
    assert canonical(wire.sent_one()[0]) == canonical(query_with(file_xml()))


def test_an_offer_without_info_is_not_made_an_element_to_look_for_it(monkeypatch):
    offers = []
    _handler, wire = connected(offers.append, handler=Direct)
    wire.offer()
    monkeypatch.setattr(Element, "__init__", None)
    assert offers[0].info is None


def test_info_passes_between_components_of_one_process():
    """Where no stanza is ever written as XML."""
    router, offers, handlers = Router(), [], []
    for domain in ("one.example", "two.example"):
        manager = InternalComponent(router, domain)
        handler = OOBHandler(offers.append, reactor=Clock())
        handler.setHandlerParent(manager)
        manager.startService()
        handlers.append(handler)
    handlers[0].send_url("two.example", URL, info=PICTURE)
    assert offers[0].info == PICTURE


@pytest.mark.parametrize("send", ["send_url", "send_message"])
@pytest.mark.parametrize("info", [HASH, {"size": 3}, 3, True])
@pytest.mark.parametrize("online", [True, False])
def test_what_is_no_file_info_is_a_type_error_at_once(send, info, online):
    handler, wire = connected()
    if not online:
        wire.lose()
    error = outcome(getattr(handler, send)(PEER, URL, info=info))
    assert isinstance(error, TypeError)
    assert str(error).startswith("info must be a FileInfo or None, not ")
    if not online:
        wire.open()
    assert wire.sent() == []


def hash_xml(text=BASE64, algo="sha-256", version=2):
    return f"<hash xmlns='urn:xmpp:hashes:{version}' algo='{algo}'>{text}</hash>"


OTHER_HASH = hash_xml("2XarmwTlNxDAMkvymloX3S5+VbylNrJt/l5QyPa+YoU=", "sha3-256")


@pytest.mark.parametrize(
    ("parts", "info"),
    [
        (PARTS, PICTURE),
        ("", FileInfo()),
        # Several, and others: the first that is good counts.
        (f"{OTHER_HASH}{hash_xml()}{OTHER_HASH}", FileInfo(sha256=HASH)),
        (f"{hash_xml('no')}{hash_xml()}{hash_xml('no')}", FileInfo(sha256=HASH)),
        ("<size>-1</size><size>3</size><size>4</size>", FileInfo(size=3)),
        ("<name/><name>a</name><name>b</name>", FileInfo("a")),
        ("<dimensions>1x1</dimensions><date>now</date><name>a</name>", FileInfo("a")),
        # As others write it.
        (hash_xml(version=1), FileInfo(sha256=HASH)),
        (hash_xml(f"\n{BASE64[:20]}\n\t {BASE64[20:]}\n"), FileInfo(sha256=HASH)),
        ("<size> 3\n</size>", FileInfo(size=3)),
        ("<size>9223372036854775807</size>", FileInfo(size=2**63 - 1)),
        ("<media-type> Text/Plain; charset=utf-8</media-type>", FileInfo(media_type="text/plain")),
        ("<name>../a\u202eb/c</name>", FileInfo("../a\u202eb/c")),
        # Malformed, or of no use: unknown.
        *(
            (f"<size>{size}</size><name>a</name>", FileInfo("a"))
            for size in (
                "",
                "x",
                "-1",
                "+1",
                "1.5",
                "0x1",
                "1_0",
                "1 0",
                "\u0663",
                "9" * 19,
                "9" * 99,
            )
        ),
        *(
            (f"<media-type>{kind}</media-type><size>3</size>", FileInfo(size=3))
            for kind in ("", " ", "image", "/", "image/", "image/a b", "image/\u00e9", "a" * 500)
        ),
        *(
            (f"{given}<size>3</size>", FileInfo(size=3))
            for given in (
                hash_xml(""),
                hash_xml("===="),
                hash_xml(BASE64[:-1]),
                hash_xml(BASE64[4:]),
                hash_xml(BASE64 * 2),
                hash_xml(BASE64.replace("/", "_")),
                hash_xml("\u00e9" * 44),
                hash_xml("A" * 100_000),
                hash_xml(HASH),
                hash_xml(algo="SHA-1"),
                hash_xml(version=3),
                f"<hash xmlns='urn:xmpp:hashes:2'>{BASE64}</hash>",
                "<hash-used xmlns='urn:xmpp:hashes:2' algo='sha-256'/>",
                f"<hash algo='sha-256'>{BASE64}</hash>",
                OTHER_HASH,
            )
        ),
        ("<name> \n</name><size>3</size>", FileInfo(size=3)),
        ("<name><b>a</b></name><size>3</size>", FileInfo(size=3)),
        ("<name xmlns='urn:x'>a</name><size>3</size>", FileInfo(size=3)),
        ("text<size>3</size>text", FileInfo(size=3)),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
@every_handler
def test_what_is_read(handler, parts, info):
    offer = offered(parts, handler)
    assert offer.info == info
    assert offer.data == OOBData(URL, "A cat")


@pytest.mark.parametrize(
    "payload",
    [
        query_with(file_xml(namespace="urn:xmpp:file:metadata:9")),
        query_with(f"<file>{PARTS}</file>"),
        query_with(f"<other xmlns='urn:x'>{file_xml()}</other>"),
    ],
)
@every_handler
def test_what_is_not_info_is_ignored(handler, payload):
    offers = []
    _handler, wire = connected(offers.append, handler=handler)
    wire.offer(payload=payload)
    assert offers[0].info is None
    assert offers[0].url == URL


NAMES = st.sampled_from(["name", "size", "media-type", "hash", "file", "desc", "x"])
SPACES = st.sampled_from([NS_FILE, "urn:xmpp:hashes:2", "urn:xmpp:hashes:1", "urn:x", None])
TEXTS = st.one_of(st.text(), st.from_regex(r"[0-9+\- ]{0,30}"), st.binary().map(bytes.hex))


def element(name, uri, attributes, children):
    made = Element((uri, name), uri, attributes)
    for child in children:
        made.addContent(child) if isinstance(child, str) else made.addChild(child)
    return made


ELEMENTS = st.recursive(
    TEXTS,
    lambda below: st.builds(
        element,
        NAMES,
        SPACES,
        st.dictionaries(st.sampled_from(["algo", "x"]), st.sampled_from(["sha-256", "", "\x00"])),
        st.lists(below, max_size=4),
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=100)
@given(SPACES, st.lists(ELEMENTS, max_size=6))
def test_reading_raises_on_nothing(namespace, children):
    assert isinstance(read_file(element("file", namespace, {}, children)), FileInfo)


# XML can hold these; a parser gives a lone carriage return as a line feed.
XML_TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff").filter(
        lambda one: one >= " " or one in "\t\n\r"
    ),
    min_size=1,
)
INFOS = st.builds(
    FileInfo,
    st.none() | XML_TEXT.filter(str.strip),
    st.none() | st.integers(0, 2**63 - 1),
    st.none() | st.sampled_from(["image/png", "application/vnd.a+b", "x/y.z-1"]),
    st.none() | st.binary(min_size=32, max_size=32).map(bytes.hex),
)


@settings(deadline=None, max_examples=50)
@given(INFOS, st.sampled_from([OOBHandler, Direct]))
def test_what_is_sent_is_what_is_read(info, handler):
    offers = []
    made, wire = connected(offers.append, handler=handler)
    made.send_url(PEER, URL, info=info)
    payload = ElementTree.tostring(wire.sent_one()[0], encoding="unicode")
    # ElementTree escapes no carriage return in what it writes.
    wire.offer(payload=payload.replace("\r", "&#13;"))
    assert offers[0].info == info


def test_an_element_of_another_namespace_has_its_parts_in_that():
    file = file_element(PICTURE, "urn:xmpp:jingle:apps:file-transfer:5")
    assert canonical(file.toXml()) == canonical(
        file_xml(namespace="urn:xmpp:jingle:apps:file-transfer:5")
    )
    assert read_file(file) == PICTURE


def test_a_stanza_of_others_is_as_it_was():
    handler, wire = connected()
    handler.send_url(PEER, URL)
    sent = wire.sent_one()
    wanted = stanza("iq", query(), type="set", id=sent.get("id"), to=PEER)
    assert canonical(sent) == canonical(wanted)
