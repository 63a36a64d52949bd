"""Files that messages name by x:oob, SFS and SIMS: each once, with all that is told of it."""

from __future__ import annotations

from functools import partial
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import LogLevel
from twisted.words.xish.domish import Element

from tests.support import written
from tests.support.offers import UNUSABLE_URLS
from tests.support.strange_stanzas import ELEMENTS, element_of
from tests.support.streams import PEER, WIRES, connected, stanza
from tests.support.written import JINGLE, attached, file, url_data, x
from twisted_oob import FileInfo, OOBData
from twisted_oob.protocol.file_sharing import NS_SFS, NS_URL_DATA, MentionedFile, files_in
from twisted_oob.protocol.metadata import NS_FILE

pytestmark = pytest.mark.usefixtures("log")

URL = "https://files.example/a.jpg"
OTHER = "https://files.example/b.jpg"
FTP = "ftp://files.example/a.jpg"
HASH = sha256(b"foo").hexdigest()
HASH_XML = (
    "<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>"
    "LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=</hash>"
)
NAMED = FileInfo("a.jpg", sha256=HASH)
NAME = f"<name>a.jpg</name>{HASH_XML}"
sfs = partial(written.sfs, described=file(NAME))
sims = partial(written.sims, described=file(NAME, JINGLE))
FALLBACK = "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:sfs:0'><body/></fallback>"
SIZE = "<size>3</size>"
TYPE = "<media-type>image/jpeg</media-type>"
ENCRYPTED = (
    "<encrypted xmlns='urn:xmpp:esfs:0' cipher='urn:xmpp:ciphers:aes-256-gcm-nopadding:0'>"
    f"<sources xmlns='urn:xmpp:sfs:0'>{url_data(URL)}</sources></encrypted>"
)
JINGLEPUB = "<jinglepub xmlns='urn:xmpp:jinglepub:1' from='a@b/c' id='j'/>"


def seen(*children, name="message", wire=None, order=1):
    """Give the messages that the application sees of one stanza with these children."""
    messages = []
    _handler, end = connected(None, messages.append, **({} if wire is None else {"wire": wire}))
    end.receive(stanza(name, "".join(children[::order]), from_=PEER, to=end.me))
    assert end.sent() == []
    return messages


# What a message has, and what is seen of it: the URL and what is known, for each file.
CASES = {
    "x:oob alone": ([x(URL)], [(URL, None)]),
    "SFS alone": ([sfs(URL)], [(URL, NAMED)]),
    "SIMS alone": ([sims(URL)], [(URL, NAMED)]),
    "attached": ([attached(URL)], [(URL, None)]),
    "attached as the standard has it": ([attached(URL), x(URL), FALLBACK], [(URL, None)]),
    "all at once": ([x(URL), sfs(URL), FALLBACK, sims(URL)], [(URL, NAMED)]),
    "the same twice": ([x(URL), x(URL)], [(URL, None)]),
    "two of SFS with one URL": ([sfs(URL), sfs(URL)], [(URL, NAMED)]),
    "the fullest info": (
        [
            x(URL),
            sfs(URL, described=file(SIZE)),
            sims(URL, described=file(f"<size>4</size>{TYPE}", JINGLE)),
        ],
        [(URL, FileInfo(size=3, media_type="image/jpeg"))],
    ),
    "each part from whoever has it": (
        [
            sfs(URL, described=file(f"<name>a.jpg</name>{TYPE}")),
            sims(URL, described=file(HASH_XML, JINGLE)),
        ],
        [(URL, FileInfo("a.jpg", None, "image/jpeg", HASH))],
    ),
    "a size of 0 is known": (
        [sfs(URL, described=file("<size>0</size>")), sims(URL, described=file(SIZE, JINGLE))],
        [(URL, FileInfo(size=0))],
    ),
    "several sources": ([sfs(URL, OTHER)], [(URL, NAMED)]),
    "several sources, all in x:oob": ([sfs(URL, OTHER), x(OTHER), x(URL)], [(OTHER, NAMED)]),
    "the source that x:oob has": ([sims(URL, OTHER), x(OTHER)], [(OTHER, NAMED)]),
    "http before others": ([sfs(FTP, OTHER, URL)], [(OTHER, NAMED)]),
    "no http": ([sfs(FTP)], [(FTP, NAMED)]),
    "http without TLS": ([sfs("http://files.example/a")], [("http://files.example/a", NAMED)]),
    "several files": (
        [sfs(URL), sfs(OTHER, described=file(SIZE))],
        [(URL, NAMED), (OTHER, FileInfo(size=3))],
    ),
    "several files, plain": ([x(URL + "?2"), x(URL)], [(URL + "?2", None), (URL, None)]),
    "a plain one among them": (
        [x(OTHER), sfs(URL), x(URL)],
        [(OTHER, None), (URL, NAMED)],
    ),
    "one that is not usable": ([sfs("a.jpg", URL)], [(URL, NAMED)]),
    "only such ones": ([sfs("a.jpg"), sims(""), attached(" "), x("a.jpg")], []),
    "a URL as people write it": (
        [sfs("https://b\u00fccher.example/a b"), x("https://b\u00fccher.example/a b ")],
        [("https://xn--bcher-kva.example/a%20b", NAMED)],
    ),
    "Jingle beside a URL": ([sfs(URL, more=JINGLEPUB)], [(URL, NAMED)]),
    "Jingle alone": ([sfs(more=JINGLEPUB)], []),
    "Jingle in SIMS": ([sims("xmpp:a@b/c?jingle;id=1")], []),
    "Jingle beside a URL in SIMS": ([sims("XMPP:a@b/c?jingle;id=1", URL)], [(URL, NAMED)]),
    "encrypted": ([sfs(more=ENCRYPTED), FALLBACK], []),
    "encrypted, and plain": ([sfs(more=ENCRYPTED), x(URL)], [(URL, None)]),
    "no sources": ([f"<file-sharing xmlns='urn:xmpp:sfs:0'>{file(NAME)}</file-sharing>"], []),
    "no <file/>": ([sfs(URL, described="")], [(URL, None)]),
    "an empty <file/>": ([sfs(URL, described=file())], [(URL, FileInfo())]),
    "SFS with Jingle's <file/>": ([sfs(URL, described=file(NAME, JINGLE))], [(URL, NAMED)]),
    "SIMS with an older one": (
        [sims(URL, described=file(NAME, JINGLE[:-1] + "4"))],
        [(URL, NAMED)],
    ),
    "a reference to something else": (
        [f"<reference xmlns='urn:xmpp:reference:0' type='data' uri='{URL}'/>"],
        [],
    ),
    "other namespaces": (
        [
            sfs(URL).replace("urn:xmpp:sfs:0", "urn:x"),
            sims(URL).replace("urn:xmpp:sims:1", "urn:x"),
            sfs(URL).replace("/url-data'", "/url'"),
            x(URL).replace("jabber:x:oob", "urn:x"),
            attached(URL).replace("urn:xmpp:sfs:0", "urn:x"),
            f"<file-sharing xmlns='urn:x'><sources xmlns='urn:xmpp:sfs:0'>{url_data(URL)}"
            "</sources></file-sharing>",
            f"<sources xmlns='urn:x'>{url_data(URL)}</sources>",
        ],
        [],
    ),
    "other names": (
        [
            sfs(URL).replace("file-sharing", "other"),
            sims(URL).replace("reference", "other"),
            sims(URL).replace("media-sharing", "other"),
            f"<other xmlns='urn:xmpp:reference:0'>{sims(URL).partition('>')[2]}".replace(
                "</media-sharing></reference>", "</media-sharing></other>"
            ),
            attached(URL).replace("sources", "other"),
        ],
        [],
    ),
    "a <file/> of another namespace": (
        [sfs(URL, described=file(NAME, "urn:x") + file(SIZE))],
        [(URL, FileInfo(size=3))],
    ),
    "deeper": ([f"<forwarded xmlns='urn:x'>{sfs(URL)}{sims(URL)}{attached(URL)}</forwarded>"], []),
}
every_case = pytest.mark.parametrize(("children", "files"), CASES.values(), ids=CASES)


@every_case
@pytest.mark.parametrize("name", ["message", "presence"])
def test_each_file_is_seen_once(name, children, files):
    found = seen(*children, name=name)
    assert [(message.url, message.info) for message in found] == files


@every_case
def test_the_order_of_the_children_decides_nothing(children, files):
    found = [(message.url, message.info) for message in seen(*children, order=-1)]
    if len(files) == 1:
        # Of several URLs of one file, the first is as good as the second.
        assert [info for _, info in found] == [info for _, info in files]
    else:
        assert sorted(found, key=repr) == sorted(files, key=repr)


@pytest.mark.parametrize("make", WIRES.values(), ids=WIRES)
def test_each_file_is_seen_once_on_every_stream(make):
    (message,) = seen(x(URL), sfs(URL), FALLBACK, sims(URL), wire=make)
    assert (message.url, message.info) == (URL, NAMED)


def test_a_message_of_type_error_has_no_files():
    messages = []
    _handler, wire = connected(None, messages.append)
    wire.receive(stanza("message", sfs(URL) + sims(URL) + x(URL), from_=PEER, type="error"))
    assert messages == []


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("body", ["<body>look</body>", ""])
def test_the_body_is_that_of_the_message(body, order):
    fallback = FALLBACK.replace("<body/>", "<body>no</body>")
    (message,) = seen(body, sfs(URL), fallback, order=order)
    assert message.body == ("look" if body else None)


DESC = "<desc>A cat</desc>"


@pytest.mark.parametrize(
    ("children", "desc"),
    [
        ([x(URL, DESC)], "A cat"),
        ([sfs(URL, described=file(DESC))], "A cat"),
        ([sims(URL, described=file(DESC, JINGLE))], "A cat"),
        ([sfs(URL, described=file("<desc/>")), sims(URL, described=file(DESC, JINGLE))], "A cat"),
        ([x(URL), sfs(URL, described=file(DESC))], "A cat"),
        ([x(URL, "<desc>Mine</desc>"), sfs(URL, described=file(DESC))], "Mine"),
        ([sfs(URL, described=file(DESC + "<desc>Eine Katze</desc>"))], "A cat"),
        ([sfs(URL)], None),
    ],
)
def test_the_description(children, desc):
    (message,) = seen(*children)
    assert message.desc == desc
    assert message.data == OOBData(URL, desc)


def test_the_sid_of_x_oob_stays():
    (message,) = seen(x(URL).replace("<x ", "<x sid='s' "), sfs(URL, described=file(DESC)))
    assert message.data == OOBData(URL, "A cat", "s")


@pytest.mark.parametrize("url", UNUSABLE_URLS[:9], ids=lambda url: ascii(url[:30]))
def test_unusable_source_is_logged_at_debug(url, log):
    url = url.replace("\n", "&#10;")
    assert [message.url for message in seen(sfs(url, URL))] == [URL]
    assert [event["log_level"] for event in log] == [LogLevel.debug]


def test_repr_of_a_message_shows_nothing_that_a_stranger_says_of_a_file():
    (message,) = seen(sfs(URL))
    assert "FileInfo" not in repr(message)


def test_many_mentions_take_no_more_than_linear_time():
    """Each URL joins at most one file, so that nothing is searched."""
    stanza_ = Element(("jabber:client", "message"))
    for number in range(3000):
        sharing = stanza_.addElement(("urn:xmpp:sfs:0", "file-sharing"))
        sources = sharing.addElement("sources")
        for other in (number, number + 1):
            url = sources.addElement(("http://jabber.org/protocol/url-data", "url-data"))
            url["target"] = f"{URL}?{other}"
    assert len(files_in(stanza_, pytest.fail)) == 1


def test_what_no_parser_would_give_is_replaced():
    name = element_of("name", NS_FILE, {}, ["a"])
    described = element_of("file", NS_FILE, {}, [name, element_of("desc", NS_FILE, {}, ["\0!"])])
    target = element_of("url-data", NS_URL_DATA, {"target": URL}, [])
    sharing = element_of(
        "file-sharing", NS_SFS, {}, [described, element_of("sources", NS_SFS, {}, [target])]
    )
    [file] = files_in(element_of("message", "jabber:client", {}, [sharing]), pytest.fail)
    assert file.data == OOBData(URL, "\ufffd!")


@settings(deadline=None, max_examples=100)
@given(st.lists(ELEMENTS, min_size=1, max_size=6))
def test_reading_raises_on_nothing_and_gives_each_url_once(children):
    found = files_in(element_of("message", "jabber:client", {}, children), lambda _error: None)
    assert all(isinstance(file, MentionedFile) and file.data.url for file in found)
    urls = [file.data.url for file in found]
    assert len(set(urls)) == len(urls)
