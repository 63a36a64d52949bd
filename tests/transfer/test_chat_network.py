"""A chat over a real router, with real files: what landed, and what was said."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from tests.support.hostile_http import answer
from tests.support.network import DOMAIN, SENDER
from tests.support.waiting import in_time


class Person:
    """Writes to the responder, and hears what it says."""

    def __init__(self, sender):
        self.oob = sender.oob
        self._said = Deferred()
        sender.component.xmlstream.addObserver("/message/body", self._hear)

    def _hear(self, message):
        said, self._said = self._said, Deferred()
        said.callback(str(message.body))

    async def send(self, url, **options):
        said = self._said
        await self.oob.send_message(DOMAIN, url, **options)
        return await in_time(said)


@pytest_twisted.ensureDeferred
async def test_a_file_lands_before_it_is_told(network):
    person = Person(await network.start())
    network.web.answers.append(answer(b"all of it"))
    assert await person.send(network.web.url("/report.pdf")) == "stored report.pdf (9 bytes)"
    assert network.files() == {"report.pdf": b"all of it"}


@pytest_twisted.ensureDeferred
async def test_a_second_file_of_the_same_name_is_told_by_the_name_it_got(network):
    person = Person(await network.start())
    network.web.answers += [answer(b"1"), answer(b"22")]
    await person.send(network.web.url("/a.txt"))
    assert await person.send(network.web.url("/a.txt?2")) == "stored a (2).txt (2 bytes)"


@pytest_twisted.ensureDeferred
async def test_why_a_file_could_not_be_fetched_is_told(network):
    person = Person(await network.start(max_size=5))
    network.web.answers += [answer(status="404 Not Found"), answer(b"too long")]
    url = network.web.url("/report.pdf?token=secret")
    assert await person.send(url) == "could not fetch report.pdf: HTTP status 404"
    said = await person.send(url, body=f"please keep {url}")
    assert said == "could not fetch report.pdf: the file is larger than 5 bytes"
    assert network.files() == {}


@pytest.mark.parametrize("url", ["ftp://files.example/a.png", "xmpp:a.png", "aesgcm://h/a.png#00"])
@pytest_twisted.ensureDeferred
async def test_a_scheme_that_nobody_here_fetches_is_told(network, url):
    person = Person(await network.start())
    said = await person.send(url, body="here")
    assert said == "could not fetch a.png: only http and https are allowed"


@pytest_twisted.ensureDeferred
async def test_help_tells_the_largest_file_that_the_policy_allows(network):
    person = Person(await network.start(max_size=2_000_000))
    said = person._said
    hello = f"<message to='{DOMAIN}' from='{SENDER}' id='1'><body>hello</body></message>"
    person.oob.bound_stream.xmlstream.send(hello)
    assert "of at most 2.0 MB" in await in_time(said)
