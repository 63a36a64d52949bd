"""Programs as processes: what they print can be waited for, and how they end."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol

ROOT = Path(__file__).resolve().parents[2]
IN_CI = pytest.mark.skipif(
    os.environ.get("OOB_REQUIRE_SERVERS") != "1",
    reason="takes long: only with OOB_REQUIRE_SERVERS=1",
)


def missing(what, package):
    """Skip a test whose program is not installed; fail it if OOB_REQUIRE_SERVERS is 1."""
    text = f"{what} is not installed; it comes with {package}"
    if os.environ.get("OOB_REQUIRE_SERVERS") == "1":
        pytest.fail(text)
    pytest.skip(text)


def free_port():
    """Give a port of this machine that nothing has at the moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Program(ProcessProtocol):
    """A program in the foreground, on a terminal of its own if ``terminal`` is true.

    ``output``: what it printed on stdout and stderr so far. ``status`` and ``signal``: how it
    ended, once ``ended`` has fired.
    """

    patience = 20

    def __init__(self, reactor, command, folder, *, environment=None, terminal=False):
        self.output = ""
        self.ended = Deferred()
        self._reactor = reactor
        self._waiting = []
        environment = os.environ | (environment or {})
        reactor.spawnProcess(
            self, command[0], command, env=environment, path=str(folder), usePTY=terminal
        )

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
        self.status = reason.value.exitCode
        self.signal = reason.value.signal
        waiting, self._waiting = self._waiting, []
        for pattern, found in waiting:
            found.errback(self._ended_without(pattern))
        self.ended.callback(None)

    def _ended_without(self, pattern):
        return AssertionError(f"ended without {pattern!r}, having said:\n{self.output}")

    def printed(self, pattern):
        """Wait for output that matches, and give the match. Fails if the program ends before."""
        found = Deferred()
        self._waiting.append((pattern, found))
        self.outReceived(b"")
        if self.ended.called and not found.called:
            return fail(self._ended_without(pattern))
        return found.addTimeout(self.patience, self._reactor)

    def finished(self):
        """Wait until it has ended by itself, and give its exit status."""
        finished = Deferred()

        def tell(_):
            if not finished.called:
                finished.callback(self.status)

        self.ended.addCallback(tell)
        return finished.addTimeout(self.patience, self._reactor)

    def types(self, text):
        """Type on its terminal."""
        self.transport.write(text.encode())

    async def stop(self):
        """End it with TERM, or with KILL if that is not enough, and wait until it is gone."""
        self.kill("TERM")
        kill = self._reactor.callLater(5, self.kill, "KILL")
        await self.ended
        if kill.active():
            kill.cancel()

    def kill(self, name):
        """Send it a signal, unless it has ended."""
        try:
            self.transport.signalProcess(name)
        except ProcessExitedAlready:
            pass


def started(stack, *words):
    """Start Python until an ExitStack ends; the test has its stdin, stdout and stderr."""
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    stack.enter_context(process)
    stack.callback(process.kill)
    # A test that waits for what it never says gets the end of its output instead.
    impatient = threading.Timer(20, process.kill)
    impatient.start()
    stack.callback(impatient.cancel)
    return process
