"""Messages about a file of which something is known: the stanza, its description, and their end."""

from __future__ import annotations

from hashlib import sha256

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.words.protocols.jabber.xmlstream import TimeoutError as StreamTimeoutError

from tests.support.clients import FALLBACK, FILE, JINGLE_FILE, OOB, REFERENCE, SFS, SIMS
from tests.support.streams import (
    COMPONENT,
    PEER,
    URL,
    WIRES,
    ComponentWire,
    canonical,
    clock_of,
    connected,
    outcome,
    stanza,
)
from twisted_oob import FileInfo, OOBHandler

pytestmark = pytest.mark.usefixtures("log")

on_every_stream = pytest.mark.parametrize("make", WIRES.values(), ids=WIRES)

HASH = sha256(b"foo").hexdigest()
PICTURE = FileInfo("a.jpg", 9, "image/jpeg", HASH)


def sent(info=PICTURE, url=URL, desc=None, **options):
    """Give what send_message sends, read by another parser than ours."""
    handler, wire = connected()
    assert outcome(handler.send_message(PEER, url, desc, info=info, **options)) is None
    return wire.sent()


def parts(message):
    """Give the names of a message's children."""
    return [child.tag.rpartition("}")[2] for child in message]


@on_every_stream
def test_message_is_a_file_in_all_clients(make):
    handler, wire = connected(wire=make)
    assert outcome(handler.send_message(PEER, URL, info=PICTURE)) is None
    message = wire.sent_one()
    n = len(URL)
    known = (
        "<media-type>image/jpeg</media-type><name>a.jpg</name><size>9</size>"
        "<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>"
        "LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=</hash>"
    )
    reference = (
        f"<reference xmlns='urn:xmpp:reference:0' type='data' begin='{n}' end='{n}' uri='{URL}'"
    )
    children = (
        f"<body>{URL}</body><x xmlns='jabber:x:oob'><url>{URL}</url></x>"
        "<file-sharing xmlns='urn:xmpp:sfs:0' disposition='inline'>"
        f"<file xmlns='urn:xmpp:file:metadata:0'>{known}</file><sources>"
        f"<url-data xmlns='http://jabber.org/protocol/url-data' target='{URL}'/>"
        "</sources></file-sharing>"
        "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:sfs:0'><body/></fallback>"
        f"{reference}><media-sharing xmlns='urn:xmpp:sims:1'>"
        f"<file xmlns='urn:xmpp:jingle:apps:file-transfer:5'>{known}</file>"
        f"<sources>{reference}/></sources></media-sharing></reference>"
    )
    from_ = COMPONENT if wire.me == COMPONENT else None
    attributes = {"id": message.get("id"), "to": PEER, "from_": from_, "type": "chat"}
    assert canonical(message) == canonical(stanza("message", children, **attributes))


@pytest.mark.parametrize(
    ("media_type", "disposition"),
    [
        ("image/png", "inline"),
        ("audio/ogg", "inline"),
        ("video/mp4", "inline"),
        ("IMAGE/GIF", "inline"),
        ("application/pdf", "attachment"),
        ("text/plain", "attachment"),
        ("imagery/x", "attachment"),
        (None, "attachment"),
    ],
)
def test_disposition(media_type, disposition):
    (message,) = sent(FileInfo(media_type=media_type, sha256=HASH))
    assert message.find(f"{SFS}file-sharing").get("disposition") == disposition


@pytest.mark.parametrize(
    ("info", "children"),
    [
        (None, ["body", "x"]),
        (FileInfo(), ["body", "x"]),
        (FileInfo("a.jpg", 9), ["body", "x"]),
        (FileInfo("a.jpg", 9, "image/jpeg"), ["body", "x", "reference"]),
        (FileInfo("a.jpg", 0, "image/jpeg"), ["body", "x", "reference"]),
        (FileInfo(sha256=HASH), ["body", "x", "file-sharing", "fallback"]),
        (FileInfo("a.jpg", 9, None, HASH), ["body", "x", "file-sharing", "fallback"]),
        (FileInfo("a.jpg", None, "image/jpeg", HASH), ["body", "x", "file-sharing", "fallback"]),
        (FileInfo(None, 9, "image/jpeg", HASH), ["body", "x", "file-sharing", "fallback"]),
        (PICTURE, ["body", "x", "file-sharing", "fallback", "reference"]),
    ],
)
def test_each_way_to_share_needs_what_it_is_read_for(info, children):
    (message,) = sent(info)
    assert parts(message) == children


def test_without_a_hash_sims_has_none():
    (message,) = sent(FileInfo("a.jpg", 9, "image/jpeg"))
    file = message.find(f"{REFERENCE}reference/{SIMS}media-sharing/{JINGLE_FILE}file")
    assert parts(file) == ["media-type", "name", "size"]


@pytest.mark.parametrize("body", ["look", "", f"{URL} ", "\U0001f600\u00e9"])
def test_a_text_of_its_own_is_no_fallback(body):
    (message,) = sent(body=body)
    assert (message.findtext("body") or "") == body
    assert parts(message) == ["body", "x", "file-sharing", "reference"]
    # In code points (XEP-0426).
    references = list(message.iter(f"{REFERENCE}reference"))
    places = [reference.get(name) for reference in references for name in ("begin", "end")]
    assert places == [str(len(body))] * 4


def test_a_text_that_is_the_url_is_the_fallback():
    (message,) = sent(body=URL)
    assert message.find(f"{FALLBACK}fallback") is not None


def test_every_url_is_that_of_the_uri():
    (message,) = sent(url=" https://b\u00fccher.example/a b&c.jpg\n")
    uri = "https://xn--bcher-kva.example/a%20b&c.jpg"
    targets = [one.get("target") for one in message.iter() if one.get("target")]
    uris = [one.get("uri") for one in message.iter(f"{REFERENCE}reference")]
    texts = [message.findtext("body"), message.findtext(f"{OOB}x/{OOB}url")]
    assert targets + uris + texts == [uri] * 5


def test_a_name_may_have_any_character():
    (message,) = sent(FileInfo("<\"a'\r\n\x00\udcff\u202e&.jpg", 9, "image/jpeg", HASH))
    wanted = "<\"a'\r\n\ufffd\ufffd\u202e&.jpg"
    assert message.findtext(f"{SFS}file-sharing/{FILE}file/{FILE}name") == wanted
    assert [one.text for one in message.iter(f"{JINGLE_FILE}name")] == [wanted]


@pytest.mark.parametrize("text", ["two\r\nlines", "\r", "tab\t"])
def test_a_text_arrives_as_it_is(text):
    (message,) = sent(None, body=text)
    assert message.findtext("body") == text


# A description is a message of its own


@on_every_stream
def test_description_follows_in_a_message_of_its_own(make):
    handler, wire = connected(wire=make)
    assert outcome(handler.send_message(PEER, URL, "A <cat>", info=PICTURE)) is None
    message, description = wire.sent()
    from_ = COMPONENT if wire.me == COMPONENT else None
    attributes = {"id": description.get("id"), "to": PEER, "from_": from_, "type": "chat"}
    body = "<body>A &lt;cat&gt;</body>"
    assert canonical(description) == canonical(stanza("message", body, **attributes))
    assert description.get("id") != message.get("id")
    assert list(message.iter(f"{OOB}desc")) == []
    assert "cat" not in canonical(message)


def test_description_is_of_the_same_type_from_the_same_sender():
    handler, wire = connected(wire=ComponentWire)
    sender = "alice@" + COMPONENT
    handler.send_message(PEER, URL, "A cat", info=PICTURE, message_type="normal", sender=sender)
    for message in wire.sent():
        assert (message.get("type"), message.get("from")) == ("normal", sender)


def test_without_info_the_description_is_in_the_message():
    (message,) = sent(None, desc="A cat")
    assert message.findtext(f"{OOB}x/{OOB}desc") == "A cat"


@pytest.mark.parametrize("info", [FileInfo(), FileInfo("a.jpg"), PICTURE])
def test_with_any_info_it_is_not(info):
    message, description = sent(info, desc="A cat")
    assert message.find(f"{OOB}x/{OOB}desc") is None
    assert description.findtext("body") == "A cat"


@pytest.mark.parametrize("desc", [None, ""])
def test_no_description_is_no_message(desc):
    assert len(sent(desc=desc)) == 1


def test_both_wait_for_a_stream_and_stay_together():
    handler, wire = connected()
    wire.lose()
    ends = [handler.send_message(PEER, f"{URL}?{n}", f"{n}", info=PICTURE) for n in range(3)]
    ends[1].cancel()
    assert isinstance(outcome(ends[1]), CancelledError)
    wire.open()
    assert [message.findtext("body") for message in wire.sent()] == [
        f"{URL}?0",
        "0",
        f"{URL}?2",
        "2",
    ]
    assert [outcome(ends[n]) for n in (0, 2)] == [None, None]


def test_both_fail_if_no_stream_comes():
    handler = OOBHandler(reactor=Clock(), timeout=5.0)
    end = handler.send_message(PEER, URL, "A cat", info=PICTURE)
    clock_of(handler).advance(5.0)
    assert isinstance(outcome(end), StreamTimeoutError)


@pytest.mark.parametrize(("failing", "written"), [(1, 0), (2, 1)])
@pytest.mark.parametrize("bounce_timeout", [None, 2.0])
def test_if_one_can_not_be_written_it_fails_with_that(failing, written, bounce_timeout):
    handler, wire = connected()
    taken, send = [], wire.xmlstream.send

    def failing_send(element):
        taken.append(element)
        if len(taken) == failing:
            raise OSError("no way out")
        send(element)

    wire.xmlstream.send = failing_send
    end = handler.send_message(PEER, URL, "A cat", info=PICTURE, bounce_timeout=bounce_timeout)
    assert isinstance(outcome(end), OSError)
    assert len(taken) == failing
    assert len(wire.sent()) == written
    assert clock_of(handler).getDelayedCalls() == []
