"""How a responder stops and starts: the grace, to the second, and what is answered meanwhile."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.logger import formatEvent

from tests.support.hostile_http import answer
from tests.support.network import DOMAIN
from tests.transfer.test_responder import ping
from twisted_oob import ServedStream


@pytest.fixture
def clock(network):
    """The clock that the network's responder tells the time with."""
    network.clock = Clock()
    return network.clock


def conditions(outcomes):
    return [(one.error.condition, one.error.type) for one in outcomes]


STOPPING = ("resource-constraint", "wait")


@pytest_twisted.ensureDeferred
async def test_stopping_answers_every_offer_and_removes_what_is_unfinished(network):
    sender = await network.start(limits={"concurrency": 1})
    offers = [sender.oob.send_url(DOMAIN, network.web.url(f"/{n}")) for n in range(3)]
    connection = await network.web.arrivals.get()
    connection.write(answer(b"half", length=8))
    await ping(sender)

    await network.embedded.stop()

    told = await gatherResults(offers)
    assert conditions(told) == [STOPPING] * 3
    assert {one.error.text for one in told} == {"the responder is stopping; try again later"}
    assert network.files() == {}
    await connection.lost
    await sender.lost


@pytest_twisted.ensureDeferred
async def test_stopping_without_offers_is_done_at_once(network):
    await network.start(limits={"grace": 30})
    for _ in range(2):
        assert network.responder.stopService().called
        assert not network.responder.running


@pytest_twisted.ensureDeferred
async def test_running_transfers_finish_within_the_grace_and_no_other_begins(network, log):
    sender = await network.start(limits={"concurrency": 1, "grace": 30})
    runs, waits = (sender.oob.send_url(DOMAIN, network.web.url(f"/{n}")) for n in range(2))
    connection = await network.web.arrivals.get()

    stopped = network.responder.stopService()
    comes = sender.oob.send_url(DOMAIN, network.web.url("/late"))
    assert conditions(await gatherResults([waits, comes])) == [STOPPING] * 2
    assert not runs.called
    assert not stopped.called
    assert "Stopping; 1 transfer has 30 s to finish" in map(formatEvent, log)

    connection.write(answer(b"file"))
    assert await runs is None
    await stopped
    assert network.files() == {"0": b"file"}
    assert len(network.web.connections) == 1


@pytest_twisted.ensureDeferred
async def test_the_answer_is_sent_before_the_stop_is_over(network, clock):
    sender = await network.start(limits={"grace": 30})
    runs = sender.oob.send_url(DOMAIN, network.web.url())
    connection = await network.web.arrivals.get()
    stopped = network.responder.stopService()
    connection.write(answer(b"file"))
    assert await runs is None
    # Whoever waits for the stop may close the stream in the next moment.
    assert not stopped.called
    clock.advance(0)
    assert stopped.called
    assert clock.getDelayedCalls() == []


@pytest_twisted.ensureDeferred
async def test_what_outlasts_the_grace_is_cancelled_and_answered(network, clock):
    sender = await network.start(limits={"grace": 30})
    fired = sender.oob.send_url(DOMAIN, network.web.url())
    connection = await network.web.arrivals.get()

    stopped = network.responder.stopService()
    clock.advance(29.75)
    await ping(sender)
    assert not fired.called
    assert not connection.lost.called
    clock.advance(0.25)

    assert conditions([await fired]) == [STOPPING]
    await connection.lost
    clock.advance(0)
    assert stopped.called
    assert network.files() == {}
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("limits", [{}, {"grace": 0}, {"grace": 0.0}])
@pytest_twisted.ensureDeferred
async def test_without_a_grace_nothing_is_waited_for(network, clock, limits):
    sender = await network.start(limits=limits)
    fired = sender.oob.send_url(DOMAIN, network.web.url())
    await network.web.arrivals.get()
    network.responder.stopService()
    assert conditions([await fired]) == [STOPPING]


@pytest_twisted.ensureDeferred
async def test_a_second_stop_neither_begins_the_grace_anew_nor_ends_it(network, clock):
    sender = await network.start(limits={"grace": 30})
    fired = sender.oob.send_url(DOMAIN, network.web.url())
    await network.web.arrivals.get()

    stops = [network.responder.stopService()]
    clock.advance(20)
    stops.append(network.responder.stopService())
    clock.advance(9)
    await ping(sender)
    assert not fired.called
    clock.advance(1)

    assert conditions([await fired]) == [STOPPING]
    clock.advance(0)
    assert [stop.called for stop in stops] == [True, True]


@pytest_twisted.ensureDeferred
async def test_what_runs_goes_on_when_it_is_started_again_within_the_grace(network, clock):
    sender = await network.start(limits={"grace": 30})
    runs = sender.oob.send_url(DOMAIN, network.web.url("/a"))
    connection = await network.web.arrivals.get()
    await ping(sender)
    stopped = network.responder.stopService()
    clock.advance(10)

    network.responder.startService()

    assert network.responder.running
    clock.advance(1000)
    network.web.answers.append(answer(b"new"))
    assert await sender.oob.send_url(DOMAIN, network.web.url("/b")) is None
    assert not runs.called
    connection.write(answer(b"old"))
    assert await runs is None
    clock.advance(0)
    assert stopped.called
    assert network.files() == {"a": b"old", "b": b"new"}


@pytest_twisted.ensureDeferred
async def test_it_can_be_stopped_again_after_it_was_started_again(network, clock):
    sender = await network.start(limits={"grace": 30})
    for _ in range(2):
        runs = sender.oob.send_url(DOMAIN, network.web.url())
        await network.web.arrivals.get()
        stopped = network.responder.stopService()
        clock.advance(30)
        assert conditions([await runs]) == [STOPPING]
        clock.advance(0)
        assert stopped.called
        network.responder.startService()
    network.web.answers.append(answer(b"file"))
    assert await sender.oob.send_url(DOMAIN, network.web.url()) is None


@pytest_twisted.ensureDeferred
async def test_leftovers_of_a_killed_process_are_removed_at_start(network, log):
    leftover = network.folder / f".oob-{'0' * 32}.part"
    leftover.write_bytes(b"half")

    await network.start()
    network.responder.startService()

    assert not leftover.exists()
    lines = [line for line in map(formatEvent, log) if "unfinished" in line]
    assert lines == ["Removed 1 unfinished file of an earlier run"]


class Part(Service):
    """Notes when it is started and stopped; it has stopped when ``stopped`` fires."""

    def __init__(self, name, calls, stopped=None):
        self.part, self.calls, self.stopped = name, calls, stopped

    def startService(self):
        Service.startService(self)
        self.calls.append(f"start {self.part}")

    def stopService(self):
        Service.stopService(self)
        self.calls.append(f"stop {self.part}")
        return self.stopped


def test_a_served_stream_stops_its_responder_first():
    calls, answered, closed = [], Deferred(), Deferred()
    served = ServedStream(Part("responder", calls, answered), Part("stream", calls, closed))
    served.startService()
    assert served.running
    ends = []
    served.stopService().addCallback(ends.append)
    assert not served.running
    assert calls == ["start responder", "start stream", "stop responder"]
    answered.callback(None)
    assert calls[3:] == ["stop stream"]
    assert ends == []
    closed.callback(None)
    assert ends == [None]


def test_a_served_stream_that_is_started_again_within_the_grace_keeps_its_stream():
    calls, answered, closed = [], Deferred(), Deferred()
    served = ServedStream(Part("responder", calls, answered), Part("stream", calls, closed))
    served.startService()
    ends = []
    served.stopService().addCallback(ends.append)
    served.startService()
    answered.callback(None)
    assert calls == ["start responder", "start stream", "stop responder", "start responder"]
    assert ends == [None]
    assert served.running
