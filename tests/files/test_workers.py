"""Threads of our own, real ones."""

from __future__ import annotations

import os
import threading
import weakref

import pytest
from twisted.internet.defer import CancelledError

from tests.support.fetching import failure_of, step
from tests.support.waiting import until
from twisted_oob.errors import NoRoom
from twisted_oob.files.workers import Workers

pytest_plugins = ["tests.support.python_process"]


@pytest.fixture
def workers(request):
    from twisted.internet import reactor

    return Workers(reactor, 2, request.node.name)


@pytest.fixture
def held(workers):
    """Two jobs that keep both threads until they are let go."""

    class Held:
        def __init__(self):
            self.entered = 0
            self._go_on = threading.Event()
            self.jobs = [workers.run(self.wait) for _ in range(2)]

        def wait(self):
            self.entered += 1
            assert self._go_on.wait(10)
            return "held"

        def go_on(self):
            self._go_on.set()

    held = Held()
    yield held
    held.go_on()


def no_thread(self):
    raise RuntimeError("can't start new thread")


@step
async def test_a_call_runs_in_a_daemon_thread_and_its_result_comes_to_the_reactor(request, workers):
    def call(*args, **kwargs):
        thread = threading.current_thread()
        return thread.daemon, thread.name, args, kwargs

    got = workers.run(call, 1, two=2)
    got.addCallback(lambda result: (*result, threading.current_thread()))
    assert await got == (True, request.node.name, (1,), {"two": 2}, threading.main_thread())


@step
async def test_an_error_comes_too(workers):
    error = await failure_of(workers.run(os.stat, "/nowhere"), OSError)
    assert error.filename == "/nowhere"


@step
async def test_no_more_threads_than_allowed_and_the_rest_waits_in_order(request, workers, held):
    order = []
    waiting = [workers.run(order.append, number) for number in range(20)]
    await until(lambda: held.entered == 2)
    assert order == []
    assert sum(thread.name == request.node.name for thread in threading.enumerate()) == 2
    held.go_on()
    for each in [*held.jobs, *waiting]:
        await each
    assert sorted(order) == list(range(20))


@step
async def test_one_thread_is_enough_for_one_call_after_the_other(workers):
    threads = {await workers.run(threading.get_ident) for _ in range(20)}
    await until(lambda: workers._threads._idle)
    threads |= {await workers.run(threading.get_ident)}
    assert len(threads) <= 2


@step
async def test_a_thread_ends_that_has_nothing_to_do(workers):
    workers._threads._idle_time = 0.001
    thread = await workers.run(threading.current_thread)
    await until(lambda: not thread.is_alive())
    assert await workers.run(threading.current_thread) is not thread


@pytest.mark.parametrize("way", ["take_back", "cancel"])
@step
async def test_a_call_that_waits_can_be_taken_back(workers, held, way):
    calls = []
    gone, stays = (workers.run(calls.append, name) for name in ("gone", "stays"))
    await until(lambda: held.entered == 2)
    if way == "cancel":
        gone.cancel()
    else:
        assert workers.take_back(gone)
        assert not workers.take_back(gone)
    await failure_of(gone, CancelledError)
    held.go_on()
    await stays
    assert calls == ["stays"]
    assert not workers.take_back(stays)


@step
async def test_a_call_that_runs_cannot_be_taken_back_and_its_result_is_dropped(workers, held):
    first, second = held.jobs
    await until(lambda: held.entered == 2)
    assert not workers.take_back(first)
    first.cancel()
    await failure_of(first, CancelledError)
    held.go_on()
    assert await second == "held"


@step
async def test_no_thread_is_to_be_had(workers, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        error = await failure_of(workers.run(int), NoRoom)
        assert error.detail == "can't start new thread"
    assert await workers.run(int) == 0


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
@step
async def test_what_would_end_a_thread_is_an_error_of_its_call(workers, kind):
    def die():
        raise kind

    for _ in range(5):
        error = await failure_of(workers.run(die), RuntimeError)
        assert isinstance(error.__cause__, kind)
    assert await workers.run(int) == 0


DEADLY = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class Deadly:
    """A job that ends its thread, as whatever we did not think of might."""

    def run(self):
        raise SystemExit


@DEADLY
@step
async def test_a_thread_that_dies_is_replaced(workers, held):
    threads = workers._threads
    for _ in range(2):
        threads.start(Deadly())
    waiting = workers.run(int)
    held.go_on()
    assert await waiting == 0
    for _ in range(10):
        threads.start(Deadly())
        assert await workers.run(int) == 0
    await until(lambda: threads._count <= 2)


@DEADLY
@step
async def test_a_thread_that_dies_while_no_other_is_to_be_had_is_replaced_later(
    workers, held, monkeypatch
):
    threads = workers._threads
    await until(lambda: held.entered == 2)
    for _ in range(2):
        threads.start(Deadly())
    waiting = workers.run(int)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        held.go_on()
        await until(lambda: threads._count == 0)
    assert await workers.run(float) == 0.0
    assert await waiting == 0


@step
async def test_a_thread_keeps_nothing_of_its_last_call(workers):
    class Piece(bytearray):
        pass

    piece = Piece(b"x")
    gone = weakref.ref(piece)
    assert await workers.run(len, piece) == 1
    del piece
    await until(lambda: gone() is None)


FORKED = """
import os, sys, threading
from twisted.internet import reactor
from twisted_oob.files.workers import Workers

workers = Workers(reactor, 1, "worker")

def forked(_):
    if child := os.fork():
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print("child:", status)
        reactor.stop()
        return
    done = threading.Event()
    workers.run(done.set)
    os._exit(0 if done.wait(5) else 1)

reactor.callWhenRunning(lambda: workers.run(int).addCallback(forked))
reactor.run()
"""


@step
async def test_a_forked_child_has_threads_of_its_own(python):
    program = python(FORKED)
    assert await program.finished() == 0
    assert program.output.endswith("child: 0\n")  # newer versions of Python warn of it before


HANGING = """
import threading
from twisted.internet import reactor
from twisted_oob.files.workers import Workers

workers = Workers(reactor, 2, "worker")
reactor.callWhenRunning(lambda: workers.run(threading.Event().wait))
reactor.callWhenRunning(lambda: workers.run(int).addCallback(lambda _: reactor.stop()))
reactor.run()
print("stopped")
"""


@step
async def test_a_process_ends_whatever_its_threads_wait_for(python):
    program = python(HANGING)
    assert await program.finished() == 0
    assert program.output == "stopped\n"
