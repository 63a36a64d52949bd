"""What is sent while bytes are taken in goes out with them, not at the reactor's next turn."""

from __future__ import annotations

import socket
import struct

import pytest
import pytest_twisted
from twisted.internet import main
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactor
from twisted.internet.threads import deferToThread
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.words.protocols.jabber.xmlstream import NS_STREAMS
from zope.interface import alsoProvides

from tests.support.direct_runs import both_sockets
from tests.support.streams import (
    PEER,
    URL,
    ClientWire,
    ComponentWire,
    Direct,
    connected,
    outcome,
    query,
)
from twisted_oob import NotFound, OOBHandler

pytestmark = pytest.mark.usefixtures("log")


class Descriptor(FileDescriptor):
    """Twisted's transport; what it is given to send is kept, as far as there is room.

    ``turn`` is what a reactor does once there is room.
    """

    def __init__(self, room=1 << 20):
        super().__init__(MemoryReactor())
        self.connected = 1
        self.startReading()
        self.room = room
        self.out = b""

    def writeSomeData(self, data):
        if self.room is None:
            return main.CONNECTION_LOST
        taken = bytes(data[: self.room])
        self.out += taken
        self.room -= len(taken)
        return len(taken)

    def turn(self):
        assert self in self.reactor.getWriters()
        return self.doWrite()


class Opened:
    """A wire that is open already."""

    def __init__(self, end):
        self.manager = end.manager

    def open(self):
        pass


def bare(descriptor):
    return descriptor


def encrypted(descriptor):
    alsoProvides(descriptor, ISSLTransport)
    return descriptor


def wrapped(descriptor):
    wrapper = ProtocolWrapper(WrappingFactory(Factory()), Protocol())
    wrapper.makeConnection(descriptor)
    return wrapper


def on_descriptor(
    on_offer=lambda _: succeed(None), *, wire=ComponentWire, handler=Direct, put=bare, **room
):
    """Give a handler and its stream, and the Descriptor that the stream is on."""
    end = wire()
    end.open()
    descriptor = Descriptor(**room)
    end.xmlstream.transport = put(descriptor)
    made, _opened = connected(on_offer, wire=lambda: Opened(end), handler=handler)
    return made, end, descriptor


@both_sockets
def test_answer_and_request_go_out_with_the_bytes_that_caused_them(wire):
    made, end, descriptor = on_descriptor(wire=wire)
    end.offer()
    assert descriptor.out.count(b"type='result'") == 1
    requests = []
    made.on_offer = lambda offer: requests.append(made.send_url(PEER, offer.url))
    end.offer("o2")
    assert descriptor.out.count(b"type='set'") == 1
    assert descriptor.reactor.getWriters() == []


def test_error_goes_out_with_the_bytes_that_caused_it():
    def on_offer(_offer):
        raise NotFound

    _made, end, descriptor = on_descriptor(on_offer)
    end.offer()
    assert b"item-not-found" in descriptor.out


def test_answers_to_one_read_go_out_in_one_write():
    _made, end, descriptor = on_descriptor()
    writes = []
    write = descriptor.writeSomeData
    descriptor.writeSomeData = lambda data: writes.append(bytes(data)) or write(data)
    stanza = f"<iq type='set' id='o1' from='{PEER}' to='{end.me}'>{query()}</iq>"
    end.receive(stanza * 20)
    assert len(writes) == 1
    assert writes[0].count(b"<iq ") == 20


def test_what_was_written_before_goes_out_before():
    _made, end, descriptor = on_descriptor()
    end.xmlstream.send("<presence/>")
    end.offer()
    assert descriptor.out.startswith(b"<presence/><iq ")


def test_nothing_is_written_where_nothing_was_sent():
    made, end, descriptor = on_descriptor(lambda _: None)
    made.send_url(PEER, URL)
    assert descriptor.out == b""  # no bytes were taken in: the reactor's turn comes soon enough
    end.receive("<presence/>")
    end.offer()
    assert descriptor.out == b""
    descriptor.turn()
    assert descriptor.out.count(b"<iq ") == 1


def test_what_finds_no_room_is_left_to_the_reactor():
    _made, end, descriptor = on_descriptor(room=10)
    end.offer()
    assert len(descriptor.out) == 10
    descriptor.room = 1 << 20
    end.offer("o2")
    assert descriptor.out.count(b"type='result'") == 2
    assert descriptor.out.startswith(b"<iq type='result' id='o1'")
    assert descriptor.reactor.getWriters() == []


def test_failure_to_send_is_left_to_the_reactor():
    _made, end, descriptor = on_descriptor(room=None)
    end.offer()
    assert descriptor.reactor.getReaders() == []
    assert descriptor.turn() is main.CONNECTION_LOST


class Lasting(Direct):
    """Tells when its stream is there, and why it is gone."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.ready, self.lost = Deferred(), Deferred()

    def connectionInitialized(self):
        super().connectionInitialized()
        self.ready.callback(None)

    def connectionLost(self, reason):
        super().connectionLost(reason)
        self.lost.callback(reason.value)


@pytest_twisted.ensureDeferred
async def test_reset_in_the_midst_of_an_offer_is_no_orderly_end():
    from twisted.internet import reactor

    made = Lasting(reactor=Clock())
    end = ComponentWire()
    made.setHandlerParent(end.manager)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        factory = end.manager.factory
        reactor.connectTCP(*listener.getsockname(), factory)
        peer, _address = await deferToThread(listener.accept)
        factory.stopTrying()
        begin = f"<stream:stream xmlns='{end.namespace}' xmlns:stream='{NS_STREAMS}' id='1'>"
        peer.sendall(f"{begin}<handshake/>".encode())
        await made.ready

        def on_offer(offer):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            offer.reply_success()

        made.on_offer = on_offer
        request = made.send_url(PEER, URL)
        peer.sendall(f"<iq type='set' id='o1' from='{PEER}'>{query()}</iq>".encode())
        reason = await made.lost
    assert isinstance(reason, ConnectionLost)
    assert isinstance(outcome(request), ConnectionLost)


def test_stream_that_is_closed_after_its_answer_is_closed():
    made, end, descriptor = on_descriptor()

    def on_offer(offer):
        offer.reply_success()
        end.xmlstream.sendFooter()
        end.xmlstream.transport.loseConnection()

    made.on_offer = on_offer
    end.offer()
    assert descriptor.out == b""
    assert descriptor.turn() is main.CONNECTION_DONE
    assert descriptor.out.endswith(b"/></stream:stream>")


def test_transport_that_is_gone_is_not_written_to():
    made, end, descriptor = on_descriptor()

    def on_offer(offer):
        offer.reply_success()
        descriptor.connectionLost(main.CONNECTION_LOST)

    made.on_offer = on_offer
    end.offer()
    assert descriptor.out == b""


def test_handler_that_leaves_while_bytes_are_taken_in():
    made, end, descriptor = on_descriptor()

    def on_offer(offer):
        offer.reply_success()
        made.disownHandlerParent(end.manager)

    made.on_offer = on_offer
    end.offer()
    assert descriptor.out.count(b"type='result'") == 1
    assert "dataReceived" not in end.xmlstream.__dict__


@pytest.mark.parametrize("leave", ["disown", "lose"])
def test_stream_is_left_as_it_was_found(leave):
    made, end, _descriptor = on_descriptor()
    assert "dataReceived" in end.xmlstream.__dict__
    request = made.send_url(PEER, URL)
    if leave == "disown":
        made.disownHandlerParent(end.manager)
    else:
        end.lose()
    assert isinstance(outcome(request), Exception)
    assert "dataReceived" not in end.xmlstream.__dict__


def test_others_that_take_the_bytes_are_left_alone():
    made, end, descriptor = on_descriptor()
    taken = []
    ours = end.xmlstream.dataReceived
    end.xmlstream.dataReceived = theirs = lambda data: taken.append(data) or ours(data)
    end.offer()
    assert len(taken) == descriptor.out.count(b"type='result'") == 1
    made.disownHandlerParent(end.manager)
    assert end.xmlstream.dataReceived is theirs
    made.setHandlerParent(end.manager)
    assert end.xmlstream.dataReceived is theirs
    end.offer()
    descriptor.turn()
    assert len(taken) == descriptor.out.count(b"type='result'") == 2


def test_sharing_handler_leaves_the_bytes_alone():
    _made, end, descriptor = on_descriptor(handler=OOBHandler)
    end.offer()
    assert descriptor.out == b""
    assert "dataReceived" not in end.xmlstream.__dict__


@pytest.mark.parametrize("put", [encrypted, wrapped])
def test_tls_and_wrapped_transports_are_left_to_twisted(put):
    _made, end, descriptor = on_descriptor(wire=ClientWire, put=put)
    end.offer()
    assert "dataReceived" not in end.xmlstream.__dict__
    assert descriptor.out == b""
    descriptor.turn()
    assert descriptor.out.count(b"type='result'") == 1
