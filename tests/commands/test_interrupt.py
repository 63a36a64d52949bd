"""Signals: what they do to a command, seen as whoever started its process sees it."""

from __future__ import annotations

from textwrap import indent

import pytest
import pytest_twisted

pytest_plugins = ["tests.support.python_process"]

PRELUDE = """
import os, signal, sys
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted_oob.commands import interrupt
from twisted_oob.commands.events import OutputClosed
def say(text):
    print(text, flush=True)
"""


@pytest.fixture
def run(python):
    """Run Python that has a ``main``; gives its Program."""

    def start(code, first=""):
        main = "async def main(reactor):\n" + indent(code, "    ")
        return python(f"{PRELUDE}\n{first}\n{main}\ninterrupt.run(main)")

    return start


@pytest_twisted.ensureDeferred
async def test_what_it_returns_is_the_exit_status(run):
    program = run("await deferLater(reactor, 0)\nreturn 4")
    assert await program.finished() == 4
    assert program.output == ""


WAIT = """
try:
    reactor.callLater(0, say, 'running')
    await Deferred()
finally:
    say('cleaning')
    await deferLater(reactor, 0.01)
    say('clean')
"""


@pytest_twisted.ensureDeferred
async def test_a_signal_cancels_it_and_waits_for_its_end(run):
    expected = {"INT": 130, "TERM": 143, "HUP": 129}
    # All at once: to start a process is what takes time.
    programs = {name: run(WAIT) for name in expected}
    for name, program in programs.items():
        await program.printed("running")
        program.kill(name)
    for name, program in programs.items():
        assert await program.finished() == expected[name]
        assert program.output == "running\ncleaning\nclean\n"


@pytest_twisted.ensureDeferred
async def test_a_signal_before_the_reactor_runs_counts_then(run):
    program = run("os.kill(os.getpid(), signal.SIGINT)" + WAIT)
    assert await program.finished() == 130
    assert [line for line in program.output.split() if line != "running"] == ["cleaning", "clean"]


@pytest_twisted.ensureDeferred
async def test_what_an_interrupted_command_fails_with_does_not_matter(run):
    program = run(
        "try:\n    reactor.callLater(0, say, 'running')\n    await Deferred()\n"
        "except BaseException:\n    raise ValueError('cancelled') from None"
    )
    await program.printed("running")
    program.kill("INT")
    assert await program.finished() == 130
    assert program.output == "running\n"


@pytest_twisted.ensureDeferred
async def test_a_second_signal_ends_it_at_once(run):
    program = run(WAIT.replace("deferLater(reactor, 0.01)", "Deferred()"))
    await program.printed("running")
    program.kill("TERM")
    await program.printed("cleaning")
    program.kill("INT")
    assert await program.finished() == 130
    assert program.output == "running\ncleaning\n"


@pytest_twisted.ensureDeferred
async def test_what_hangs_is_not_waited_for_long(run):
    hanging = [
        # A thread of the reactor's is waited for when the reactor stops.
        "import threading\nreactor.callInThread(threading.Event().wait)\nawait Deferred()",
        "while True: pass",
    ]
    programs = [
        run(
            "reactor.callLater(0, say, 'running')\nawait deferLater(reactor, 0.01)\n"
            "try:\n    await deferLater(reactor, 60)\nfinally:\n" + indent(code, "    "),
            first="interrupt.STOP_LIMIT = 0.2",
        )
        for code in hanging
    ]
    for program in programs:
        await program.printed("running")
        program.kill("INT")
    for program in programs:
        assert await program.finished() == 130


@pytest_twisted.ensureDeferred
async def test_a_closed_output_ends_it_quietly(run):
    program = run("raise OutputClosed")
    assert await program.finished() == 141
    assert program.output == ""


@pytest_twisted.ensureDeferred
async def test_a_fault_is_shown(run):
    program = run("raise ZeroDivisionError")
    assert await program.finished() == 1
    assert "ZeroDivisionError" in program.output


@pytest_twisted.ensureDeferred
async def test_nohup_is_respected(run):
    program = run(
        "reactor.callLater(0.01, os.kill, os.getpid(), signal.SIGHUP)\n"
        "await deferLater(reactor, 0.05)\nreturn 0",
        first="signal.signal(signal.SIGHUP, signal.SIG_IGN)",
    )
    assert await program.finished() == 0
