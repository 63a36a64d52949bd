"""Connections to judged addresses, over real sockets of this machine."""

from __future__ import annotations

import errno
import json
import re
from ipaddress import ip_address, ip_network

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer

from tests.support.fetching import failure_of, step
from tests.support.waiting import until
from twisted_oob.errors import FetchFailed, Forbidden, NoRoom
from twisted_oob.files import connections as connections_module
from twisted_oob.files.connections import JudgedConnections
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.files.urls import read_url

pytest_plugins = ["tests.support.python_process"]

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


# --- addresses


class Everywhere:
    """Every address."""

    def __contains__(self, address):
        return True


@pytest.fixture
def machine(net, monkeypatch):
    """A machine with addresses of its own, where connections are noted and never made."""
    own = set(map(ip_address, ("93.184.215.14", "2a00:1450::14")))
    monkeypatch.setattr(connections_module, "is_own", own.__contains__)
    net.lost = Everywhere()
    return net


def connecting(reactor, url, heard=lambda _: True, tls_policy=None, protocol=Protocol, **policy):
    judged = JudgedConnections(reactor, FetchPolicy(**policy), tls_policy, heard)
    return Deferred.fromCoroutine(judged.connect(read_url(url), protocol))


@pytest.mark.parametrize(
    "host",
    [
        "93.184.215.14",
        "1572394766",
        "0x5d.0xb8.215.14",
        "93.184.55054",
        "[2a00:1450::14]",
        "[::ffff:93.184.215.14]",
        "[::93.184.215.14]",
        "[64:ff9b::93.184.215.14]",
        "[2002:5db8:d70e::1]",
        "[2a00:9999::5efe:93.184.215.14]",
        "[2a00:9999::200:5efe:93.184.215.14]",
        "[2001:0:5db8:d70e:0:ffff:f7f7:f7f7]",
        "[2001:0:808:808:0:ffff:a247:28f1]",
        "own.test",
        "mixed.test",
    ],
)
@step
async def test_this_machines_own_addresses_are_refused(machine, host):
    machine.hosts["own.test"] = ["93.184.215.14"]
    machine.hosts["mixed.test"] = ["8.8.8.8", "::ffff:93.184.215.14"]
    error = await failure_of(connecting(machine, f"http://{host}/"), Forbidden)
    assert error.text == "this address is not allowed"
    assert machine.tried == []


@pytest.mark.parametrize("host", ["93.184.215.15", "[2a00:1450::15]", "[2002:5db8:d70f::1]"])
def test_another_machines_addresses_are_not(machine, host):
    connecting(machine, f"http://{host}/")
    assert [tried for tried, _ in machine.tried] == [host.strip("[]")]


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("93.184.215.14", "93.184.215.0/24"),
        ("[::ffff:93.184.215.14]", "93.184.215.14/32"),
        ("[2a00:1450::14]", "2a00:1450::14/128"),
    ],
)
def test_an_allowed_network_lets_an_own_address_in(machine, host, allowed):
    connecting(machine, f"http://{host}/", allow_networks=(ip_network(allowed),))
    assert len(machine.tried) == 1


def test_nobody_asks_whose_an_address_is_that_only_an_allowed_network_lets_in(monkeypatch, machine):
    def asked(address):
        raise AssertionError(address)

    monkeypatch.setattr(connections_module, "is_own", asked)
    connecting(machine, "http://127.0.0.1/", allow_networks=LOOPBACK)
    assert len(machine.tried) == 1


@pytest.mark.parametrize("last", [[], ["10.0.0.1"], ["93.184.215.14"]])
@step
async def test_all_of_a_thousand_addresses_are_judged_and_eight_are_tried(machine, last):
    machine.hosts["many.test"] = [f"8.8.{n // 250}.{n % 250}" for n in range(1000)] + last
    judging = connecting(machine, "http://many.test/")
    if last:
        await failure_of(judging, Forbidden)
        assert machine.tried == []
    else:
        await until(lambda: machine.tried)
        judging.cancel()
        await failure_of(judging, CancelledError)
        assert machine.tried == [("8.8.0.0", 80)]


@step
async def test_descriptors_that_are_used_up_are_no_reason_to_refuse(machine, monkeypatch):
    def used_up(address):
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(connections_module, "is_own", used_up)
    await failure_of(connecting(machine, "http://8.8.8.8/"), NoRoom)


def test_a_host_that_is_resolved_and_allowed_is_a_sign_of_life():
    counts = []
    judging = connecting(MemoryReactorClock(), "http://8.8.8.8/", counts.append)
    assert counts == [0]
    assert not judging.called
    judging.cancel()
    judging.addErrback(lambda _: None)


# --- TLS


@implementer(IOpenSSLClientConnectionCreator)
class Hosts:
    """A TLS policy that notes for whom it was asked; ``error`` is raised then, or later."""

    def __init__(self, now=None, later=None):
        self.now = now
        self.later = later
        self.asked = []

    def creatorForNetloc(self, hostname, port):
        self.asked.append((hostname, port))
        if self.now is not None:
            raise self.now
        return self

    def clientConnectionForTLS(self, tls):
        raise self.later


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("files.test", b"files.test"),
        ("files.test.", b"files.test"),
        ("a_b--c.test", b"a_b--c.test"),
        ("127.0.0.1", b"127.0.0.1"),
        ("[::1]", b"::1"),
    ],
)
@pytest.mark.parametrize("error", [UnicodeError("why not"), ValueError("why not")], ids=repr)
@step
async def test_a_tls_policy_is_asked_for_the_host_without_its_final_dot(net, host, asked, error):
    policy = Hosts(error)
    failure = await failure_of(
        connecting(net, f"https://{host}:4433/", tls_policy=policy), FetchFailed
    )
    assert policy.asked == [(asked, 4433)]
    assert (failure.text, failure.detail) == (
        "no secure connection to the server",
        f"the TLS policy takes no host {asked!r}: {type(error).__name__}: why not",
    )
    assert net.resolved == net.tried == []


@step
async def test_a_name_with_a_final_dot_is_looked_up_as_it_is(net):
    net.hosts["files.test."] = ["10.0.0.1"]
    await failure_of(connecting(net, "http://files.test./"), Forbidden)
    assert net.resolved == ["files.test."]


@step
async def test_a_tls_policy_that_can_not_begin_is_told_and_leaves_no_connection(net, web):
    judged = JudgedConnections(
        net, FetchPolicy(allow_networks=LOOPBACK), Hosts(later=ZeroDivisionError()), lambda _: True
    )
    url = read_url(web.url().replace("http:", "https:"))
    with pytest.raises(ZeroDivisionError):
        await judged.connect(url, Protocol)
    await judged.hang_up()


# --- over real sockets


class Talk(Protocol):
    """Asks, and fires ``heard`` with the first bytes of the answer; ``lost`` is why it ended."""

    lost = None

    def __init__(self):
        self.heard = Deferred()

    def connectionMade(self):
        self.transport.write(b"GET / HTTP/1.1\r\n\r\n")

    def dataReceived(self, data):
        self.heard.callback(data)

    def connectionLost(self, reason):
        self.lost = reason


@step
async def test_the_protocol_that_is_given_is_connected(net, web):
    web.answers = [b"answer"]
    judged = JudgedConnections(net, FetchPolicy(allow_networks=LOOPBACK), None, lambda _: True)
    talk = await judged.connect(read_url(web.url()), Talk)
    assert await talk.heard == b"answer"
    await judged.hang_up()
    assert talk.lost.check(ConnectionAborted)
    assert net.tried == [("127.0.0.1", web.port)]


@step
async def test_a_name_with_a_thousand_addresses_costs_eight_attempts(net, web):
    net.hosts["many.test"] = [f"127.1.{n // 250}.{n % 250}" for n in range(1000)]
    with pytest.raises(Exception, match="refused"):
        await connecting(net, web.url(host="many.test"), allow_networks=LOOPBACK)
    assert [host for host, _ in net.tried] == [f"127.1.0.{n}" for n in range(8)]
    assert net.open_sockets() == 0


NO_DESCRIPTORS = """
import json, os, resource, sys, time
from ipaddress import ip_network
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted_oob.files.connections import JudgedConnections
from twisted_oob.files.failures import explained
from twisted_oob.files.policy import FetchPolicy
from twisted_oob.files.urls import read_url

globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
loopback = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
judged = JudgedConnections(reactor, FetchPolicy(allow_networks=loopback), None, lambda _: True)

async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    try:
        while True:
            os.dup(0)
    except OSError:
        pass
    told = {}
    begun = time.monotonic()
    for host in ("127.0.0.1", "[::1]", "8.8.8.8", "localhost", "127.1", "nobody.invalid"):
        try:
            await judged.connect(read_url(f"http://{host}:4433/"), Protocol)
        except Exception as error:
            told[host] = type(explained(error)).__name__
    print(json.dumps([told, time.monotonic() - begun]))
    reactor.stop()

reactor.callWhenRunning(Deferred.fromCoroutine, main())
reactor.run()
"""


@step
async def test_descriptors_that_are_used_up_are_told_at_once_by_name_as_by_address(python):
    program = python(NO_DESCRIPTORS)
    assert await program.finished() == 0
    [told, seconds] = json.loads(re.search(r"^\[.*\]$", program.output, re.MULTILINE)[0])
    assert set(told.values()) == {"NoRoom"}
    assert len(told) == 6
    assert seconds < 2
    assert "Unhandled" not in program.output
    assert "Traceback" not in program.output
