"""One floods, ten are polite: over real sockets, with a web server that answers when it is told."""

from __future__ import annotations

import pytest_twisted
from twisted.internet.defer import gatherResults

from tests.support.hostile_http import answer
from tests.support.network import DOMAIN, SENDER
from tests.transfer.test_responder import ping

POLITE = 10


class Crowd:
    """Senders at one component, and a web server whose transfers take steps that the test makes."""

    def __init__(self, network):
        self.network = network
        self.running = []

    def offer(self, user, path):
        oob = self.network.senders[0].oob
        return oob.send_url(DOMAIN, self.network.web.url(f"/{path}"), sender=f"{user}@{SENDER}")

    def flood(self, count=80):
        return [self.offer("flood", f"flood{number}") for number in range(count)]

    def polite(self):
        return [self.offer(f"polite{number}", f"polite{number}") for number in range(POLITE)]

    async def begun(self, count):
        """Wait until so many transfers run; gives who they are of."""
        while len(self.running) < count:
            self.running.append(await self.network.web.arrivals.get())
        return [self.who(one) for one in self.running]

    @staticmethod
    def who(connection):
        return connection.line.split("/")[1].split()[0].rstrip("0123456789")

    def end(self, who):
        """Let the transfers of these senders end that run now."""
        ending = [one for one in self.running if self.who(one) in who]
        self.running = [one for one in self.running if one not in ending]
        for one in ending:
            one.write(answer(b"file"))


@pytest_twisted.async_yield_fixture
async def crowd(network):
    await network.start()
    yield Crowd(network)


@pytest_twisted.ensureDeferred
async def test_what_a_flood_holds_for_ever_costs_the_polite_no_more_than_one_transfer(crowd):
    flood = crowd.flood()
    assert await crowd.begun(4) == ["flood"] * 4
    # Four run and 32 wait; the others are told at once.
    told = await gatherResults(flood[36:])
    assert {(one.error.condition, one.error.type) for one in told} == {
        ("resource-constraint", "wait")
    }
    polite = crowd.polite()
    steps = 0
    for running in (4, 4, 2):
        await crowd.begun(4 + running)
        crowd.end({"polite"})
        steps += 1
    await gatherResults(polite)
    # Alone, the ten would take two steps of eight at once.
    assert steps == 3
    assert not any(offer.called for offer in flood[:36])
    assert sum(name.startswith("polite") for name in crowd.network.files()) == POLITE


@pytest_twisted.ensureDeferred
async def test_a_flood_of_quick_files_gets_its_turns_among_the_others(crowd):
    flood = crowd.flood(36)
    await crowd.begun(4)
    polite = crowd.polite()
    await crowd.begun(8)
    await ping(crowd.network.senders[0])
    crowd.end({"flood", "polite"})
    # The polite ones that waited are first; the flood has what is left.
    assert sorted(await crowd.begun(8)) == ["flood"] * 2 + ["polite"] * 6
    # The server looks for an answer after it has told us of the last arrival.
    await ping(crowd.network.senders[0])
    crowd.network.web.answers += [answer(b"file")] * 30
    crowd.end({"flood", "polite"})
    assert await gatherResults([*polite, *flood]) == [None] * 46


@pytest_twisted.ensureDeferred
async def test_with_one_transfer_at_a_time_each_waits_for_one_of_the_flood(network):
    sender = await network.start(limits={"concurrency": 1})
    crowd = Crowd(network)
    flood = crowd.flood(5)
    await crowd.begun(1)
    friend = crowd.offer("friend", "friend")
    await ping(sender)
    crowd.end({"flood"})
    assert await crowd.begun(1) == ["friend"]
    crowd.end({"friend"})
    assert await friend is None
    assert sum(offer.called for offer in flood) == 1
