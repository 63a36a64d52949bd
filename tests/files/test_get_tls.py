"""How TLS ends a body without a length, over real sockets: only by close_notify is it whole."""

from __future__ import annotations

import pytest
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.ssl import Certificate, optionsForClientTLS

from tests.support.certificates import server_options
from tests.support.fetching import end, step
from tests.support.hostile_http import HostileServer
from twisted_oob.files.get import Get

UNKNOWN = "the server does not say where the file ends"
HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
# A record that no key of the connection has made. Who gets it sends a fatal alert.
FORGED = b"\x17\x03\x03\x00\x30" + b"x" * 48


class Sink:
    """In the place of a Body."""

    def __init__(self):
        self.got = b""
        self.end = Deferred()

    def received(self, data):
        self.got += data

    def finish(self, error):
        self.end.callback(error)


def close_notify(connection):
    connection.close()


def close_below_tls(connection):
    connection.transport.transport.loseConnection()


def fatal_alert(connection):
    # After what was written: TLS gathers that until the reactor's next turn.
    connection.factory.reactor.callLater(0, connection.transport.dataReceived, FORGED)


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
@pytest.mark.parametrize(
    ("close", "text"),
    [(close_notify, None), (close_below_tls, UNKNOWN), (fatal_alert, UNKNOWN)],
)
@pytest.mark.parametrize("size", [5, 500_000])
@step
async def test_a_body_without_a_length(*, net, authority, version, close, text, size):
    def reply(connection):
        connection.write(HEAD + b"x" * size)
        close(connection)

    tls = server_options(authority.issue("files.test"))
    tls.getContext().set_max_proto_version(version)
    web = HostileServer(net, tls=tls)
    web.answers = [reply]
    get, sink = Get(b"GET / HTTP/1.1\r\n\r\n"), Sink()
    options = optionsForClientTLS("files.test", Certificate.loadPEM(authority.file.read_bytes()))
    endpoint = TCP4ClientEndpoint(net, "127.0.0.1", web.port)
    await connectProtocol(wrapClientTLS(options, endpoint), get)
    below = get.transport.transport
    # As our connections do: the reason is then the same for every end of TLS.
    below.loseConnection = below.abortConnection
    await get.head
    get.deliver(sink)
    error = await sink.end
    assert (error and error.text) == text
    assert sink.got == b"x" * size
    await end(web)
