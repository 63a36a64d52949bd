"""Strangers that ask for more than a server lets us answer, or never read: nobody else notices."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import pytest_twisted
from pytest_twisted import blockon
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater

from tests.servers.limited import PAYLOADS, client, component, limited_server, stanza
from tests.servers.servers import ACCOUNTS, DOMAIN, SECRET
from tests.support.hostile_http import HostileServer, answer
from tests.support.processes import IN_CI
from tests.support.responders import Responder
from tests.support.waiting import in_time

ACCOUNT = f"ours@{DOMAIN}/oob"
FRIEND, STRANGER = "slixmpp", "anyevent"
ROUTER, DEAF = "oob.localhost", "deaf.localhost"
# A dead stream is found within seconds, so that one that only seems dead is cut within the test.
IMPATIENT = """
from twisted_oob.xmpp import keepalive, second_connection
keepalive.INTERVAL, keepalive.PATIENCE, keepalive.TICK = 0.5, 1.0, 0.5
second_connection.LIMIT = 1.0
"""
LATEST = 10  # seconds until a friend's offer is answered, whatever strangers do
MOST_GROWTH = 10  # MB
OFFERS = 4
FLOOD = 1000  # requests; the answers to them take the server half a minute to read


@pytest_twisted.async_yield_fixture
async def web():
    from twisted.internet import reactor

    made = HostileServer(reactor)
    yield made
    await made.stop()


@pytest.fixture(params=["prosody", pytest.param("ejabberd", marks=IN_CI)])
def limited(request, certificates, tmp_path):
    with limited_server(request.param, certificates, tmp_path) as made:
        yield made


@pytest.fixture
def peers():
    """Those who have a stream; all are gone in the end."""
    made = []
    yield made
    for peer in made:
        blockon(ensureDeferred(peer.stop()))


@pytest.fixture
def run(tmp_path):
    """Starts a responder; gives its process."""
    from twisted.internet import reactor

    processes = []

    def start(*words):
        words = (*words, "--download-dir", "landed", "--allow-network", "127.0.0.0/8")
        process = Responder(reactor, tmp_path, *words, before=IMPATIENT)
        processes.append(process)
        return process

    yield start
    for process in processes:
        if not process.ended.called:
            process.kill("KILL")
            blockon(process.ended)


def memory(process):
    """Give the resident memory of a process in MB."""
    status = Path(f"/proc/{process.transport.pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024 / 1e6


def assert_bounded(process, before, *, logged):
    """Whatever came cost little memory, and so many characters in the log at most."""
    assert memory(process) - before < MOST_GROWTH
    assert len(process.output) < logged


async def friend_is_served(friend, recipient, web, *, pause):
    """Offer files, with so many seconds between them; each must arrive in time."""
    web.answers = [answer(b"file")] * OFFERS
    for number in range(OFFERS):
        if number:
            await deferLater(web.reactor, pause)
        outcome = friend.offer(recipient, web.url(f"/{number}"))
        assert await outcome.addTimeout(LATEST, web.reactor) == "result"


@pytest.fixture
def secret_file(tmp_path):
    """Writes a secret to a file; gives its name."""

    def write(secret):
        file = tmp_path / "secret"
        file.touch(mode=0o600)
        file.write_text(secret + "\n")
        return str(file)

    return write


@pytest.fixture
def account(limited, run, secret_file):
    """Starts a responder with an account on the server; gives its process."""
    return lambda: run(
        *("--jid", ACCOUNT, "--password-file", secret_file(ACCOUNTS["ours"])),
        *("--ca-file", str(limited.ca_file), "--allow-from", f"{FRIEND}@{DOMAIN}"),
        *("--host", "127.0.0.1", "--port", str(limited.client_port)),
    )


@pytest_twisted.ensureDeferred
async def test_a_flood_of_strangers_delays_no_friend_of_an_account(*, limited, account, peers, web):
    process = account()
    await process.printed(": connected")
    friend = await client(web.reactor, limited, FRIEND, "desk")
    peers.append(friend)
    slow = friend.offer(ACCOUNT, web.url("/slow"))
    transfer = await in_time(web.arrivals.get())

    before = memory(process)
    # One stream for each kind of request: each has a limit of its own.
    for kind in PAYLOADS:
        stranger = await client(web.reactor, limited, STRANGER, kind)
        peers.append(stranger)
        stranger.write(stanza(kind, ACCOUNT, stranger.jid) * FLOOD)
    # And one whose every request is of another sender.
    many = await component(web.reactor, limited.component_port, limited.component(), SECRET)
    peers.append(many)
    many.write(
        "".join(stanza("disco", ACCOUNT, f"user{number}@{many.jid}") for number in range(FLOOD))
    )
    await friend_is_served(friend, ACCOUNT, web, pause=1)
    transfer.write(answer(b"slow"))
    assert await in_time(slow, LATEST) == "result"
    assert process.output.count(": connected") == 1
    assert_bounded(process, before, logged=20_000)


PADDING = "x" * 8000
LARGE = {
    "refused": lambda _: stanza("offer", ROUTER, DEAF, url=f"http://a/?{PADDING}"),
    "refused, of many": lambda number: stanza(
        "offer", ROUTER, f"user{number}@{DEAF}", url=f"http://a/?{PADDING}"
    ),
    "to itself": lambda _: f"<message from='{DEAF}' to='{DEAF}'><body>{PADDING}</body></message>",
    "to nobody": lambda _: f"<iq from='{DEAF}' to='{PADDING}' type='get' id='1'/>",
}


@pytest.mark.parametrize(
    "kind", ["refused", *(pytest.param(kind, marks=IN_CI) for kind in LARGE if kind != "refused")]
)
@pytest_twisted.ensureDeferred
async def test_a_component_that_sends_and_never_reads_is_bounded(
    *, run, peers, web, secret_file, kind
):
    secret = "s" * 64
    process = run(
        *("--listen", "tcp:0:interface=127.0.0.1", "--secret-file", secret_file(secret)),
        *("--allow-from", "friend.localhost"),
    )
    match = await process.printed(r"components connect to \S+:(\d+)")
    port = int(match[1])
    friend = await component(web.reactor, port, "friend.localhost", secret)
    peers.append(friend)
    deaf = await component(web.reactor, port, DEAF, secret)
    peers.append(deaf)

    before = memory(process)
    deaf.xmlstream.transport.pauseProducing()
    flood = [LARGE[kind](number) for number in range(5000)]
    deaf.write("".join(flood))
    await friend_is_served(friend, ROUTER, web, pause=0.4)
    assert_bounded(process, before, logged=20_000)


@pytest.fixture
def external(limited, run, secret_file):
    """Starts a responder as a component of the server; gives its process."""
    return lambda: run(
        *("--component", limited.component(), "--secret-file", secret_file(SECRET)),
        *("--port", str(limited.component_port), "--allow-from", f"{FRIEND}@{DOMAIN}"),
    )


@pytest.fixture(params=["account", "external"])
def connected(request):
    """Starts a responder on a stream to the server; gives its process."""
    return request.getfixturevalue(request.param)


@IN_CI
@pytest_twisted.ensureDeferred
async def test_a_server_that_hangs_is_noticed(limited, connected):
    process = connected()
    await process.printed(": connected")
    limited.hang()
    try:
        await process.printed("cutting the dead connection")
    finally:
        limited.go_on()
    await process.printed(r": connected(.|\n)*: connected")
