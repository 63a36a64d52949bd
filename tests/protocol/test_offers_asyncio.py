"""on_offer that returns what asyncio made, on the real asyncio reactor, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

SCRIPT = """
import asyncio, json, sys
from twisted.internet import asyncioreactor
loop = asyncio.new_event_loop()
asyncioreactor.install(loop)
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import globalLogPublisher
from twisted_oob import NotFound, OOBHandler
from twisted_oob.testing import MemoryServer, Peer

failures, ended = [], []
globalLogPublisher.addObserver(
    lambda event: event.get("log_failure") and failures.append(str(event["log_failure"].value))
)

async def fetch(url):
    try:
        await asyncio.sleep(0.01)
        if "gone" in url:
            raise NotFound("no such file")
        if "broken" in url:
            raise ValueError("mine")
        if "slow" in url:
            await asyncio.sleep(1000)
    except asyncio.CancelledError:
        ended.append("cancelled")
        raise

def on_offer(offer):
    if "future" in offer.url:
        future = loop.create_future()
        reactor.callLater(0.01, future.set_result, None)
        return future
    return loop.create_task(fetch(offer.url))

async def main():
    server = MemoryServer()
    end = server.client("me@example.org/laptop")
    OOBHandler(on_offer, reactor=server.clock).setHandlerParent(end)
    peer = Peer(end, "juliet@example.com/balcony")
    said = []
    for name in ("future", "task", "gone", "broken"):
        answer = await peer.offer("https://files.example/" + name)
        said.append(answer and [answer, answer.error.condition, answer.error.text])
    peer.offer("https://files.example/slow")
    await deferLater(reactor, 0.05)
    end.lose()
    await deferLater(reactor, 0.05)
    print(json.dumps({"said": said, "failures": failures, "ended": ended}))

def run():
    ensureDeferred(main()).addErrback(lambda failure: failure.printTraceback()).addBoth(
        lambda _: reactor.stop()
    )

reactor.callWhenRunning(run)
reactor.run()
"""


@pytest.fixture(scope="module")
def told():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_future_and_task_are_answered_at_their_end(told):
    assert told["said"][:2] == [None, None]


def test_stanza_error_of_a_task_is_the_answer(told):
    assert told["said"][2] == ["not-found", "item-not-found", "no such file"]


def test_other_exception_of_a_task_is_logged_and_is_internal_server_error(told):
    assert told["said"][3] == ["wait", "internal-server-error", None]
    assert told["failures"] == ["mine"]


def test_loss_of_the_stream_cancels_the_task(told):
    assert told["ended"] == ["cancelled"]
