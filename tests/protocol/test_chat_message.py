"""Messages as a chat takes them: who wrote, what words and which files."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.words.protocols.jabber.jid import JID

from tests.support.strange_stanzas import ELEMENTS, element_of, some_of
from tests.support.written import (
    BOT,
    FRIEND,
    JINGLE,
    OCCUPANT,
    ROOM,
    arrived,
    attached,
    body,
    fallback,
    file,
    sfs,
    sims,
    written,
    x,
)
from twisted_oob import FileInfo
from twisted_oob.protocol.chat_message import (
    MAX_FILES,
    Thread,
    message_kind,
    read_chat_message,
    sender_of,
)

URL = "https://h.example/a.pdf"
OTHER = "https://h.example/b.pdf"
THIRD = "https://h.example/c.pdf"


def urls(message):
    return [] if message is None else [file.url for file in message.files]


def test_a_message_with_all_there_is():
    element = arrived(
        body(" hello "),
        x(URL),
        "<thread parent='p'>t</thread>",
        "<request xmlns='urn:xmpp:receipts'/>",
        "<reply xmlns='urn:xmpp:reply:0' to='a@b' id='r'/>",
        "<replace xmlns='urn:xmpp:message-correct:0' id='c'/>",
        "<origin-id xmlns='urn:xmpp:sid:0' id='o'/>",
        "<stanza-id xmlns='urn:xmpp:sid:0' id='s' by='Bot@example.org'/>",
        "<stanza-id xmlns='urn:xmpp:sid:0' id='s2' by='bot@example.org'/>",
        "<stanza-id xmlns='urn:xmpp:sid:0' id='s3' by='@'/>",
        "<stanza-id xmlns='urn:xmpp:sid:0' by='b'/>",
        "<delay xmlns='urn:xmpp:delay' stamp='2026-11-26T06:00:00Z'/>",
        "<active xmlns='http://jabber.org/protocol/chatstates'/>",
        type="chat",
    )
    message = read_chat_message(element)
    assert (message.sender, message.recipient) == (JID(FRIEND), JID(BOT))
    assert (message.kind, message.body, urls(message)) == ("chat", "hello", [URL])
    assert (message.id, message.thread) == ("m1", Thread("t", "p"))
    assert message.delayed == datetime(2026, 11, 26, 6, tzinfo=timezone.utc)
    assert (message.asks_receipt, message.is_reply, message.encrypted) == (True, True, False)
    assert (message.replaces, message.origin_id) == ("c", "o")
    assert message.stanza_ids == {"bot@example.org": "s"}
    assert (message.left_out, message.from_occupant, message.in_room) == (0, False, False)
    assert message.element is element
    (file,) = message.files
    assert (file.sender, file.body, file.element) == (JID(FRIEND), " hello ", element)
    assert (file.delayed, file.groupchat) == (message.delayed, False)


def test_a_message_with_little():
    message = written(body("hello"), to=None, id_=None)
    assert (message.kind, message.body, message.files) == ("normal", "hello", ())
    assert (message.recipient, message.id, message.thread, message.delayed) == (None,) * 4
    assert (message.asks_receipt, message.is_reply, message.replaces) == (False, False, None)
    assert (message.origin_id, message.stanza_ids) == (None, {})


def test_what_a_person_writes_is_not_in_the_repr():
    message = written(body("secret"), x("https://u:secret@h/?secret"))
    assert "secret" not in repr(message)


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        (None, "normal"),
        ("", "normal"),
        ("normal", "normal"),
        ("chat", "chat"),
        ("groupchat", "groupchat"),
        ("headline", None),
        ("error", None),
        # RFC 6121 section 5.2.2: a type that nobody knows is as none.
        ("Chat", "normal"),
        ("odd", "normal"),
    ],
)
def test_the_type_decides(type_, kind):
    element = arrived(body("hello"), type=type_)
    assert message_kind(element) == kind
    message = read_chat_message(element)
    assert (message and message.kind) == kind


NOT_WRITTEN_TO_US = {
    "a carbon": "<received xmlns='urn:xmpp:carbons:2'/>",
    "a carbon of our own": "<sent xmlns='urn:xmpp:carbons:2'/>",
    "a carbon of old": "<received xmlns='urn:xmpp:carbons:1'/>",
    "forwarded": "<forwarded xmlns='urn:xmpp:forward:0'/>",
    "from an archive": "<result xmlns='urn:xmpp:mam:2' id='1'/>",
    "from an older archive": "<result xmlns='urn:xmpp:mam:0' id='1'/>",
}


@pytest.mark.parametrize("child", NOT_WRITTEN_TO_US.values(), ids=NOT_WRITTEN_TO_US)
def test_copies_are_not_taken(child):
    element = arrived(body("hello"), x(URL), child, type="chat")
    assert message_kind(element) is None
    assert read_chat_message(element) is None


def test_a_message_that_is_not_to_be_copied_is_taken():
    assert written(body("hello"), "<private xmlns='urn:xmpp:carbons:2'/>").body == "hello"


@pytest.mark.parametrize("from_", [None, "", "@", "a@b@c", "a" * 2000])
def test_nobody_wrote_it(from_):
    assert written(body("hello"), x(URL), from_=from_) is None
    assert sender_of(arrived(from_=from_)) is None


@pytest.mark.parametrize("name", ["presence", "iq"])
def test_other_stanzas_are_not_messages(name):
    assert written(body("hello"), x(URL), name=name) is None


NOTHING = {
    "empty": [],
    "a chat state": ["<composing xmlns='http://jabber.org/protocol/chatstates'/>"],
    "a receipt": ["<received xmlns='urn:xmpp:receipts' id='1'/>"],
    "a marker": ["<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>"],
    "a subject": ["<subject>hello</subject>"],
    "an empty body": [body("")],
    "white space": [body(" \n ")],
    "a request for a receipt": ["<request xmlns='urn:xmpp:receipts'/>"],
    "a reaction": [
        body("\u2764"),
        "<reactions xmlns='urn:xmpp:reactions:0' id='1'><reaction>\u2764</reaction></reactions>",
    ],
    "a retraction": [
        body(f"I took it back. {URL}"),
        "<retract xmlns='urn:xmpp:message-retract:1' id='1'/>",
    ],
    "an older retraction": [
        body("I took it back."),
        "<apply-to xmlns='urn:xmpp:fasten:0' id='1'>"
        "<retract xmlns='urn:xmpp:message-retract:0'/></apply-to>",
    ],
    "an invitation to a room": [
        body("Come to room@rooms.example"),
        "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'/></x>",
    ],
    "a direct invitation": [
        body("Come to room@rooms.example"),
        "<x xmlns='jabber:x:conference' jid='room@rooms.example'/>",
    ],
    "a fallback of what nobody knows": [body("look"), fallback("urn:example")],
    "keys without a content": [
        "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted>",
        "<encryption xmlns='urn:xmpp:eme:0' namespace='eu.siacs.conversations.axolotl'/>",
    ],
    "a file without a URL": [sfs()],
    "a URL that nobody can use": [x("a.pdf")],
    "a body of another namespace": ["<body xmlns='http://www.w3.org/1999/xhtml'>x</body>"],
}


@pytest.mark.parametrize("children", NOTHING.values(), ids=NOTHING)
@pytest.mark.parametrize("type_", ["chat", "normal", "groupchat"])
def test_a_message_with_nothing_in_it(children, type_):
    assert written(*children, type=type_) is None


# What it has, and its files.
FILES = {
    "x:oob": ([x(URL), body(URL)], [URL]),
    "x:oob without a body": ([x(URL)], [URL]),
    "SFS": ([sfs(URL), body(URL), fallback("urn:xmpp:sfs:0", "<body/>")], [URL]),
    "SIMS": ([sims(URL), body(URL)], [URL]),
    "attached": ([attached(URL)], [URL]),
    "the text": ([body(f"the plan is at {URL}, please keep it")], [URL]),
    "the text alone": ([body(URL)], [URL]),
    "all at once": ([x(URL), sfs(URL), sims(URL), attached(URL), body(f"{URL} {URL}")], [URL]),
    "a caption with the same URL": ([x(URL), body(f"my plan ({URL}).")], [URL]),
    "a caption with another URL": ([x(URL), body(f"my plan, see {OTHER}")], [URL, OTHER]),
    "several in the text": ([body(f"{URL} and {OTHER}\n{THIRD}")], [URL, OTHER, THIRD]),
    "two of SFS, both in the text": ([sfs(URL), sfs(OTHER), body(f"{URL}\n{OTHER}")], [URL, OTHER]),
    "two of x:oob, one in the text": ([x(URL), x(OTHER), body(OTHER)], [URL, OTHER]),
    "several sources, all in the text": ([sfs(URL, OTHER), body(f"{URL} {OTHER}")], [URL]),
    "capitals in scheme and host": ([x(URL), body("HTTPS://H.Example/a.pdf")], [URL]),
    "the default port": ([x(URL), body("https://h.example:443/a.pdf")], [URL]),
    "an IRI in the text": (
        [
            x("https://xn--bcher-kva.example/%C3%BC%20b.pdf"),
            body("https://b\xfccher.example/\xfc b.pdf"),
        ],
        ["https://xn--bcher-kva.example/%C3%BC%20b.pdf"],
    ),
    "an IRI in x:oob": (
        [x("https://b\xfccher.example/\xfc.pdf"), body("https://xn--bcher-kva.example/%c3%bc.pdf")],
        ["https://xn--bcher-kva.example/%C3%BC.pdf"],
    ),
    "encoded in another case": (
        [x("https://h.example/%c3%bc"), sfs("https://h.example/%C3%BC")],
        ["https://h.example/%c3%bc"],
    ),
    "encoded without need": (
        [x("https://h.example/a%28b%29.pdf"), body("(https://h.example/a(b).pdf)")],
        ["https://h.example/a%28b%29.pdf"],
    ),
    "a space in the text": (
        [x("https://h.example/a%20b.pdf"), body("look: https://h.example/a b.pdf !")],
        ["https://h.example/a%20b.pdf"],
    ),
    "a space in the text, and other letters": (
        [x("https://h.example/\xfc%20b.pdf"), body("look: https://h.example/\xfc b.pdf !")],
        ["https://h.example/%C3%BC%20b.pdf"],
    ),
    "a space in both": (
        [x("https://h.example/a b.pdf"), body("https://h.example/a b.pdf")],
        ["https://h.example/a%20b.pdf"],
    ),
    "an end that a sentence may have": (
        [x("https://h.example/(a)."), body("https://h.example/(a).")],
        ["https://h.example/(a)."],
    ),
    "such an end in a sentence": (
        [x("https://h.example/a)"), body("look https://h.example/a)\nnow")],
        ["https://h.example/a)"],
    ),
    "a longer URL is another": ([x(URL), body(f"{URL}x")], [URL, f"{URL}x"]),
    "a fragment names a part of it": ([x(URL), body(f"{URL}#page=2")], [URL]),
    "another query is another file": ([x(URL), body(f"{URL}?2")], [URL, f"{URL}?2"]),
    "another scheme is another file": (
        [x(URL), body("http://h.example/a.pdf")],
        [URL, "http://h.example/a.pdf"],
    ),
    "another path's case is another file": (
        [x(URL), body("https://h.example/A.pdf")],
        [URL, "https://h.example/A.pdf"],
    ),
    "a scheme that a text doesn't have": (
        [x("ftp://h.example/a"), body("ftp://h.example/b")],
        ["ftp://h.example/a"],
    ),
    "one that nobody can use": ([x("a.pdf"), body(f"{URL} https://[::g]/ http:///")], [URL]),
    "a fallback of SIMS": ([body(URL), fallback("urn:xmpp:sims:1")], [URL]),
    "a fallback without a file": ([body(URL), fallback("urn:xmpp:sfs:0", "<body/>")], [URL]),
    "a quoted reply": (
        [
            body(f"&gt; {OTHER}\n{URL}"),
            "<reply xmlns='urn:xmpp:reply:0' id='1'/>",
            fallback("urn:xmpp:reply:0", f"<body start='0' end='{len(OTHER) + 3}'/>"),
        ],
        [URL],
    ),
    "a quoted URL without a mark": (
        [
            body(f"Anna: {OTHER} wrote\n{URL}"),
            fallback("urn:xmpp:reply:0", f"<body end='{len(OTHER) + 13}'/>"),
        ],
        [URL],
    ),
    "a reaction with a file": (
        [x(URL), body(OTHER), "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>"],
        [URL],
    ),
}


@pytest.mark.parametrize(("children", "found"), FILES.values(), ids=FILES)
@pytest.mark.parametrize("order", [1, -1])
def test_each_file_once(children, found, order):
    message = written(*children, order=order, type="chat")
    # Of those in the message, a server may have turned round the order.
    assert sorted(urls(message)) == sorted(found)
    assert message.left_out == 0
    # The text is the body as it came, for whoever looks.
    assert all(file.element is message.element for file in message.files)


def test_a_file_that_is_only_described_is_for_those_who_remember_it():
    message = written(sfs(described=file("<name>a.pdf</name>")))
    assert (message.body, message.files, message.encrypted) == (None, (), False)


def test_what_is_known_of_a_file_comes_from_all_that_name_it():
    message = written(
        body("https://H.example/%61.pdf"),
        sfs(URL, described=file("<name>a.pdf</name>")),
        sims("https://h.example:443/a.pdf", described=file("<size>3</size>", JINGLE)),
        x(URL, "<desc>my plan</desc>"),
    )
    (found,) = message.files
    assert (found.url, found.info, found.desc) == (URL, FileInfo("a.pdf", 3), "my plan")


def test_without_its_contents_it_can_still_be_answered():
    message = written(body("hello"), x(URL), "<thread>t</thread>")
    rest = message.without_contents()
    assert (rest.body, rest.files, rest.element.children) == (None, (), [])
    assert (rest.sender, rest.id, rest.thread) == (message.sender, message.id, message.thread)


def test_in_a_room_only_files_that_are_shared_count():
    message = written(body(f"see {OTHER}"), x(URL), from_=OCCUPANT, type="groupchat")
    assert (message.kind, urls(message)) == ("groupchat", [URL])
    assert [file.groupchat for file in message.files] == [True]
    message = written(body(f"see {OTHER}"), from_=OCCUPANT, type="groupchat")
    assert (message.body, message.files) == (f"see {OTHER}", ())


def test_a_private_message_of_an_occupant():
    in_room = "<x xmlns='http://jabber.org/protocol/muc#user'/>"
    message = written(body(URL), in_room, from_=OCCUPANT, type="chat")
    assert (message.from_occupant, message.in_room, message.kind) == (True, True, "chat")
    assert urls(message) == [URL]
    message = written(body("hello"), in_room, from_=OCCUPANT, type="groupchat")
    assert (message.from_occupant, message.in_room) == (False, True)
    assert message.sender.userhost() == ROOM


@pytest.mark.parametrize("many", ["in the text", "shared"])
def test_of_too_many_files_the_first_are_kept(many):
    found = [f"{URL}?{n}" for n in range(MAX_FILES + 7)]
    children = map(x, found) if many == "shared" else [body(" ".join(found))]
    message = written(*children)
    assert (urls(message), message.left_out) == (found[:MAX_FILES], 7)


OMEMO = "<encrypted xmlns='urn:xmpp:omemo:2'><payload>x</payload></encrypted>"


def test_the_text_of_an_encrypted_message_is_a_note():
    message = written(OMEMO, body(f"Encrypted, see {OTHER}"))
    assert (message.encrypted, message.body, message.files) == (True, None, ())
    # Its URL is in the text, with the key.
    secret = "aesgcm://h.example/a#0"
    message = written(x(secret), body(secret))
    assert (message.encrypted, message.body, message.files) == (True, None, ())


def test_a_plain_file_in_an_encrypted_message_is_a_file():
    message = written(OMEMO, body(OTHER), x(URL))
    assert (message.encrypted, urls(message)) == (True, [URL])
    plain_too = sfs(URL, more="<encrypted xmlns='urn:xmpp:esfs:0'/>")
    message = written(plain_too, body(URL))
    assert (message.encrypted, urls(message)) == (False, [URL])


@pytest.mark.parametrize(
    ("children", "attributes", "asks"),
    [
        ([], {}, True),
        ([], {"type": "groupchat"}, False),
        ([], {"id_": None}, False),
        (["<received xmlns='urn:xmpp:receipts' id='1'/>"], {}, False),
    ],
)
def test_who_asks_for_a_receipt(children, attributes, asks):
    request = "<request xmlns='urn:xmpp:receipts'/>"
    assert written(body("hello"), request, *children, **attributes).asks_receipt == asks


def test_an_id_is_kept_only_if_it_is_of_any_use():
    long = "i" * 5000
    message = written(
        body("hello"),
        f"<origin-id xmlns='urn:xmpp:sid:0' id='{long}'/>",
        "<replace xmlns='urn:xmpp:message-correct:0'/>",
        f"<stanza-id xmlns='urn:xmpp:sid:0' by='a' id='{long}'/>",
        f"<thread>{long}</thread>",
        id_=long,
    )
    assert (message.id, message.origin_id, message.replaces) == (None, None, None)
    assert (message.thread, message.stanza_ids) == (None, {})
    assert written(body("hello"), "<thread> </thread>", id_="").thread is None


# Whatever a peer sends


@settings(deadline=None, max_examples=100)
@given(
    some_of("id to"),
    st.sampled_from(["chat", "normal", "groupchat", None]),
    st.lists(ELEMENTS, max_size=6),
)
def test_nothing_that_a_peer_may_send_raises(attributes, type_, children):
    element = element_of("message", "jabber:client", attributes, children)
    element["from"] = FRIEND
    if type_ is not None:
        element["type"] = type_
    message = read_chat_message(element)
    if message is not None:
        assert message.body is None or message.body.strip()
        assert len({file.url for file in message.files}) == len(message.files)
    read_chat_message(element_of("message", None, attributes, children))
