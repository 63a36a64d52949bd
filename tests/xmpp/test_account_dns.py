"""Where the server of a domain is: SRV records, in their order, or what the operator says."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import ConnectionRefusedError as RefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.names import client as dns_client
from twisted.names import common, dns, error
from twisted.names.server import DNSServerFactory
from twisted.python.failure import Failure

from tests.support.account_server import DOMAIN
from tests.support.streams import outcome
from tests.support.waiting import in_time
from twisted_oob.errors import NoService
from twisted_oob.xmpp import account
from twisted_oob.xmpp.account import client_endpoint, in_order
from twisted_oob.xmpp.failures import explain


class Zone(common.ResolverBase):
    """What the DNS server knows: ``records`` of the service and ``others``, or ``failure``."""

    def __init__(self):
        common.ResolverBase.__init__(self)
        self.records = []
        self.others = []
        self.failure = None
        self.asked = []

    def _lookup(self, name, cls, type, timeout):  # noqa: A002
        self.asked.append((name.decode(), type))
        if self.failure is not None:
            raise self.failure
        answers = [dns.RRHeader(name, dns.SRV, payload=record) for record in self.records]
        return self.others + answers, [], []


class Names:
    """A DNS server on loopback, and the resolver that asks it."""

    def __init__(self, reactor):
        self.zone = Zone()
        self._protocol = dns.DNSDatagramProtocol(DNSServerFactory(clients=[self.zone]))
        port = reactor.listenUDP(0, self._protocol, interface="127.0.0.1")
        self.resolver = dns_client.Resolver(servers=[("127.0.0.1", port.getHost().port)])

    def stop(self):
        return self._protocol.transport.stopListening()


@pytest_twisted.async_yield_fixture
async def names():
    from twisted.internet import reactor

    made = Names(reactor)
    yield made
    await made.stop()


class Peers(Factory):
    """A server that only counts who connects."""

    def __init__(self):
        self.accepted = []

    def buildProtocol(self, addr):
        protocol = Protocol()
        self.accepted.append(protocol)
        return protocol


@pytest_twisted.async_yield_fixture
async def peers():
    """Two such servers; gives pairs of a port and the connections it accepted."""
    from twisted.internet import reactor

    found, ports = [], []
    for _ in range(2):
        factory = Peers()
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        ports.append(await endpoint.listen(factory))
        found.append(ports[-1].getHost().port)
    yield found
    for port in ports:
        await port.stopListening()


async def port_reached(endpoint):
    """Connect; gives the port that answered."""
    protocol = await in_time(endpoint.connect(Factory.forProtocol(Protocol)))
    peer = protocol.transport.getPeer()
    protocol.transport.abortConnection()
    return peer.port


@pytest_twisted.ensureDeferred
async def test_servers_are_tried_in_the_order_of_dns(names, peers):
    from twisted.internet import reactor

    endpoint = client_endpoint(reactor, DOMAIN, resolver=names.resolver)
    names.zone.records = [
        dns.Record_SRV(20, 0, peers[1], b"localhost"),
        dns.Record_SRV(10, 0, peers[0], b"localhost"),
    ]
    assert await port_reached(endpoint) == peers[0]
    names.zone.records.append(dns.Record_SRV(5, 0, 1, b"localhost"))
    names.zone.records.append(dns.Record_SRV(6, 0, peers[1], b"no-such-host.invalid"))
    assert await port_reached(endpoint) == peers[0], "the next where one is refused or unknown"
    names.zone.records = [dns.Record_SRV(10, 0, peers[1], b"localhost")]
    assert await port_reached(endpoint) == peers[1], "DNS is asked anew"
    assert set(names.zone.asked) == {(f"_xmpp-client._tcp.{DOMAIN}", dns.SRV)}


@pytest_twisted.ensureDeferred
async def test_where_all_servers_fail_the_last_failure_is_told(names):
    from twisted.internet import reactor

    names.zone.records = [dns.Record_SRV(1, 0, 1, b"localhost")]
    with pytest.raises(RefusedError):
        await client_endpoint(reactor, DOMAIN, resolver=names.resolver).connect(Factory())


@pytest_twisted.ensureDeferred
async def test_a_domain_can_say_that_it_has_no_service(names):
    from twisted.internet import reactor

    names.zone.records = [dns.Record_SRV(0, 0, 0, b".")]
    with pytest.raises(NoService, match=r"home\.example has no XMPP service") as caught:
        await client_endpoint(reactor, DOMAIN, resolver=names.resolver).connect(Factory())
    assert explain(Failure(caught.value)).permanent


@pytest.mark.parametrize("target", [b"b\xffd.example", b"xn--a.example", b"no such.invalid"])
@pytest_twisted.ensureDeferred
async def test_a_target_that_is_no_host_name_is_passed_over(names, peers, target):
    from twisted.internet import reactor

    names.zone.records = [
        dns.Record_SRV(1, 0, peers[1], target),
        dns.Record_SRV(2, 0, peers[0], b"localhost"),
    ]
    endpoint = client_endpoint(reactor, DOMAIN, resolver=names.resolver)
    assert await port_reached(endpoint) == peers[0]


@pytest_twisted.ensureDeferred
async def test_where_no_target_is_a_host_name_that_is_told(names):
    from twisted.internet import reactor

    names.zone.records = [dns.Record_SRV(1, 0, 5222, b"b\xffd.example")]
    with pytest.raises(ValueError, match="invalid hostname"):
        await client_endpoint(reactor, DOMAIN, resolver=names.resolver).connect(Factory())


@pytest_twisted.ensureDeferred
async def test_what_is_no_srv_record_does_not_count(names, peers):
    from twisted.internet import reactor

    names.zone.records = [dns.Record_SRV(1, 0, peers[0], b"localhost")]
    names.zone.others = [dns.RRHeader(b"x.example", dns.CNAME, payload=dns.Record_CNAME(b"y"))]
    endpoint = client_endpoint(reactor, DOMAIN, resolver=names.resolver)
    assert await port_reached(endpoint) == peers[0]


class Recorded:
    """Stands for HostnameEndpoint where the port is a fixed one."""

    def __init__(self, reactor, host, port):
        self.target = (host, port)

    async def connect(self, factory):
        return self.target


@pytest.mark.parametrize("failure", [None, error.DomainError(), error.DNSServerError()])
@pytest_twisted.ensureDeferred
async def test_without_records_the_domain_itself_is_the_server(names, monkeypatch, failure):
    from twisted.internet import reactor

    names.zone.failure = failure
    monkeypatch.setattr(account, "HostnameEndpoint", Recorded)
    endpoint = client_endpoint(reactor, DOMAIN, resolver=names.resolver)
    assert await endpoint.connect(Factory()) == (DOMAIN, 5222)
    assert names.zone.asked


@pytest_twisted.ensureDeferred
async def test_an_international_domain_is_asked_for_in_ascii(names, monkeypatch):
    from twisted.internet import reactor

    monkeypatch.setattr(account, "HostnameEndpoint", Recorded)
    endpoint = client_endpoint(reactor, "bücher.example", resolver=names.resolver)
    assert await endpoint.connect(Factory()) == ("bücher.example", 5222)
    assert names.zone.asked[0][0] == "_xmpp-client._tcp.xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("domain", "given", "target"),
    [
        (DOMAIN, {"host": "xmpp.example"}, ("xmpp.example", 5222)),
        (DOMAIN, {"host": "xmpp.example", "port": 15222}, ("xmpp.example", 15222)),
        (DOMAIN, {"port": 15222}, (DOMAIN, 15222)),
        ("127.0.0.1", {}, ("127.0.0.1", 5222)),
    ],
)
def test_a_given_host_or_address_is_not_looked_up(monkeypatch, domain, given, target):
    monkeypatch.setattr(account, "HostnameEndpoint", Recorded)
    assert client_endpoint(None, domain, resolver=None, **given).target == target


@pytest_twisted.ensureDeferred
async def test_a_given_host_is_connected_to(peers):
    from twisted.internet import reactor

    endpoint = client_endpoint(reactor, DOMAIN, host="localhost", port=peers[0])
    assert await port_reached(endpoint) == peers[0]


def test_an_attempt_can_be_cancelled_during_the_lookup(monkeypatch):
    asked = []

    class Silent:
        def lookupService(self, name, timeout):
            asked.append((name, timeout))
            return Deferred()

    monkeypatch.setattr(account, "HostnameEndpoint", None)
    attempt = client_endpoint(None, DOMAIN, resolver=Silent()).connect(Factory())
    assert asked == [(f"_xmpp-client._tcp.{DOMAIN}", (1, 3, 8))]
    attempt.cancel()
    assert isinstance(outcome(attempt), CancelledError)


def test_among_equal_priorities_weight_decides_by_chance():
    heavy, light, none = (dns.Record_SRV(1, weight, 1, b"x") for weight in (3, 1, 0))
    last = dns.Record_SRV(2, 9, 1, b"x")
    bounds = []

    def order(*draws):
        left = list(draws)

        def draw(bound):
            bounds.append(bound)
            return left.pop(0)

        return in_order([last, heavy, light, none], draw)

    assert order(0, 0, 0, 0) == [none, light, heavy, last]
    assert bounds == [5, 5, 4, 10]
    assert order(1, 3, 0, 9) == [light, heavy, none, last]
    assert order(4, 1, 0, 0) == [heavy, light, none, last]
