"""Where servers are, for tests: names in DNS, and attempts that connect to nothing."""

from __future__ import annotations

from twisted.names import client as dns_client
from twisted.names import common, dns, error
from twisted.names.server import DNSServerFactory

from tests.support.account_server import DOMAIN
from twisted_oob.xmpp import locate
from twisted_oob.xmpp.locate import ServerEndpoint


class Zone(common.ResolverBase):
    """What the DNS server knows.

    ``records``: of the service with STARTTLS. ``direct``: of that with direct TLS, or None if there
    is no such name. ``others``: what comes with each. ``failures``: by service.
    """

    def __init__(self):
        common.ResolverBase.__init__(self)
        self.records = []
        self.direct = None
        self.others = []
        self.failures = {}
        self.asked = []

    def _lookup(self, name, cls, type, timeout):  # noqa: A002
        self.asked.append((name.decode(), type))
        service = name.decode().partition(".")[0]
        records = self.direct if service == "_xmpps-client" else self.records
        if service in self.failures or records is None:
            raise self.failures.get(service) or error.DomainError()
        answers = [dns.RRHeader(name, dns.SRV, payload=record) for record in records]
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


class Resolver:
    """Answers each service with what it is given: an exception, or records."""

    def __init__(self, answers):
        self._answers = answers

    async def lookupService(self, name, timeout):
        answer = self._answers[name.partition(".")[0]]
        if isinstance(answer, Exception):
            raise answer
        return [dns.RRHeader(name, dns.SRV, payload=record) for record in answer], [], []


class Attempts:
    """Stands for HostnameEndpoint and DirectTLSEndpoint, if nothing is to be connected.

    ``made``: host, port, and whether TLS begins at once. ``failing``: what some of them fail with,
    by port. An attempt that succeeds gives what it is.
    """

    def __init__(self, monkeypatch):
        self.made = []
        self.failing = {}
        monkeypatch.setattr(locate, "HostnameEndpoint", lambda _, *place: Attempt(self, *place))
        monkeypatch.setattr(locate, "DirectTLSEndpoint", lambda tcp, *_: tcp.with_tls())


class Attempt:
    def __init__(self, attempts, host, port):
        self._attempts = attempts
        self._place = (host, port)
        self._direct = False

    def with_tls(self):
        self._direct = True
        return self

    async def connect(self, factory):
        made = (*self._place, self._direct)
        self._attempts.made.append(made)
        if self._place[1] in self._attempts.failing:
            raise self._attempts.failing[self._place[1]]
        return made


def located(resolver=None, domain=DOMAIN, **options):
    """Give the endpoint of a domain that has no reactor."""
    return ServerEndpoint(None, domain, None, resolver=resolver, **options)


def srv(port, host=b"xmpp.example", priority=1, weight=0):
    return dns.Record_SRV(priority, weight, port, host)
