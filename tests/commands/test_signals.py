"""What signals do to a process that serves: before its reactor runs, and then."""

from __future__ import annotations

import shutil
import signal
import subprocess

import pytest
import pytest_twisted

from tests.support.processes import IN_CI, missing

pytest_plugins = ["tests.support.python_process"]

PRELUDE = """
import os, signal
from twisted.internet import reactor
from twisted_oob.commands.signals import ServiceSignals
def tell(*words):
    print(*words, flush=True)
signals = ServiceSignals(reactor)
signals.on_hangup = lambda: tell('hangup')
signals.on_rotate = lambda: tell('rotate')
signals.take_over()
"""
RUN = """
reactor.callWhenRunning(tell, 'running')
reactor.run()
print('end')
"""
SLOW_STOP = """
from twisted.internet.defer import Deferred
def stop():
    tell('stopping')
    return Deferred()
reactor.addSystemEventTrigger('before', 'shutdown', stop)
"""


@pytest.fixture
def run(python):
    return lambda code: python(PRELUDE + code)


@pytest.mark.parametrize("name", ["TERM", "INT"])
@pytest_twisted.ensureDeferred
async def test_an_end_like_any_other(run, name):
    program = run(RUN)
    await program.printed("running")
    program.kill("HUP")
    await program.printed("hangup")
    program.kill(signal.SIGUSR1)
    await program.printed("rotate")
    program.kill(name)
    assert await program.finished() == 0
    assert program.output.split() == ["running", "hangup", "rotate", "end"]


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (("HUP", "USR1"), ["running", "hangup", "rotate"]),
        (("TERM",), ["running", "end"]),
        (("INT",), ["running", "end"]),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_comes_before_the_reactor_runs_counts_then(run, sent, told):
    sends = "".join(f"os.kill(os.getpid(), signal.SIG{name})\n" for name in sent)
    program = run(sends + RUN)
    await program.printed(told[-1])
    if told[-1] != "end":
        program.kill("TERM")
    assert await program.finished() == 0
    assert program.output.split()[: len(told)] == told


@pytest_twisted.ensureDeferred
async def test_what_comes_while_the_reactor_takes_its_handlers_counts_then(run):
    moment = "signal.signal(signal.SIGTERM, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGTERM)"
    program = run(f"signals.hold()\n{moment}\n{RUN}")
    assert await program.finished() == 0
    assert program.output.split() == ["running", "end"]


@pytest.mark.parametrize(("first", "early"), [("TERM", False), ("INT", True)])
@pytest_twisted.ensureDeferred
async def test_a_second_one_ends_it_at_once(run, first, early):
    send = f"os.kill(os.getpid(), signal.SIG{first})\n" if early else ""
    program = run(SLOW_STOP + send + RUN)
    if not early:
        await program.printed("running")
        program.kill(first)
    await program.printed("stopping")
    program.kill("TERM")
    assert await program.finished() is None
    assert program.signal == 15
    assert "end" not in program.output


AS_THE_FIRST = """
import os, shutil, sys
unshare = shutil.which("unshare")
inside = [sys.executable, "-c", {code!r}]
os.execv(unshare, [unshare, "--map-root-user", "--pid", "--fork", "--kill-child", *inside])
"""


@pytest.mark.parametrize(("name", "status"), [("TERM", 143), ("INT", 130)])
@pytest_twisted.ensureDeferred
async def test_a_second_one_ends_the_first_process_of_a_container_too(python, name, status):
    if not made_as_the_first():
        missing("unshare --pid", "util-linux, and user namespaces")
    send = f"os.kill(os.getpid(), signal.SIG{name})"
    again = f"reactor.addSystemEventTrigger('before', 'shutdown', lambda: {send})\n"
    program = python(AS_THE_FIRST.format(code=PRELUDE + SLOW_STOP + again + send + RUN))
    assert await program.finished() == status
    assert "end" not in program.output


def made_as_the_first():
    """Whether a process can be the first one of a namespace here."""
    unshare = shutil.which("unshare")
    command = [unshare, "--map-root-user", "--pid", "--fork", "true"]
    return unshare is not None and subprocess.run(command, check=False).returncode == 0


@IN_CI
@pytest_twisted.ensureDeferred
async def test_one_that_comes_while_it_stops_already_is_no_error(run):
    program = run(
        "from twisted.internet.task import deferLater\n"
        "def stop():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return deferLater(reactor, 0.01)\n"
        "reactor.addSystemEventTrigger('before', 'shutdown', stop)\n"
        f"reactor.callWhenRunning(reactor.callLater, 0, reactor.stop)\n{RUN}"
    )
    assert await program.finished() == 0
    assert program.output.split() == ["running", "end"]


ON_TERMINAL = """
import pty
ours, theirs = pty.openpty()
for number in (0, 2):
    os.dup2(theirs, number)
os.close(theirs)
def close():
    os.close(ours)
    os.kill(os.getpid(), signal.SIGHUP)
reactor.callWhenRunning(close)
"""


@IN_CI
@pytest.mark.parametrize(("nohup", "told"), [(False, "end"), (True, "hangup")])
@pytest_twisted.ensureDeferred
async def test_a_terminal_that_is_closed_ends_it_unless_nohup_started_it(python, nohup, told):
    ignored = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" if nohup else ""
    program = python(ignored + PRELUDE + ON_TERMINAL + RUN)
    await program.printed(told)
    if nohup:
        program.kill("TERM")
    assert await program.finished() == 0
    assert ("hangup" in program.output) is nohup


@IN_CI
@pytest_twisted.ensureDeferred
async def test_ctrl_c_that_a_shell_ignores_for_us_stays_ignored(python):
    program = python(
        f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n{PRELUDE}"
        f"os.kill(os.getpid(), signal.SIGINT)\nreactor.callLater(0.05, tell, 'alive')\n{RUN}"
    )
    await program.printed("alive")
    program.kill("TERM")
    assert await program.finished() == 0
