"""Thousands of transfers that fail, are cancelled or run into limits at any moment."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import threading
from collections import Counter
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.support.chaos import MOST, ChaosServer, FolderWatcher, plan
from tests.support.fetching import HTTP_ERRORS, descriptors_in
from tests.support.processes import IN_CI
from tests.support.waiting import until
from twisted_oob import Fetcher, FetchPolicy

LOOPBACK = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128")))
AT_ONCE = 24
MOST_THREADS = 64  # more than these transfers need; fewer than one for each transfer that ended
SEED = os.environ.get("OOB_CHAOS_SEED", "14")  # of a run that is to be repeated


class Chaos:
    """Runs the transfers. ``told``: the path of each success, with the number of its plan."""

    def __init__(self, reactor, folder, server, count):
        self.told = {}
        self.outcomes = Counter()
        self.most_threads = 0
        self._reactor = reactor
        self._folder = folder
        self._server = server
        self._numbers = iter(range(count))
        policy = {"allow_networks": LOOPBACK, "max_size": MOST}
        self.fetchers = {
            False: Fetcher(reactor, FetchPolicy(**policy, timeout=50, stall_timeout=10), folder),
            True: Fetcher(reactor, FetchPolicy(**policy, timeout=0.03, stall_timeout=0.02), folder),
        }

    async def run(self):
        lanes = [Deferred.fromCoroutine(self._lane()) for _ in range(AT_ONCE)]
        await gatherResults(lanes, consumeErrors=True)
        for fetcher in self.fetchers.values():
            await fetcher.stop()

    async def _lane(self):
        for number in self._numbers:
            self._server.plans[number] = one = plan(SEED, number)
            outcome = await self._outcome(one)
            self._judge(one, outcome)
            # One that the disk held up past its limit is told as such, and how it ended later.
            later = getattr(outcome, "later", None)
            if later is not None:
                self._judge(one, await later.addErrback(lambda failure: failure.value))
            self.most_threads = max(self.most_threads, threading.active_count())
            del self._server.plans[number]

    async def _outcome(self, one):
        """Fetch, cancel as planned, and give the file or the error."""
        ended, outcomes, timers = Deferred(), [], []

        def cancel_soon(seconds):
            timers.append(self._reactor.callLater(seconds, fetching.cancel))

        def came(received, length):
            if one.cancel is not None and one.cancel[0] and received == len(one.body):
                cancel_soon(one.cancel[1])

        def fired(result):
            outcomes.append(getattr(result, "value", result))
            self._reactor.callLater(0, ended.callback, None)

        fetcher = self.fetchers[one.hasty]
        fetching = fetcher.fetch(self._server.url(one), info=one.info, on_progress=came)
        fetching.addBoth(fired)
        if one.cancel is not None and not one.cancel[0]:
            cancel_soon(one.cancel[1])
        await ended
        for timer in timers:
            if timer.active():
                timer.cancel()
        fetching.cancel()  # too late for anything
        [outcome] = outcomes
        return outcome

    def _judge(self, one, outcome):
        if isinstance(outcome, BaseException):
            self.outcomes[type(outcome).__name__] += 1
            allowed = HTTP_ERRORS if one.cancel is None else (*HTTP_ERRORS, CancelledError)
            assert isinstance(outcome, allowed), (one, outcome)
            assert not one.must_succeed, (one, outcome)
            return
        self.outcomes["success"] += 1
        assert one.may_succeed, one
        assert outcome.path.parent == self._folder
        assert outcome.path not in self.told, one
        self.told[outcome.path] = one.number
        assert outcome.path.read_bytes() == one.body, one
        assert outcome.sha256 == hashlib.sha256(one.body).hexdigest()
        assert outcome.size == len(one.body)


def _descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=IN_CI)])
@pytest_twisted.ensureDeferred
async def test_chaos_leaves_only_whole_files_that_were_told(count, folder, log):
    from twisted.internet import reactor

    server = ChaosServer(reactor)
    # The reactor opens some when it starts, and when it first listens.
    await deferLater(reactor, 0)
    descriptors = _descriptors() - 1  # without the one that listens
    calls, threads = set(reactor.getDelayedCalls()), threading.active_count()
    watcher = FolderWatcher(reactor, folder)
    chaos = Chaos(reactor, folder, server, count)
    try:
        await chaos.run()
    finally:
        watcher.stop()
        await server.stop()
    told = {path.name: number for path, number in chaos.told.items()}
    assert sorted(watcher.appeared) == sorted(told)
    assert watcher.gone == []
    for name, number in told.items():
        # Whoever saw the name, saw the whole file at once.
        assert watcher.contents[name] == hashlib.sha256(plan(SEED, number).body).hexdigest()
    assert {path.name for path in folder.iterdir()} == set(told)
    assert descriptors_in(folder) == []
    assert set(reactor.getDelayedCalls()) <= calls
    await until(lambda: _descriptors() <= descriptors)
    assert chaos.most_threads <= threads + MOST_THREADS
    # Each kind of end must have been there often, or this has proved little.
    assert chaos.outcomes["success"] > count / 4
    assert chaos.outcomes["CancelledError"] > count / 20
    assert chaos.outcomes["FetchFailed"] > count / 10
