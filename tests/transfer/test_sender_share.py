"""FileSender with a share, over real sockets: to a responder on a router, and to a reader."""

from __future__ import annotations

import hashlib
import os

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import Clock
from twisted.logger import LogLevel
from twisted.web.client import Agent, readBody

from tests.support.network import DOMAIN, SENDER, Sender
from tests.support.waiting import in_time
from twisted_oob import FileSender, FileShare, OOBHandler
from twisted_oob.xmpp.disco import DiscoveryHandler

# Of twisted.web, as its HTTP/1.1 client hands over a transport that it wraps.
pytestmark = pytest.mark.filterwarnings("ignore:Using readBody:DeprecationWarning")

DATA = os.urandom(300_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
READER = "reader.localhost"


class Setting:
    """A responder, a FileSender with a share, and what they leave."""

    def __init__(self, network, path, share):
        self.network = network
        self.path = path
        self.share = share
        self.agent = Agent(network.reactor)
        self.told = []

    async def start(self, *, handler=None, **policy):
        sender = await self.network.start(**policy)
        if handler is not None:
            handler.setHandlerParent(sender.component)
        self.sender = FileSender(handler or sender.oob, share=self.share, bounce_timeout=0.1)
        return self

    def send(self, recipient=DOMAIN, **options):
        return in_time(self.sender.send(recipient, self.path, **options))

    async def reader(self, *, takes="on_message"):
        """Connect somebody who never answers; gives a Deferred of what comes first."""
        came = Deferred()
        reader = Sender(self.network.port, READER)
        taking = OOBHandler(**{takes: lambda one: came.callback(one) and None})
        taking.setHandlerParent(reader.component)
        DiscoveryHandler("client", "pc", "A reader").setHandlerParent(reader.component)
        self.network.senders.append(reader)
        await reader.start()
        return in_time(came)

    async def get(self, url):
        response = await in_time(self.agent.request(b"GET", url.encode()))
        return response.code, await in_time(readBody(response))

    async def is_gone(self, url):
        status, _body = await self.get(url)
        return status == 404

    def on_progress(self, *told):
        self.told.append(told)


@pytest_twisted.async_yield_fixture
async def setting(network, tmp_path):
    path = tmp_path / "ein \u201eBild\u201c \U0001f431.bin"
    path.write_bytes(DATA)
    endpoint = TCP4ServerEndpoint(network.reactor, 0, interface="127.0.0.1")
    share = FileShare(endpoint, reactor=network.reactor)
    share.startService()
    yield Setting(network, path, share)
    await in_time(share.stopService())


@pytest_twisted.ensureDeferred
async def test_a_responder_that_has_the_file_has_received_it(setting):
    await setting.start()
    delivery = await setting.send(on_progress=setting.on_progress)
    assert (delivery.outcome, delivery.via, delivery.how) == ("received", "share", "iq")
    assert (delivery.size, delivery.sha256) == (len(DATA), SHA256)
    assert delivery.url.startswith("http://127.0.0.1:")
    assert list(setting.network.files().values()) == [DATA]
    assert await setting.is_gone(delivery.url)
    phases = list(dict.fromkeys(phase for phase, _done, _total in setting.told))
    assert phases == ["hash", "read"]
    assert setting.told[-1] == ("read", len(DATA), len(DATA))
    assert {total for _phase, _done, total in setting.told} == {len(DATA)}


@pytest_twisted.ensureDeferred
async def test_files_side_by_side_arrive_each_for_itself(setting, tmp_path):
    await setting.start()
    paths = [tmp_path / f"{number}.bin" for number in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(DATA[: number * 1000])
    sent = [in_time(setting.sender.send(DOMAIN, path)) for path in paths]
    assert {(await one).outcome for one in sent} == {"received"}
    assert setting.network.files() == {path.name: path.read_bytes() for path in paths}


@pytest_twisted.ensureDeferred
async def test_a_file_that_gets_shorter_is_not_found(setting):
    await setting.start()

    def cut(phase, done, total):
        if (phase, done) == ("hash", total):
            os.truncate(setting.path, 1000)

    delivery = await setting.send(on_progress=cut)
    assert (delivery.outcome, delivery.condition) == ("not-found", "item-not-found")
    assert setting.network.files() == {}
    assert await setting.is_gone(delivery.url)


@pytest_twisted.ensureDeferred
async def test_a_file_that_changed_is_not_the_one_that_was_offered(setting):
    await setting.start()

    def change(phase, done, total):
        if (phase, done) == ("hash", total):
            setting.path.write_bytes(b"x" * total)

    delivery = await setting.send(on_progress=change)
    assert (delivery.outcome, delivery.text) == ("not-found", "not the file that was offered")
    assert setting.network.files() == {}


@pytest_twisted.ensureDeferred
async def test_a_file_that_the_responder_does_not_want_is_rejected(setting):
    await setting.start(max_size=1000)
    delivery = await setting.send()
    assert (delivery.outcome, delivery.condition) == ("reject", "not-acceptable")
    assert await setting.is_gone(delivery.url)


@pytest_twisted.ensureDeferred
async def test_a_responder_that_stops_tells_to_wait(setting):
    await setting.start()
    stopped = setting.network.responder.stopService()
    delivery = await setting.send(as_="iq")
    await stopped
    assert (delivery.outcome, delivery.condition) == ("wait", "resource-constraint")
    setting.network.responder.startService()


@pytest.mark.parametrize("as_", ["auto", "iq", "message"])
@pytest_twisted.ensureDeferred
async def test_a_domain_that_nobody_has_is_unavailable(setting, as_):
    await setting.start()
    delivery = await setting.send("nobody.localhost", as_=as_)
    assert (delivery.outcome, delivery.condition) == ("unavailable", "remote-server-not-found")
    assert await setting.is_gone(delivery.url)


@pytest_twisted.ensureDeferred
async def test_a_message_is_fetched_once_the_whole_file_was_read(setting):
    clock = Clock()
    await setting.start(handler=OOBHandler(timeout=None, reactor=clock))
    came = await setting.reader()
    sent = setting.send(READER, desc="a cat")
    message = await came
    assert message.info.sha256 == SHA256
    # That no error comes back says nothing of the file.
    clock.advance(1_000_000)
    assert not sent.called
    assert await setting.get(message.url) == (200, DATA)
    delivery = await sent
    assert (delivery.outcome, delivery.how, delivery.url) == ("fetched", "message", message.url)
    assert await setting.is_gone(message.url)


@pytest_twisted.ensureDeferred
async def test_no_error_is_waited_for_once_the_file_was_read(setting):
    clock = Clock()
    await setting.start(handler=OOBHandler(reactor=clock))
    came = await setting.reader()
    sent = setting.send(READER)
    await setting.get((await came).url)
    assert (await sent).outcome == "fetched"
    assert not clock.getDelayedCalls()


@pytest.mark.parametrize(("how", "takes"), [("iq", "on_offer"), ("message", "on_message")])
@pytest_twisted.ensureDeferred
async def test_a_share_that_nobody_reads_in_time_is_closed(setting, how, takes):
    clock = Clock()
    await setting.start(handler=OOBHandler(reactor=clock))
    came = await setting.reader(takes=takes)
    sent = setting.send(READER, timeout=60)
    url = (await came).url
    clock.advance(59.9)
    assert not sent.called
    clock.advance(0.1)
    delivery = await sent
    assert (delivery.outcome, delivery.how, delivery.url) == ("timeout", how, url)
    assert await setting.is_gone(url)
    assert not clock.getDelayedCalls()


@pytest_twisted.ensureDeferred
async def test_cancelling_closes_the_share(setting):
    await setting.start()
    came = await setting.reader()
    sent = setting.send(READER)
    url = (await came).url
    sent.cancel()
    with pytest.raises(CancelledError):
        await sent
    assert await setting.is_gone(url)


@pytest.mark.parametrize(
    ("recipient", "warned"), [("nobody.localhost", False), ("nobody.example", True)]
)
@pytest_twisted.ensureDeferred
async def test_an_address_that_others_can_not_reach_is_told(setting, log, recipient, warned):
    await setting.start()
    await setting.send(recipient)
    warnings = [
        event
        for event in log.ours()
        if event["log_level"] == LogLevel.warn and "this machine" in event["log_format"]
    ]
    assert bool(warnings) == warned


@pytest_twisted.ensureDeferred
async def test_no_log_and_no_repr_tells_the_token(setting, log):
    await setting.start()
    delivery = await setting.send()
    token = delivery.url.split("/")[3]
    assert token not in repr(delivery)
    told = [event for event in log.ours() if token in repr(event)]
    # The receiver's own log tells what it fetched.
    assert {event["log_namespace"].split(".")[1] for event in told} <= {"transfer"}
    assert SENDER not in delivery.url
