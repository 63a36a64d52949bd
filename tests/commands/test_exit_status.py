"""Exit statuses: of processes with a reactor, as whoever started them sees it."""

from __future__ import annotations

import pytest
import pytest_twisted

from twisted_oob.commands.exit_status import CanNotStart

pytest_plugins = ["tests.support.python_process"]


PRELUDE = "from twisted.internet import reactor; from twisted_oob.commands import exit_status\n"


@pytest.fixture
def run(python):
    """Run Python that has a reactor and both functions; gives its Program."""
    return lambda code: python(PRELUDE + code)


@pytest.mark.parametrize("status", [0, 1, 255])
@pytest_twisted.ensureDeferred
async def test_a_status_given_before_the_reactor_runs(run, status):
    program = run(f"exit_status.stop_with_status(reactor, {status}); reactor.run(); print('end')")
    assert await program.finished() == status
    assert program.output == "end\n"


@pytest_twisted.ensureDeferred
async def test_a_status_given_while_the_reactor_runs(run):
    program = run("reactor.callLater(0, exit_status.stop_with_status, reactor, 3); reactor.run()")
    assert await program.finished() == 3


@pytest_twisted.ensureDeferred
async def test_a_reactor_that_something_else_stops_is_no_error(run):
    program = run(
        "exit_status.stop_with_status(reactor, 3)\n"
        "exit_status.stop_with_status(reactor, 4)\n"
        "reactor.callWhenRunning(lambda: None)\n"
        "reactor.run()"
    )
    # The last one given is the one that counts.
    assert await program.finished() == 4
    assert program.output == ""


@pytest_twisted.ensureDeferred
async def test_services_are_stopped_and_what_is_buffered_is_written(run):
    program = run(
        "import sys\n"
        "reactor.addSystemEventTrigger('before', 'shutdown', sys.stdout.write, 'stopped')\n"
        "reactor.addSystemEventTrigger('before', 'shutdown', sys.stderr.write, 'too')\n"
        "exit_status.stop_with_status(reactor, 3); reactor.run()"
    )
    assert await program.finished() == 3
    assert sorted(program.output) == sorted("stopped" + "too")


@pytest_twisted.ensureDeferred
async def test_a_daemon_has_no_output_to_write(run):
    program = run(
        "import sys; sys.__stdout__ = sys.__stderr__ = None\n"
        "exit_status.stop_with_status(reactor, 3); reactor.run()"
    )
    assert await program.finished() == 3
    assert program.output == ""


def test_a_daemon_that_can_not_start_is_an_exit_that_twistd_hears_of():
    with pytest.raises(SystemExit) as raised:
        raise CanNotStart("the port is taken")
    assert isinstance(raised.value, Exception)
    assert (raised.value.code, str(raised.value)) == (1, "the port is taken")
