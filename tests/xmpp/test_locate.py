"""Where the server of a domain is: by SRV records, or by what the operator says."""

from __future__ import annotations

import pytest
import pytest_twisted
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import ConnectionDone, ConnectionLost, TimeoutError  # noqa: A004
from twisted.internet.error import ConnectionRefusedError as RefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import formatEvent
from twisted.names import client as dns_client
from twisted.names import dns, error
from twisted.python.failure import Failure

from tests.support.account_server import DOMAIN
from tests.support.locating import Resolver, located, srv
from tests.support.streams import outcome
from tests.support.waiting import in_time
from twisted_oob.errors import NoService, StreamRefused
from twisted_oob.xmpp import locate
from twisted_oob.xmpp.account import client_endpoint
from twisted_oob.xmpp.failures import explain
from twisted_oob.xmpp.locate import in_order, name_servers


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
    assert await port_reached(endpoint) == peers[0], "the next, if one refuses or has no address"
    names.zone.records = [dns.Record_SRV(10, 0, peers[1], b"localhost")]
    assert await port_reached(endpoint) == peers[1], "DNS is asked anew"
    assert set(names.zone.asked) == {
        (f"_xmpp-client._tcp.{DOMAIN}", dns.SRV),
        (f"_xmpps-client._tcp.{DOMAIN}", dns.SRV),
    }


@pytest_twisted.ensureDeferred
async def test_where_all_servers_fail_the_last_failure_is_told(names):
    from twisted.internet import reactor

    names.zone.records = [dns.Record_SRV(1, 0, 1, b"localhost")]
    with pytest.raises(RefusedError):
        await client_endpoint(reactor, DOMAIN, resolver=names.resolver).connect(Factory())


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


NOWHERE = [srv(0, b".")]


@pytest.mark.parametrize("failure", [None, error.DomainError(), error.DNSServerError()])
@pytest.mark.parametrize("direct_failure", [None, error.DomainError(), error.DNSServerError()])
@pytest_twisted.ensureDeferred
async def test_without_records_the_domain_itself_is_the_server(
    names, attempts, failure, direct_failure
):
    given = {"_xmpp-client": failure, "_xmpps-client": direct_failure}
    names.zone.failures = {service: each for service, each in given.items() if each is not None}
    assert await located(names.resolver).connect(None) == (DOMAIN, 5222, False)
    assert await located(names.resolver, direct_tls=True).connect(None) == (DOMAIN, 5223, True)


@pytest_twisted.ensureDeferred
async def test_both_sets_of_records_are_one(names, attempts):
    names.zone.records = [srv(1, priority=1), srv(3, priority=3), srv(5, priority=5)]
    names.zone.direct = [srv(2, priority=2), srv(4, priority=4)]
    attempts.failing = dict.fromkeys([1, 2, 3, 4], RefusedError())
    assert await located(names.resolver).connect(None) == ("xmpp.example", 5, False)
    assert [(port, direct) for _, port, direct in attempts.made] == [
        *((1, False), (2, True), (3, False), (4, True), (5, False))
    ]


@pytest_twisted.ensureDeferred
async def test_weights_count_across_both_sets(names, attempts, monkeypatch):
    names.zone.records, names.zone.direct = [srv(1, weight=1)], [srv(2, weight=65535)]
    monkeypatch.setattr(locate, "in_order", lambda records: in_order(records, lambda n: n - 1))
    assert (await located(names.resolver).connect(None))[1] == 2


@pytest.mark.parametrize(
    ("records", "direct", "options", "reached"),
    [
        # The target "." says only that there is no service of this kind.
        ([srv(1)], NOWHERE, {}, (1, False)),
        (NOWHERE, [srv(2)], {}, (2, True)),
        (None, [srv(2)], {}, (2, True)),
        ([], [srv(2)], {}, (2, True)),
        ([srv(1)], [], {}, (1, False)),
        ([srv(1)], [srv(2, priority=9)], {"direct_tls": True}, (2, True)),
        (NOWHERE, [srv(2)], {"direct_tls": True}, (2, True)),
    ],
)
@pytest_twisted.ensureDeferred
async def test_one_set_is_enough(names, attempts, records, direct, options, reached):  # noqa: PLR0917
    names.zone.records, names.zone.direct = records, direct
    assert (await located(names.resolver, **options).connect(None))[1:] == reached


@pytest.mark.parametrize(
    ("records", "direct", "options"),
    [
        (NOWHERE, NOWHERE, {}),
        (NOWHERE, None, {}),
        (NOWHERE, [], {}),
        (None, NOWHERE, {}),
        ([], NOWHERE, {}),
        ([srv(1)], NOWHERE, {"direct_tls": True}),
    ],
)
@pytest_twisted.ensureDeferred
async def test_no_service_is_said_where_there_is_none(names, attempts, records, direct, options):
    names.zone.records, names.zone.direct = records, direct
    with pytest.raises(NoService, match=f"{DOMAIN} has no XMPP service") as caught:
        await located(names.resolver, **options).connect(None)
    assert explain(Failure(caught.value)).permanent
    assert ("direct TLS" in str(caught.value)) is bool(options)
    assert attempts.made == []


FAILURES = [error.DNSServerError(), error.DNSQueryTimeoutError(1), error.ResolverError(), OSError()]


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
@pytest.mark.parametrize("failing", [0, 1])
@pytest_twisted.ensureDeferred
async def test_a_set_that_can_not_be_had_may_have_a_target(attempts, failing, failure):
    answers = {"_xmpp-client": NOWHERE, "_xmpps-client": NOWHERE}
    answers[sorted(answers)[failing]] = failure
    with pytest.raises(StreamRefused, match="DNS does not tell where") as caught:
        await located(Resolver(answers)).connect(None)
    assert not isinstance(caught.value, NoService)
    assert not explain(Failure(caught.value)).permanent


@pytest.mark.parametrize("failure", [*FAILURES, error.DNSNameError()], ids=repr)
@pytest_twisted.ensureDeferred
async def test_one_set_is_enough_if_the_other_can_not_be_had(attempts, failure):
    answers = {"_xmpp-client": failure, "_xmpps-client": [srv(2)]}
    assert (await located(Resolver(answers)).connect(None))[1:] == (2, True)
    answers = dict.fromkeys(answers, failure)
    assert await located(Resolver(answers)).connect(None) == (DOMAIN, 5222, False)


REFUSED_CERTIFICATES = [VerificationError(errors=[]), CertificateError("x"), SSL.Error([])]


@pytest.mark.parametrize("failure", REFUSED_CERTIFICATES, ids=repr)
@pytest_twisted.ensureDeferred
async def test_a_refused_certificate_is_logged_and_told_if_nobody_else_answers(
    names, attempts, failure, log
):
    names.zone.direct = [srv(1)]
    names.zone.records = [srv(2, priority=2)]
    attempts.failing = {1: failure}
    assert (await located(names.resolver).connect(None))[1] == 2
    [event] = [event for event in log if event["log_level"].name == "warn"]
    reason = explain(Failure(failure)).text
    assert formatEvent(event) == f"{DOMAIN}: xmpp.example, port 1: {reason}"

    attempts.failing[2] = RefusedError()
    with pytest.raises(type(failure)):
        await located(names.resolver).connect(None)


@pytest.mark.parametrize(
    "failure", [RefusedError(), TimeoutError(), ConnectionLost(), ConnectionDone()], ids=repr
)
@pytest_twisted.ensureDeferred
async def test_whoever_does_not_answer_is_passed_over(names, attempts, failure):
    names.zone.direct, names.zone.records = [srv(1)], [srv(2, priority=2)]
    attempts.failing = {1: failure}
    assert (await located(names.resolver).connect(None))[1] == 2
    attempts.failing[2] = RefusedError()
    with pytest.raises(RefusedError):
        await located(names.resolver).connect(None)


@pytest.mark.parametrize(
    ("domain", "in_dns"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        # By IDNA 2003 it would be fass.example, which is somebody else's.
        ("faß.example", "xn--fa-hia.example"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_an_international_domain_is_asked_for_in_ascii(names, attempts, domain, in_dns):
    endpoint = located(names.resolver, domain)
    assert await endpoint.connect(None) == (in_dns, 5222, False)
    assert names.zone.asked[0][0] == f"_xmpp-client._tcp.{in_dns}"
    assert await located(domain=domain, port=1).connect(None) == (in_dns, 1, False)


@pytest.mark.parametrize(
    ("domain", "given", "target"),
    [
        (DOMAIN, {"host": "xmpp.example"}, ("xmpp.example", 5222, False)),
        (DOMAIN, {"host": "xmpp.example", "port": 15222}, ("xmpp.example", 15222, False)),
        (DOMAIN, {"port": 15222}, (DOMAIN, 15222, False)),
        (DOMAIN, {"host": "xmpp.example", "direct_tls": True}, ("xmpp.example", 5223, True)),
        (DOMAIN, {"host": "x.example", "port": 443, "direct_tls": True}, ("x.example", 443, True)),
        (DOMAIN, {"port": 443, "direct_tls": True}, (DOMAIN, 443, True)),
        ("127.0.0.1", {}, ("127.0.0.1", 5222, False)),
        ("2001:db8::1", {"direct_tls": True}, ("2001:db8::1", 5223, True)),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_given_host_or_address_is_not_looked_up(attempts, domain, given, target):
    endpoint = located(domain=domain, **given)
    assert await endpoint.connect(None) == target


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

    monkeypatch.setattr(locate, "HostnameEndpoint", None)
    attempt = client_endpoint(None, DOMAIN, resolver=Silent()).connect(Factory())
    # Side by side, so that both together take no longer than one.
    assert asked == [
        (f"_xmpp-client._tcp.{DOMAIN}", (1, 3, 8)),
        (f"_xmpps-client._tcp.{DOMAIN}", (1, 3, 8)),
    ]
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


# --- the platform's name servers


@pytest.mark.parametrize(
    ("written", "servers"),
    [
        (
            b"# local\nnameserver 192.0.2.1\n  nameserver 2001:db8::1 # or this\nsearch example\n",
            [("192.0.2.1", 53), ("2001:db8::1", 53)],
        ),
        (b"nameserver\noptions edns0\n", [("127.0.0.1", 53)]),
        (b"\xff\n", [("127.0.0.1", 53)]),
        (b"", [("127.0.0.1", 53)]),
        (None, [("127.0.0.1", 53)]),
    ],
)
def test_the_name_servers_are_those_of_the_platform_or_this_machine(tmp_path, written, servers):
    file = tmp_path / "resolv.conf"
    if written is not None:
        file.write_bytes(written)
    assert name_servers(file) == servers


@pytest_twisted.ensureDeferred
async def test_a_lookup_asks_the_name_servers_of_that_time_and_leaves_no_timer(
    attempts, tmp_path, monkeypatch
):
    from twisted.internet import reactor

    file = tmp_path / "resolv.conf"
    monkeypatch.setattr(locate, "RESOLV_CONF", file)
    asked = []
    answers = Resolver({"_xmpp-client": [srv(1)], "_xmpps-client": error.DomainError()})

    async def look_up(resolver, name, timeout):
        asked.append(resolver.pickServer())
        return await answers.lookupService(name, timeout)

    monkeypatch.setattr(dns_client.Resolver, "lookupService", look_up)
    endpoint = located()
    timers = reactor.getDelayedCalls()
    for server in ("192.0.2.1", "192.0.2.2"):
        file.write_text(f"nameserver {server}\n")
        await endpoint.connect(None)
    assert asked == [("192.0.2.1", 53)] * 2 + [("192.0.2.2", 53)] * 2
    assert reactor.getDelayedCalls() == timers
