"""AccountStream: what it takes, and what it does on real TLS connections."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.logger import formatEvent
from twisted.words.protocols.jabber.jid import JID

from tests.support.account_server import DOMAIN, ME, PASSWORD, Server
from tests.support.certificates import server_options
from tests.support.waiting import in_time
from twisted_oob import AccountStream, StreamRefused
from twisted_oob.xmpp import stream_service

SIZE = 20_000_000
PIECE = "<message><body>" + "x" * 50_000 + "</body></message>"


@pytest_twisted.async_yield_fixture(params=[False, True], ids=["STARTTLS", "direct TLS"])
async def server(certificates, request):
    from twisted.internet import reactor

    made = Server(reactor, server_options(certificates.issue(DOMAIN)))
    made.direct = request.param
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def streams(server, certificates):
    """Makes AccountStreams to the server; they are stopped after the test."""
    made = []

    def make(password=PASSWORD, **options):
        options = {"host": "127.0.0.1", "port": server.port, "ca_file": certificates.file} | options
        options["direct_tls"] = server.direct
        made.append(AccountStream(ME, password, **options))
        return made[-1]

    yield make
    for stream in made:
        pytest_twisted.blockon(in_time(stream.stopService()))


# --- arguments


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((b"me@a.example", "p"), TypeError, "jid must be a str, not bytes"),
        ((None, "p"), TypeError, "jid must be a str, not NoneType"),
        (("", "p"), ValueError, "jid must not be empty"),
        (("a.example", "p"), ValueError, "jid 'a.example' is not an account"),
        ((JID("a.example/b"), "p"), ValueError, "is not an account"),
        (("me@@a.example", "p"), ValueError, "jid is not an XMPP address"),
        (("me@a.example", b"hunter2"), TypeError, "password must be a str, not bytes"),
        (("me@a.example", ""), ValueError, "password must not be empty"),
    ],
)
def test_an_argument_that_is_not_good_is_told_at_once(arguments, error, text):
    with pytest.raises(error) as raised:
        AccountStream(*arguments)
    assert text in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("option", "error", "text"),
    [
        ({"host": b"a"}, TypeError, "host must be a str"),
        ({"host": ""}, ValueError, "host must not be empty"),
        ({"port": "5222"}, TypeError, "port must be an int"),
        ({"port": 0}, ValueError, "port must be 1 to 65535"),
        ({"ca_file": 1}, TypeError, "ca_file must be a path"),
        ({"ca_file": "/no/such/file"}, OSError, "/no/such/file"),
    ],
)
def test_an_option_that_is_not_good_is_told_at_once(option, error, text):
    with pytest.raises(error) as raised:
        AccountStream("me@a.example", "p", **option)
    assert text in str(raised.value)


def test_a_domain_that_no_certificate_can_name_is_told_at_once():
    with pytest.raises(ValueError, match="no certificate can name"):
        AccountStream(f"me@{'x' * 70}.example", "p")


@pytest.mark.parametrize(
    "jid",
    [
        "me@a.example",
        "me@a.example/desk",
        JID("me@a.example/desk"),
        "me@ab--c.example",
        "me@bücher.example",
    ],
)
def test_it_takes_a_jid_or_its_text_and_shows_no_secret(jid):
    stream = AccountStream(jid, "hunter2", ca_file=None)
    assert "hunter2" not in repr(stream) + str(stream)
    assert stream.refused is None


# --- real connections


@pytest.mark.parametrize("as_text", [False, True])
@pytest_twisted.ensureDeferred
async def test_ready_fires_with_the_jid_that_was_bound(server, streams, certificates, as_text):
    server.bound = server.bound.replace("desk", "given")
    stream = streams(ca_file=str(certificates.file) if as_text else Path(certificates.file))
    stream.startService()
    assert await in_time(stream.ready) == JID(f"me@{DOMAIN}/given")


@pytest_twisted.ensureDeferred
async def test_another_password_is_for_the_next_login(server, streams):
    stream = streams()
    stream.startService()
    await in_time(stream.ready)
    server.password = "another one"
    stream.change_secret("another one")
    # The stream that is up stays.
    assert stream.xmlstream is not None
    await in_time(stream.stopService())
    stream.startService()
    assert await in_time(stream.ready) == ME
    for wrong, error in ((b"x", TypeError), ("", ValueError)):
        with pytest.raises(error, match=r"^password must"):
            stream.change_secret(wrong)


@pytest_twisted.ensureDeferred
async def test_ready_fails_with_the_reason_that_a_person_reads(streams):
    stream = streams("not the password")
    stream.startService()
    with pytest.raises(StreamRefused, match="password") as raised:
        await in_time(stream.ready)
    assert raised.value is stream.refused
    assert "not the password" not in str(raised.value)


@pytest_twisted.ensureDeferred
async def test_without_the_authority_the_certificate_is_refused(server, streams):
    stream = streams(ca_file=None)
    stream.startService()
    with pytest.raises(StreamRefused, match="certificate"):
        await in_time(stream.ready)
    assert b"<auth" not in server.clear + server.safe


async def blocked(server, stream):
    """Let a server read nothing until our output is blocked; gives its transport."""
    from twisted.internet import reactor

    transport = server.connections[-1].transport
    transport.pauseProducing()
    # What the system takes before it takes no more differs.
    for _ in range(SIZE // len(PIECE)):
        stream.send(PIECE)
        if stream.xmlstream.blocked:
            break
        await deferLater(reactor, 0)
    assert stream.xmlstream.blocked
    return transport


@pytest_twisted.ensureDeferred
async def test_while_the_server_does_not_read_nothing_is_read_and_then_all_of_it(server, streams):
    stream = streams()
    stream.startService()
    await in_time(stream.ready)
    for _ in range(2):
        transport = await blocked(server, stream)
        heard = stream.xmlstream.heard
        arrived = Deferred()

        def note(_message, stream=stream, arrived=arrived):
            arrived.callback(stream.xmlstream.blocked)

        stream.xmlstream.addOnetimeObserver("/message", note)
        server.connections[-1].send("<message/>")
        end = Deferred()
        server.connections[-1].addOnetimeObserver("/presence", end.callback)
        stream.send("<presence/>")
        assert stream.xmlstream.heard == heard
        transport.resumeProducing()
        assert await in_time(arrived) is False
        await in_time(end)


@pytest_twisted.ensureDeferred
async def test_a_stream_whose_output_is_blocked_can_be_stopped(server, streams, monkeypatch):
    monkeypatch.setattr(stream_service, "CLOSE_LIMIT", 0.1)
    stream = streams()
    stream.startService()
    await in_time(stream.ready)
    await blocked(server, stream)
    await in_time(stream.stopService())
    assert stream.xmlstream is None


@pytest.mark.parametrize("end", ["</stream:stream>", "<!-- -->", "</no>"])
@pytest_twisted.ensureDeferred
async def test_a_stream_that_the_server_ends_is_closed_over_tls(server, streams, end):
    stream = streams()
    stream.startService()
    await in_time(stream.ready)
    lost = Deferred()
    server.connections[-1].addObserver("//event/stream/end", lambda _: lost.callback(None))
    server.connections[-1].send(end)
    await in_time(lost)


@pytest_twisted.ensureDeferred
async def test_who_is_thrown_out_by_another_of_its_kind_stays_away(server, streams, log):
    stream = streams()
    stream.startService()
    await in_time(stream.ready)
    refused = Deferred()
    stream.on_refused = refused.callback
    error = "<conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
    server.connections[-1].send(f"<stream:error>{error}</stream:error></stream:stream>")
    assert "another connection took over me@home.example/desk" in str(await in_time(refused))
    assert len(server.connections) == 1


class Redirecting(Protocol):
    """Sends each stream to another port of this machine."""

    def dataReceived(self, data):
        namespace = "urn:ietf:params:xml:ns:xmpp-streams"
        error = (
            f"<see-other-host xmlns='{namespace}'>127.0.0.1:{self.factory.port}</see-other-host>"
        )
        self.transport.write(
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
            f" id='1' version='1.0' from='{DOMAIN}'><stream:error>{error}</stream:error>".encode()
        )


@pytest_twisted.ensureDeferred
async def test_a_stream_that_is_sent_elsewhere_is_up_there(server, streams, log):
    from twisted.internet import reactor

    factory = Factory.forProtocol(Redirecting)
    factory.port = server.port
    listen = reactor.listenTCP
    if server.direct:
        listen = partial(reactor.listenSSL, contextFactory=server.tls)
    port = listen(0, factory, interface="127.0.0.1")
    stream = streams(port=port.getHost().port)
    stream.startService()
    assert await in_time(stream.ready) == ME
    assert len(server.connections) == 1
    assert not any("next attempt" in (formatEvent(event) or "") for event in log)
    await port.stopListening()
