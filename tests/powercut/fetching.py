"""What runs when the power is cut: a process that fetches many files into a folder.

It serves them itself, over a real socket. Its output tells when each file was answered, as
``SECONDS NAME``. A fifth of them end early, or are cancelled: they must leave nothing.
"""

from __future__ import annotations

import hashlib
import ipaddress
import sys
import time
from random import Random

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import react

from tests.support.hostile_http import HostileServer, answer
from twisted_oob import Fetcher, FetchPolicy
from twisted_oob.errors import FetchFailed

AT_ONCE = 12


def body_of(name):
    """Give the contents of the file that has this name: its number says all about it."""
    random = Random(name)
    size = random.randrange(50_000, 200_000) if random.random() < 0.15 else random.randrange(4000)
    return random.randbytes(size)


def fails(name):
    """Tell whether the server ends the file early."""
    return hashlib.sha256(name.encode()).digest()[0] < 40


def _requested(connection):
    name = connection.line.split(" ")[1][1:]
    body = body_of(name)
    connection.write(answer(body, length=len(body) + fails(name)))
    if fails(name):
        connection.close()


async def _main(reactor, folder, seconds):
    web = HostileServer(reactor)
    web.requested = _requested
    policy = FetchPolicy(allow_networks=(ipaddress.ip_network("127.0.0.0/8"),))
    fetcher = Fetcher(reactor, policy, folder)
    until = time.monotonic() + seconds
    numbers = iter(range(1_000_000))

    async def lane():
        while time.monotonic() < until:
            name = f"file-{next(numbers)}.bin"
            fetching = fetcher.fetch(web.url(f"/{name}"))
            if Random(f"cancel {name}").random() < 0.1:
                reactor.callLater(Random(name).uniform(0, 0.02), fetching.cancel)
            try:
                fetched = await fetching
            except (FetchFailed, CancelledError):
                continue
            assert fetched.path.name == name
            sys.stdout.write(f"{time.monotonic()} {name}\n")

    await gatherResults([Deferred.fromCoroutine(lane()) for _ in range(AT_ONCE)])
    await fetcher.stop()
    await web.stop()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(_main(reactor, sys.argv[1], float(sys.argv[2]))))
