"""A scenario: names that never resolve, offered to a responder by several senders.

The machine's only name server is a UDP socket that never answers. It prints how many offers wait,
how often the name server was asked, and what became of files that need it not: from an address,
and from a name of /etc/hosts.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from twisted.internet.defer import ensureDeferred
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import deferLater, react

from tests.support.hostile_http import HostileServer, answer
from tests.support.network import SENDER, Sender
from tests.support.responders import Responder

SENDERS, EACH = 12, 4
CONCURRENCY = 64


def setup(folder):
    """Give the shell that makes the namespace such a machine."""
    return (
        f"(echo nameserver 127.0.0.53; echo options timeout:30) >{folder}/resolv.conf",
        f"echo 127.0.0.1 files.test >{folder}/hosts",
        f"echo hosts: files dns >{folder}/nsswitch.conf",
        *(
            f"mount --bind {folder}/{name} $(readlink -f /etc/{name})"
            for name in ("resolv.conf", "hosts", "nsswitch.conf")
        ),
    )


class _Silent(DatagramProtocol):
    questions = 0

    def datagramReceived(self, datagram, addr):
        self.questions += 1


async def main(reactor, folder):
    silent = _Silent()
    reactor.listenUDP(53, silent, interface="127.0.0.53")
    web = HostileServer(reactor)
    responder = Responder(
        *(reactor, folder, "--listen", "tcp:0:interface=127.0.0.1", "--secret-file", "secret"),
        *("--download-dir", "landed", "--allow-network", "127.0.0.0/8"),
        *("--concurrency", str(CONCURRENCY)),
    )
    match = await responder.printed(r"components connect to \S+:(\d+)")
    sender = Sender(int(match[1]), secret=(folder / "secret").read_text().strip())
    await sender.start()
    hanging = [
        sender.oob.send_url(
            *("oob.localhost", f"http://name-{user}-{number}.test/file"),
            sender=f"user{user}@{SENDER}/x",
            timeout=300,
        )
        for user in range(SENDERS)
        for number in range(EACH)
    ]
    for each in hanging:
        each.addErrback(lambda _: None)
    while not silent.questions:
        await deferLater(reactor, 0.01)
    told = {}
    for what, host in (("literal", "127.0.0.1"), ("name", "files.test")):
        web.answers = [answer(b"file")]
        began = time.monotonic()
        condition = await sender.oob.send_url(
            "oob.localhost", web.url(host=host), sender=f"friend@{SENDER}/x", timeout=60
        )
        told[what] = {
            "answer": condition and condition.error.condition,
            "seconds": time.monotonic() - began,
        }
    told["pending"] = sum(not each.called for each in hanging)
    told["questions"] = silent.questions
    await responder.stop()
    told["signal"] = responder.signal
    await sender.stop()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    react(lambda reactor: ensureDeferred(main(reactor, Path(sys.argv[1]))))
