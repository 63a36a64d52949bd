"""``twistd oob-responder`` and ``oob send`` as one runs them in two terminals: processes."""

from __future__ import annotations

import json
import os

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from tests.support.network import DOMAIN, Sender
from tests.support.processes import IN_CI
from tests.support.waiting import in_time
from twisted_oob import OOBHandler
from twisted_oob.xmpp.basics import attach_basics

pytest_plugins = ["tests.support.commands", "tests.support.responders"]

LISTEN = ("--listen", "tcp:0:interface=127.0.0.1")
ALLOWED = ("--allow-network", "127.0.0.0/8", "--allow-network", "::1/128")


class Place:
    """A folder with a responder, where ``oob send`` runs, too."""

    def __init__(self, operator, oob):
        self.folder = operator.folder
        self._operator = operator
        self._oob = oob
        self._peers = []

    async def start(self, *words):
        self.responder = self._operator.run(
            "--listen", "tcp:0:interface=127.0.0.1", *ALLOWED, *words
        )
        match = await self.responder.printed(r"components connect to \S+:(\d+)")
        self._port = match[1]

    @property
    def listens(self):
        return f"tcp:{self._port}:interface=127.0.0.1"

    def send(self, *words):
        return self._oob("send", "--port", self._port, *words)

    async def silent_peer(self, count):
        """Connect a peer that answers no offer; gives what fires once it was offered so many."""
        secret = (self.folder / "oob-responder.secret").read_text().strip()
        peer = Sender(int(self._port), "silent.localhost", secret)
        self._peers.append(peer)
        offered, offers = Deferred(), []

        def on_offer(offer):
            offers.append(offer)
            if len(offers) == count:
                offered.callback(None)

        OOBHandler(on_offer).setHandlerParent(peer.component)
        attach_basics(peer.component, identity=("component", "generic"), name="silent")
        await peer.start()
        return in_time(offered)

    async def stop(self):
        for peer in self._peers:
            peer.component.stopService()
            await peer.lost

    def write(self, name, content):
        (self.folder / name).write_bytes(content)
        return name

    def names(self):
        return {path.name for path in self.folder.iterdir()}


@pytest_twisted.async_yield_fixture
async def place(operator, oob):
    made = Place(operator, oob)
    yield made
    await made.stop()


@pytest_twisted.ensureDeferred
async def test_files_arrive_and_each_outcome_has_its_status(place):
    await place.start()
    content = os.urandom(100_000)
    names = [place.write(name, content) for name in ("a.bin", "empty of \N{PARTY POPPER}.txt")]
    before = place.names()
    good = place.send("--json", *names, DOMAIN)
    refused = place.send("a.bin", "http://10.0.0.1/x", DOMAIN)
    nobody = place.send("a.bin", "nobody.localhost")
    busy = place.send("--listen", place.listens, "a.bin", DOMAIN)

    assert await good.finished() == 0
    *ends, summary = map(json.loads, good.output.splitlines())
    assert {(end["file"], end["outcome"], end["via"], end["how"]) for end in ends} == {
        (name, "received", "share", "iq") for name in names
    }
    assert summary == {"event": "summary", "ok": 2, "failed": 0}
    assert good.errors == ""

    assert await refused.finished() == 1
    assert "1 of 2 arrived" in refused.output
    assert await nobody.finished() == 4
    assert nobody.output == (
        "a.bin: nobody takes it at nobody.localhost: remote-server-not-found\n"
    )
    assert await busy.finished() == 2
    assert (busy.output, busy.errors) == (
        "",
        f"oob send: --listen '{place.listens}' can't be used: Address already in use\n",
    )
    landed = place.folder / "oob-downloads"
    assert {path.name: path.read_bytes() for path in landed.iterdir()} == {
        **dict.fromkeys(names, content),
        "a (2).bin": content,
    }
    assert place.names() == before | {"oob-downloads"}


@pytest_twisted.ensureDeferred
async def test_ctrl_c_and_a_server_that_is_killed_end_it_in_the_middle(place):
    await place.start()
    place.write("a.bin", b"abc")
    offered = await place.silent_peer(2)
    before = place.names()
    interrupted, lost = (place.send("a.bin", "silent.localhost") for _ in range(2))
    await offered
    interrupted.kill("INT")
    assert await interrupted.finished() == 130
    assert (interrupted.output, interrupted.errors) == ("0 of 1 arrived\n", "")
    place.responder.kill("KILL")
    assert await lost.finished() == 3
    assert lost.output == "a.bin: the stream was lost: the server closed the connection\n"
    assert lost.errors == ""
    assert place.names() == before


@IN_CI
@pytest.mark.parametrize("size", [500_000_000, 5 * 2**30])
@pytest_twisted.ensureDeferred
async def test_a_huge_file_arrives_whole(place, size):
    await place.start("--max-size", str(size))
    place.write("huge.bin", b"begin")
    os.truncate(place.folder / "huge.bin", size)
    sending = place.send("--json", "huge.bin", DOMAIN)
    sending.patience = 300
    assert await sending.finished() == 0
    landed = place.folder / "oob-downloads" / "huge.bin"
    assert landed.stat().st_size == size
    assert json.loads(sending.output.splitlines()[0])["bytes"] == size
