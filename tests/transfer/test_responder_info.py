"""An OOBResponder answers success for the very file that was offered, and for no other."""

from __future__ import annotations

import hashlib

import pytest
import pytest_twisted

from tests.support.hostile_http import answer, chunked
from tests.support.network import DOMAIN
from tests.support.scripted import Served
from tests.support.streams import URL
from twisted_oob import FileInfo

FILE = b"the file"
SHA256 = hashlib.sha256(FILE).hexdigest()


@pytest.mark.parametrize(
    "info",
    [FileInfo("b.txt", len(FILE), "text/plain", SHA256), FileInfo(size=8), FileInfo(sha256=SHA256)],
)
@pytest_twisted.ensureDeferred
async def test_the_file_that_was_offered_is_success(network, info):
    sender = await network.start()
    network.web.answers.append(answer(FILE))
    assert await sender.oob.send_url(DOMAIN, network.web.url("/a.txt"), info=info) is None
    assert network.files() == {info.name or "a.txt": FILE}


@pytest.mark.parametrize(
    ("info", "reply"),
    [
        (FileInfo(size=9), answer(FILE)),
        (FileInfo(size=7), answer(FILE)),
        (FileInfo(size=9), chunked(FILE)),
        (FileInfo(size=7), chunked(FILE)),
        (FileInfo(size=8, sha256="ab" * 32), answer(FILE)),
        (FileInfo(sha256="ab" * 32), chunked(FILE)),
    ],
)
@pytest_twisted.ensureDeferred
async def test_another_file_is_not_found_and_nothing_stays(network, log, info, reply):
    sender = await network.start()
    network.web.answers.append(reply)
    refused = await sender.oob.send_url(DOMAIN, network.web.url(), info=info)
    assert (refused, refused.error.condition) == ("not-found", "item-not-found")
    assert refused.error.text == "not the file that was offered"
    assert network.files() == {}
    [ended] = [event for event in log.ours() if "ended" in (event["log_format"] or "")]
    assert ended["reason"].startswith(
        ("the size is", "the declared size is", "the SHA-256 hash is")
    )


@pytest_twisted.ensureDeferred
async def test_a_file_that_is_offered_as_too_large_is_refused_before_it_is_asked_for(network):
    sender = await network.start(max_size=7)
    refused = await sender.oob.send_url(DOMAIN, network.web.url(), info=FileInfo(size=8))
    assert refused.error.condition == "not-acceptable"
    assert network.web.connections == []


@pytest.mark.parametrize("direct", [False, True])
def test_a_fetcher_of_ones_own_gets_what_was_said_of_the_file(direct):
    served = Served(direct=direct)
    file = "<file xmlns='urn:xmpp:file:metadata:0'><name>a.png</name><size>8</size></file>"
    served.offer(payload=f"<query xmlns='jabber:iq:oob'><url>{URL}</url>{file}</query>")
    served.offer()
    assert served.fetcher.infos == [FileInfo("a.png", 8), None]
