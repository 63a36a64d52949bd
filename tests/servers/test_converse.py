"""What converse.js, in a real browser, makes of the messages that hand over a picture."""

from __future__ import annotations

import base64
from itertools import count

import pytest
import pytest_twisted
from pytest_twisted import blockon
from twisted.internet.defer import ensureDeferred
from twisted.web.pages import notFound
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from tests.servers.converse import Converse
from tests.servers.limited import client
from tests.servers.people import ALICE, BOB, Person
from tests.support.processes import IN_CI

# The one that has a websocket.
pytestmark = pytest.mark.parametrize("server", ["prosody"], indirect=True)

WIDTH = 3
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAMAAAABCAAAAAA+i0toAAAADElEQVR4nGNgaPgPAAIDAYAkYfWXAAAAAElFTkSuQmCC"
)
ONE_PICTURE = {"text": "", "pictures": [WIDTH], "mentions": 0}
ASPECTS = tuple(ONE_PICTURE)
OOB = "<x xmlns='jabber:x:oob'><url>{url}</url></x>"
REFERENCES = """
    <reference xmlns='urn:xmpp:reference:0' type='data' {span} uri='{url}'>
      <media-sharing xmlns='urn:xmpp:sims:1'>
        <sources><reference xmlns='urn:xmpp:reference:0' type='data' {span} uri='{url}'/></sources>
      </media-sharing>
    </reference>
"""
MESSAGES = [("share", "fetched"), pytest.param("upload", "sent", marks=IN_CI)]
_ids = (f"message-{number}" for number in count())


@pytest.fixture(scope="module")
def browser(server, tmp_path_factory):
    from twisted.internet import reactor

    # An async fixture of this scope that skips breaks the tests after the first.
    made = Converse(reactor, server, tmp_path_factory.mktemp("browser"), "bob", ALICE)
    try:
        blockon(ensureDeferred(made.start()))
        yield made
    finally:
        blockon(ensureDeferred(made.stop()))


@pytest_twisted.async_yield_fixture
async def alice(server):
    from twisted.internet import reactor

    made = await client(reactor, server, "alice", "desk")
    yield made
    await made.stop()


@pytest_twisted.async_yield_fixture
async def person(server, tmp_path):
    """alice, who has the picture in a file."""
    from twisted.internet import reactor

    made = Person(reactor, server, tmp_path, "alice")
    (made.folder / "picture.png").write_bytes(PICTURE)
    yield made
    await made.stop()


@pytest_twisted.async_yield_fixture
async def url():
    """The URL of the picture."""
    from twisted.internet import reactor

    root = Resource()
    root.putChild(b"picture.png", Data(PICTURE, "image/png"))
    root.putChild(b"missing.png", notFound())
    port = reactor.listenTCP(0, Site(root), interface="127.0.0.1")
    yield f"http://127.0.0.1:{port.getHost().port}/picture.png"
    await port.stopListening()


def write(alice, body, extensions=""):
    """Send bob a message as text; gives its id."""
    name = next(_ids)
    body = f"<body>{body}</body>"
    alice.write(f"<message to='{BOB}' type='chat' id='{name}'>{body}{extensions}</message>")
    return name


async def shown_to_bob(browser, alice):
    """Wait until all that was sent is shown; give what is shown of each message, by its id."""
    last = write(alice, "the end")
    messages = await browser.shown(last)
    return {message["id"]: {name: message[name] for name in ASPECTS} for message in messages}


@pytest_twisted.ensureDeferred
async def test_the_page_tells_one_picture_from_what_is_less_or_more(browser, alice, url):
    length = len(url)
    spans = [f"begin='{length}' end='{length}'", "", f"begin='0' end='{length}'"]
    messages = [
        (url, OOB),
        *((url, OOB + REFERENCES.replace("{span}", span)) for span in spans),
        ("a picture", OOB),
        (url.replace("picture", "missing"), ""),
    ]
    ids = [write(alice, body, extensions.format(url=url)) for body, extensions in messages]

    shown = await shown_to_bob(browser, alice)

    assert [shown[name] for name in ids] == [
        ONE_PICTURE,
        ONE_PICTURE,
        {"text": url, "pictures": [WIDTH], "mentions": 2},
        {"text": url * 2, "pictures": [], "mentions": 2},
        {"text": "a picture", "pictures": [WIDTH], "mentions": 0},
        {"text": url.replace("picture", "missing"), "pictures": [], "mentions": 0},
    ]


@pytest.mark.parametrize(("via", "outcome"), MESSAGES)
@pytest_twisted.ensureDeferred
async def test_what_oob_sends_is_one_picture_and_its_caption(browser, alice, person, via, outcome):
    before = await shown_to_bob(browser, alice)

    status, [end] = await person.send("--via", via, "--desc", "the sea", "picture.png", BOB)

    assert (status, end["how"], end["outcome"]) == (0, "message", outcome)
    shown = await shown_to_bob(browser, alice)
    *new, _last = (message for name, message in shown.items() if name not in before)
    caption = {"text": "the sea", "pictures": [], "mentions": 0}
    assert sorted(new, key=lambda message: message["text"]) == [ONE_PICTURE, caption]
