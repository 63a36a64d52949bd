"""A scenario: a responder on a machine with global addresses, at which it has a service itself.

It prints, for each way to run the responder, the answers to offers by their hosts, how many
connections the service got, at which addresses it was asked, and what the responder logged.
"""

from __future__ import annotations

import json
import sys
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import react

from tests.support.hostile_http import HostileServer, answer, redirect
from tests.support.network import Sender
from tests.support.responders import Responder

FIRST, SECOND, ON_LOOPBACK = "93.184.215.14", "93.184.215.15", "8.8.4.4"
ROUTED_HERE = "9.9.9.9"
FIRST_V6, SECOND_V6, ROUTED_HERE_V6 = "2a00:1450::14", "2a00:1450::15", "2a00:1451::7"
NAMES = {"own.test": FIRST, "own6.test": FIRST_V6}
SETUP = (
    "ip link add ours type veth peer name theirs",
    "ip link set ours up",
    "ip link set theirs up",
    f"ip address add {FIRST}/24 dev ours",
    f"ip address add {SECOND}/24 dev ours",
    f"ip address add {ON_LOOPBACK}/32 dev lo",
    f"ip route add local {ROUTED_HERE}/32 dev lo",
    f"ip -6 address add {FIRST_V6}/64 dev ours nodad",
    f"ip -6 address add {SECOND_V6}/64 dev ours nodad",
    f"ip -6 route add local {ROUTED_HERE_V6}/128 dev lo",
    "ip route add default dev ours",
    "ip -6 route add default dev ours",
    "printf '" + "".join(f"{a} {n}\\n" for n, a in NAMES.items()) + "' >hosts",
    "mount --bind hosts /etc/hosts",
)


def spellings_of_v4(text):
    """Give the ways in which a URL can spell an IPv4 address, and what stands for it in IPv6."""
    number = int(IPv4Address(text))
    a, b, c, d = text.split(".")
    high, low = f"{number >> 16:x}", f"{number & 0xFFFF:x}"
    return [
        text,
        str(number),
        hex(number),
        f"0{number:o}",
        f"{a}.{b}.{int(c) * 256 + int(d)}",
        f"0x{int(a):X}.{int(b):#o}.{c}.{d}".replace("0o", "0"),
        *(f"[::ffff:{text}]", f"[::ffff:{high}:{low}]", f"[0:0:0:0:0:FFFF:{high}:{low}]"),
        *(f"[64:ff9b::{high}:{low}]", f"[64:ff9b::{text}]", f"[2002:{high}:{low}::1]"),
        f"[::{text}]",
    ]


def spellings_of_v6(text):
    """Give the ways in which a URL can spell an IPv6 address."""
    address = IPv6Address(text)
    full = address.exploded
    tail = IPv4Address(int(address) & 0xFFFFFFFF)
    return [f"[{each}]" for each in (text, full, full.upper(), f"{full[:30]}{tail}")]


PLAIN = (
    *(FIRST, SECOND, ON_LOOPBACK, ROUTED_HERE),
    *(f"[{address}]" for address in (FIRST_V6, SECOND_V6, ROUTED_HERE_V6)),
    *NAMES,
)
EVERY_SPELLING = (*spellings_of_v4(FIRST), *spellings_of_v6(FIRST_V6), *PLAIN)
EVERY = ("--allow-network", "0.0.0.0/0", "--allow-network", "::/0")
# The options of the responder, and the hosts that are offered.
RUNS = {
    "default": ((), EVERY_SPELLING),
    "another network": (
        ("--allow-network", "127.0.0.0/8", "--allow-network", "93.184.216.0/24"),
        EVERY_SPELLING,
    ),
    "allowed": (EVERY, PLAIN),
    "allowed and denied": (
        (
            *EVERY,
            *("--deny-network", "93.184.215.0/24", "--deny-network", "2a00:1450::/31"),
            *("--deny-network", "8.8.0.0/16", "--deny-network", "9.9.9.9"),
        ),
        EVERY_SPELLING,
    ),
}


async def main(reactor, folder):
    web = HostileServer(reactor, interface="::")
    told = {}
    for name, (words, hosts) in RUNS.items():
        (folder / name).mkdir()
        told[name] = await _run(reactor, folder / name, web, words, hosts)
    await web.stop()
    sys.stdout.write(json.dumps(told))


async def _run(reactor, folder, web, words, hosts):
    responder = Responder(
        *(reactor, folder, "--listen", "tcp:0:interface=127.0.0.1", "--secret-file", "secret"),
        *("--download-dir", "landed", *words),
    )
    match = await responder.printed(r"components connect to .*port=(\d+)")
    sender = Sender(int(match[1]), secret=(folder / "secret").read_text().strip())
    await sender.start()
    answers, asked = {}, []

    def replying(reply):
        def to(connection):
            address = IPv6Address(connection.transport.getHost().host)
            asked.append(str(address.ipv4_mapped or address))
            connection.write(reply)

        return to

    # The last one leads to an address of ours from one that may be allowed.
    for host in (*hosts, "127.0.0.1"):
        first = redirect(web.url(host=FIRST)) if host == "127.0.0.1" else answer(b"secret")
        web.answers = [replying(first), replying(answer(b"secret"))]
        condition = await sender.oob.send_url("oob.localhost", web.url(host=host), timeout=15)
        answers[host] = condition and condition.error.condition
    connections = len(web.connections)
    web.connections.clear()
    await sender.stop()
    await responder.stop()
    return {
        "answers": answers,
        "connections": connections,
        "asked": asked,
        "log": responder.output,
    }


if __name__ == "__main__":
    react(lambda reactor: ensureDeferred(main(reactor, Path(sys.argv[1]))))
