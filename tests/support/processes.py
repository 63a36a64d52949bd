"""Programs, as processes that print lines."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol

ROOT = Path(__file__).resolve().parents[2]


def missing(what, package):
    """End a test that needs a program which is not there: skipped, or failed where it must be."""
    text = f"{what} is not installed; it comes with {package}"
    if os.environ.get("OOB_REQUIRE_SERVERS") == "1":
        pytest.fail(text)
    pytest.skip(text)


class Program(ProcessProtocol):
    """A program in the foreground. What it prints is kept, and can be waited for."""

    patience = 20

    def __init__(self, reactor, command, folder, *, environment=None):
        self.output = ""
        self.ended = Deferred()
        self._reactor = reactor
        self._waiting = []
        environment = os.environ | (environment or {})
        reactor.spawnProcess(self, command[0], command, env=environment, path=str(folder))

    def outReceived(self, data):
        self.output += data.decode(errors="replace")
        for wanted in list(self._waiting):
            pattern, found = wanted
            match = re.search(pattern, self.output, re.MULTILINE)
            if match:
                self._waiting.remove(wanted)
                found.callback(match)

    errReceived = outReceived

    def processEnded(self, reason):
        waiting, self._waiting = self._waiting, []
        for pattern, found in waiting:
            found.errback(self._ended_without(pattern))
        self.ended.callback(None)

    def _ended_without(self, pattern):
        return AssertionError(f"ended without {pattern!r}, having said:\n{self.output}")

    def printed(self, pattern):
        """Wait for output that matches; gives the match. Fails where the program ends."""
        found = Deferred()
        self._waiting.append((pattern, found))
        self.outReceived(b"")
        if self.ended.called and not found.called:
            return fail(self._ended_without(pattern))
        return found.addTimeout(self.patience, self._reactor)

    async def stop(self):
        """End it, by TERM, and by KILL where that does not do; gives when it is gone."""
        self._signal("TERM")
        kill = self._reactor.callLater(5, self._signal, "KILL")
        await self.ended
        if kill.active():
            kill.cancel()

    def _signal(self, name):
        try:
            self.transport.signalProcess(name)
        except ProcessExitedAlready:
            pass


def started(stack, *words):
    """Start Python for the time of an ExitStack; the test reads its stdout and stderr."""
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    stack.enter_context(process)
    stack.callback(process.kill)
    # What it never says is at an end then, too.
    impatient = threading.Timer(20, process.kill)
    impatient.start()
    stack.callback(impatient.cancel)
    return process
