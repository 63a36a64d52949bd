"""``twistd oob-responder`` as an operator runs it: a process, signals, exit statuses."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol

from tests.support.hostile_http import HostileServer, answer
from tests.support.network import DOMAIN, Sender

ROOT = Path(__file__).resolve().parents[2]
TWISTD = "import sys; sys.argv[0] = 'twistd'; from twisted.scripts.twistd import run; run()"


class Process(ProcessProtocol):
    """A twistd process whose output can be waited for."""

    def __init__(self, reactor, folder, *words):
        self.output = ""
        self.ended = Deferred()
        self._waiting = []
        self._reactor = reactor
        command = [sys.executable, "-c", TWISTD, "-n", "oob-responder", *words]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        reactor.spawnProcess(self, sys.executable, command, env=environment, path=str(folder))

    def outReceived(self, data):
        self.output += data.decode()
        for pattern, found in list(self._waiting):
            match = re.search(pattern, self.output)
            if match:
                self._waiting.remove((pattern, found))
                found.callback(match)

    errReceived = outReceived

    def processEnded(self, reason):
        self.status = reason.value.exitCode
        self.signal = reason.value.signal
        for pattern, found in self._waiting:
            found.errback(AssertionError(f"no {pattern!r} in:\n{self.output}"))
        self.ended.callback(None)

    def printed(self, pattern):
        """Wait for output that matches."""
        found = Deferred()
        self._waiting.append((pattern, found))
        self.outReceived(b"")
        return found.addTimeout(20, self._reactor)

    def kill(self, signal):
        self.transport.signalProcess(signal)

    def turn(self):
        """Let a moment pass, in which something outside can happen."""
        later = Deferred()
        self._reactor.callLater(0.01, later.callback, None)
        return later


class Operator:
    """Starts responders in a folder, and things around them."""

    def __init__(self, reactor, folder):
        self.reactor = reactor
        self.folder = folder
        self.landed = folder / "landed"
        self.web = HostileServer(reactor)
        self.processes = []
        self.senders = []

    def run(self, *words):
        process = Process(self.reactor, self.folder, *words)
        self.processes.append(process)
        return process

    async def start(self, *words):
        """Start a responder; gives its process and a sender on its router."""
        process = self.run(
            *("--listen", "tcp:0:interface=127.0.0.1", "--download-dir", "landed"),
            *("--secret-file", "secret", "--allow-network", "127.0.0.0/8", *words),
        )
        match = await process.printed(r"components connect to .*port=(\d+)")
        secret = (self.folder / "secret").read_text().strip()
        sender = Sender(int(match[1]), secret=secret)
        self.senders.append(sender)
        await sender.start()
        return process, sender

    async def stop(self):
        for sender in self.senders:
            sender.component.stopService()
            await sender.lost
        for process in self.processes:
            if not process.ended.called:
                process.kill("KILL")
                await process.ended
        await self.web.stop()


@pytest_twisted.async_yield_fixture
async def operator(tmp_path):
    from twisted.internet import reactor

    made = Operator(reactor, tmp_path)
    yield made
    await made.stop()


@pytest_twisted.ensureDeferred
async def test_sigterm_answers_removes_what_is_unfinished_and_closes_the_stream(operator):
    process, sender = await operator.start()
    fired = sender.oob.send_url(DOMAIN, operator.web.url())
    connection = await operator.web.arrivals.get()
    connection.write(answer(b"x" * 500_000, length=1_000_000))
    await process.printed("Offer from")
    began = operator.reactor.seconds()

    process.kill("TERM")

    answered = await fired
    await process.ended
    assert process.status == 0
    assert operator.reactor.seconds() - began < 5
    assert answered.error.condition == "resource-constraint"
    assert list(operator.landed.iterdir()) == []
    await sender.lost
    assert sorted(path.name for path in operator.folder.iterdir()) == ["landed", "secret"]
    secret = (operator.folder / "secret").read_text().strip()
    assert secret not in process.output
    assert "Traceback" not in process.output


@pytest_twisted.ensureDeferred
async def test_kill_leaves_no_visible_file_and_the_next_start_removes_the_hidden_one(operator):
    process, sender = await operator.start()
    sender.oob.send_url(DOMAIN, operator.web.url()).addErrback(lambda _: None)
    connection = await operator.web.arrivals.get()
    connection.write(answer(b"x" * 1_000_000, length=2_000_000))
    # The folder gets its file once the headers are in; a ping can't tell, so look.
    while not list(operator.landed.iterdir()):
        await process.turn()

    process.kill("KILL")
    await process.ended

    [hidden] = operator.landed.iterdir()
    assert hidden.name.startswith(".")
    (operator.folder / "twistd.pid").unlink()
    restarted, _sender = await operator.start()
    assert "Removed 1 unfinished" in restarted.output
    assert list(operator.landed.iterdir()) == []


@pytest_twisted.ensureDeferred
async def test_a_bad_value_is_one_line_and_status_1_before_anything_starts(operator):
    process = operator.run("--max-size", "1T")
    await process.ended
    assert process.status == 1
    [line] = process.output.splitlines()
    assert "--max-size '1T'" in line
    assert list(operator.folder.iterdir()) == []


@pytest_twisted.ensureDeferred
async def test_a_port_in_use_is_one_clear_line_and_status_1(operator):
    taken = f"tcp:{operator.web.port}:interface=127.0.0.1"
    process = operator.run("--listen", taken, "--secret-file", "secret")
    await process.ended
    assert process.status == 1
    [line] = [line for line in process.output.splitlines() if "Could not start" in line]
    assert str(operator.web.port) in line
    assert "Traceback" not in process.output


@pytest_twisted.ensureDeferred
async def test_the_demo_ends_as_expected_and_leaves_nothing(operator):
    process = operator.run("--demo")
    await process.ended
    assert process.status == 0, process.output
    lines = process.output.splitlines()
    assert lines[-1] == "demo: 4 of 4 as expected"
    assert [re.search(r": (None|not-found|reject), ", line)[1] for line in lines[:-1]] == [
        "None",
        "not-found",
        "not-found",
        "reject",
    ]
    assert list(operator.folder.iterdir()) == []


@pytest_twisted.ensureDeferred
async def test_a_demo_that_goes_wrong_has_another_status(operator, monkeypatch):
    hook = "import tempfile; tempfile.mkdtemp = lambda **_: '/dev/null/none'; "
    monkeypatch.setitem(globals(), "TWISTD", hook + TWISTD)
    process = operator.run("--demo")
    await process.ended
    assert process.status == 1
    assert "demo: failed" in process.output
