"""What a stranger may cost, over real sockets: addresses, ports, time, processors and the log."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from twisted.internet.task import deferLater

from tests.support.fetching import failure_of, names, step
from tests.support.hostile_http import HostileServer, answer, redirect
from tests.support.processes import IN_CI
from twisted_oob.errors import FetchFailed, Forbidden, NoRoom

pytest_plugins = ["tests.support.python_process"]

BODY = b"what was offered\n"
NOT_ALLOWED = "this address is not allowed"
SLOW = ("too slow", "timed out")


def networks(*texts):
    return tuple(map(ipaddress.ip_network, texts))


# --- addresses


def own_addresses():
    """The addresses that this machine speaks to others from, without those that are loopback."""
    found = []
    for family, elsewhere in ((socket.AF_INET, "8.8.8.8"), (socket.AF_INET6, "2001:4860::8888")):
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            try:
                one.connect((elsewhere, 53))
            except OSError:
                continue
            found.append(one.getsockname()[0])
    return found


@pytest.mark.parametrize("address", own_addresses())
@step
async def test_this_machines_own_addresses_are_refused(fetcher, net, address):
    # Not because it is private: that network is allowed as far as a policy can allow one that is
    # not global by itself, were it not our own.
    web = HostileServer(net, interface=address)
    host = f"[{address}]" if ":" in address else address
    try:
        error = await failure_of(fetcher(allow_networks=()).fetch(web.url(host=host)), Forbidden)
        assert error.text == NOT_ALLOWED
        assert web.connections == []
        web.answers = [answer(BODY)]
        await fetcher(allow_networks=networks(address)).fetch(web.url(host=host))
        error = await failure_of(
            fetcher(allow_networks=networks(address), deny_networks=networks(address)).fetch(
                web.url(host=host)
            ),
            Forbidden,
        )
        assert error.text == NOT_ALLOWED
        assert len(web.connections) == 1
    finally:
        await web.stop()


DENIED = {
    "the very address": ("127.0.0.1", ["127.0.0.0/8"], ["127.0.0.1/32"]),
    "its network": ("127.0.0.1", ["127.0.0.1/32"], ["127.0.0.0/8"]),
    "both are the same": ("127.0.0.1", ["127.0.0.0/8"], ["127.0.0.0/8"]),
    "all of them": ("127.0.0.1", ["127.0.0.0/8"], ["0.0.0.0/0", "::/0"]),
    "another spelling": ("2130706433", ["127.0.0.0/8"], ["127.0.0.0/30"]),
    "hidden in IPv6": ("[::ffff:127.0.0.1]", ["127.0.0.0/8"], ["127.0.0.1/32"]),
    "hidden in IPv6 that is allowed": ("[::ffff:7f00:1]", ["::/0"], ["127.0.0.1/32"]),
    "hidden by a translator": ("[64:ff9b::7f00:1]", ["64:ff9b::/96"], ["127.0.0.1/32"]),
    "global": ("8.8.8.8", [], ["8.8.8.0/24"]),
    "global IPv6": ("[2001:4860:4860::8888]", [], ["2001:4860::/32"]),
    "global, hidden": ("[64:ff9b::808:808]", [], ["8.8.8.0/24"]),
    "a name": ("files.test", ["127.0.0.0/8"], ["127.0.0.1/32"]),
}


@pytest.mark.parametrize(("host", "allow", "deny"), DENIED.values(), ids=list(DENIED))
@step
async def test_a_denied_network_wins(*, fetcher, web, net, host, allow, deny):
    net.hosts["files.test"] = ["127.0.0.1"]
    policy = {"allow_networks": networks(*allow), "deny_networks": networks(*deny)}
    error = await failure_of(fetcher(**policy).fetch(web.url(host=host)), Forbidden)
    assert error.text == NOT_ALLOWED
    assert net.tried == []


@step
async def test_a_denied_network_wins_at_a_redirect(fetcher, web, net):
    web.answers = [redirect(web.url(host="127.0.0.2"))]
    fetching = fetcher(deny_networks=networks("127.0.0.2/32")).fetch(web.url())
    assert (await failure_of(fetching, Forbidden)).text == NOT_ALLOWED
    assert [host for host, _ in net.tried] == ["127.0.0.1"]


@step
async def test_of_a_name_with_many_addresses_few_are_tried(fetcher, web, net):
    # Nobody listens at any but the last one, and every one says so at once.
    net.hosts["many.test"] = [f"127.1.{at // 250}.{at % 250 + 1}" for at in range(1000)]
    error = await failure_of(fetcher().fetch(web.url(host="many.test")), FetchFailed)
    assert error.text == "the server could not be reached"
    assert 1 <= len(net.tried) <= 8


@step
async def test_a_name_with_thousands_of_addresses_keeps_nobody_waiting(fetcher, web, net):
    net.hosts["many.test"] = [f"127.1.{at // 250}.{at % 250 + 1}" for at in range(3000)]
    one = fetcher()
    many = one.fetch(web.url(host="many.test"))
    many.addErrback(lambda _: None)
    web.answers = [answer(BODY)]
    await one.fetch(web.url())
    assert net.tried == [("127.0.0.1", web.port)]  # the other one rests
    many.cancel()
    await many
    assert net.tried == [("127.0.0.1", web.port)]


@step
async def test_of_a_name_with_many_silent_addresses_few_are_tried_each_for_seconds(
    fetcher, web, net
):
    net.hosts["many.test"] = [f"127.1.0.{at}" for at in range(1, 200)]
    net.lost.update(net.hosts["many.test"])
    fetching = fetcher().fetch(web.url(host="many.test"))
    await deferLater(net, 0.35)
    assert 1 <= len(net.tried) <= 2  # 250 ms apart (RFC 8305 section 5)
    fetching.addErrback(lambda _: None)
    fetching.cancel()
    await fetching


@step
async def test_an_address_that_is_silent_delays_the_next_one_little(fetcher, web, net):
    net.hosts["two.test"] = ["127.1.0.1", "127.0.0.1"]
    net.lost.add("127.1.0.1")
    web.answers = [answer(BODY)]
    await fetcher().fetch(web.url(host="two.test"))
    assert len(net.tried) == 2


@step
async def test_one_forbidden_address_beyond_those_that_are_tried_forbids_the_name(
    fetcher, web, net
):
    net.hosts["many.test"] = ["127.0.0.1"] * 20 + ["10.0.0.1"]
    await failure_of(fetcher().fetch(web.url(host="many.test")), Forbidden)
    assert net.tried == []


# --- ports

PORTS = (1, 7, 9, 19, 21, 22, 23, 25, 53, 69, 110, 137, 139, 143, 161, 179, 389, 427, 465, 512, 514)
MORE_PORTS = (515, 548, 554, 587, 601, 636, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190)
LAST_PORTS = (5060, 5061, 6000, 6566, 6665, 6667, 6669, 6679, 6697, 10080)


@step
async def test_ports_that_browsers_block(fetcher, net):
    for port in (*PORTS, *MORE_PORTS, *LAST_PORTS):
        for url in (f"http://127.0.0.1:{port}/", f"https://127.0.0.1:{port:05}/"):
            await failure_of(fetcher().fetch(url), Forbidden)
    assert net.tried == []


@pytest.mark.parametrize("port", [80, 443, 591, 5280, 8000, 8080, 8443, 6670])
@step
async def test_other_ports_are_asked(fetcher, net, port):
    net.lost.add("127.0.0.9")
    fetching = fetcher().fetch(f"http://127.0.0.9:{port}/")
    fetching.addErrback(lambda _: None)
    assert net.tried == [("127.0.0.9", port)]
    fetching.cancel()
    await fetching


# --- no descriptor left


@step
async def test_without_a_descriptor_there_is_no_room_at_once(fetcher, web, net, log, monkeypatch):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    ours = fetcher()
    urls = [web.url(), web.url(host="localhost"), web.url(host="127.1")]
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        fetching = [ours.fetch(url) for url in urls]
        for each in fetching:
            each.addErrback(lambda failure: failure.value)
        ends = [await each for each in fetching]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert [type(one) for one in ends] == [NoRoom] * 3
    assert web.connections == []


# --- time


async def trickle(fetcher, web, clock, *, piece, pieces, **policy):
    """Let a server send so many bytes a second."""
    fetching = fetcher(**policy).fetch(web.url())
    outcome = []
    fetching.addBoth(outcome.append)
    connection = await web.arrivals.get()
    connection.write(answer(b"", length=piece * pieces))
    for _ in range(pieces):
        if outcome:
            break
        connection.write(b"x" * piece)
        for _ in range(2):
            await deferLater(web.reactor, 0.001)
        clock.advance(1)
    while not outcome:
        await deferLater(web.reactor, 0.001)
    return outcome[0], clock.seconds()


@step
async def test_a_body_that_is_too_slow_ends(fetcher, web, clock, folder):
    policy = {"stall_timeout": 10, "min_rate": 100}
    end, seconds = await trickle(fetcher, web, clock, piece=50, pieces=60, **policy)
    assert (end.type, end.value.text) in {(FetchFailed, text) for text in SLOW}
    assert 9 <= seconds <= 22
    assert "100" in end.value.detail
    assert names(folder) == []


@pytest.mark.parametrize("policy", [{"min_rate": 100}, {"min_rate": 0}])
@step
async def test_a_body_that_is_slow_but_not_too_slow_comes_whole(fetcher, web, clock, policy):
    piece = 150 if policy["min_rate"] else 3
    got, seconds = await trickle(
        fetcher, web, clock, piece=piece, pieces=40, stall_timeout=10, **policy
    )
    assert got.size == piece * 40
    assert seconds >= 35


@step
async def test_by_default_a_thousand_bytes_a_second_are_enough(fetcher, web, clock):
    got, _ = await trickle(fetcher, web, clock, piece=1100, pieces=40)
    assert got.size == 44_000
    end, _ = await trickle(fetcher, web, clock, piece=700, pieces=70)
    assert end.value.text in SLOW


@pytest.mark.parametrize("wrong", [-1, 0.5, "1", None, True])
def test_a_least_rate_that_is_none_is_an_error_at_once(fetcher, wrong):
    with pytest.raises((TypeError, ValueError), match="min_rate"):
        fetcher(min_rate=wrong)


# --- processors

# Sends a piece again and again to whoever asks for /tiny, from a thread for each.
SERVER = """
import socket, ssl, sys, threading
head, piece, certificate = HEAD, PIECE, CERTIFICATE
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(certificate)

def serve(connection):
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if SECURE:
            connection = tls.wrap_socket(connection, server_side=True)
        if b"/whole" in connection.recv(65536):
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 1\\r\\n\\r\\nx")
            return
        connection.sendall(head)
        try:
            while True:
                connection.sendall(piece)
        except OSError:
            pass

listener = socket.create_server(("127.0.0.1", 0))
print("port", listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
CLIENT = """
import ipaddress, time
from pathlib import Path
from twisted.internet import defer, task
from twisted_oob import Fetcher, FetchPolicy

async def main(reactor):
    loopback = (ipaddress.ip_network("127.0.0.0/8"),)
    fetcher = Fetcher(reactor, FetchPolicy(allow_networks=loopback, ca_file=CA_FILE), Path("."))
    tiny = [fetcher.fetch("URL/tiny") for _ in range(8)]
    for each in tiny:
        each.addErrback(lambda failure: failure.trap(defer.CancelledError))
    await task.deferLater(reactor, 1)  # each may cost a little more at first
    cpu, began = time.process_time(), time.monotonic()
    await fetcher.fetch("URL/whole")
    waited = time.monotonic() - began
    await task.deferLater(reactor, 3)
    share = (time.process_time() - cpu) / (time.monotonic() - began)
    print("share", share, "waited", waited, "alive", sum(not each.called for each in tiny))
    for each in tiny:
        each.cancel()

task.react(lambda reactor: defer.ensureDeferred(main(reactor)))
"""
IN_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
OF_A_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n"
TINY = {
    "chunks, one by one": ("http", IN_CHUNKS, b"1\r\nx\r\n"),
    "chunks, many at once": ("http", IN_CHUNKS, b"1\r\nx\r\n" * 10_000),
    "chunks with extensions": ("http", IN_CHUNKS, b"1;%b\r\nx\r\n" % (b"e" * 900) * 70),
    "chunks over TLS": ("https", IN_CHUNKS, b"1\r\nx\r\n"),
    "records of TLS": ("https", OF_A_LENGTH, b"x"),
}


@IN_CI
@pytest.mark.parametrize("tiny", TINY.values(), ids=list(TINY))
@step
async def test_tiny_pieces_hold_no_processor(python, authority, tiny):
    scheme, head, piece = tiny
    certificate = str(authority.issue("server", names=["127.0.0.1"]))
    values = {"HEAD": head, "PIECE": piece, "CERTIFICATE": certificate, "SECURE": scheme == "https"}
    server = python("".join(f"{name} = {value!r}\n" for name, value in values.items()) + SERVER)
    port = (await server.printed(r"port (\d+)"))[1]
    ours = CLIENT.replace("URL", f"{scheme}://127.0.0.1:{port}")
    client = python(f"CA_FILE = {str(authority.file)!r}\n" + ours)
    match = await client.printed(r"share ([\d.]+) waited ([\d.]+) alive (\d+)")
    assert float(match[1]) < 0.3
    assert float(match[2]) < 1
    assert int(match[3]) == 8
