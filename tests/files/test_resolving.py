"""Looking names up, in real threads, with a getaddrinfo that does what a test wants."""

from __future__ import annotations

import errno
import socket
import threading
from ipaddress import ip_address

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, DeferredList
from twisted.internet.task import Clock

from tests.support.fetching import ends_of, failure_of, step
from tests.support.waiting import until
from twisted_oob.errors import FetchFailed, NoRoom
from twisted_oob.files import resolving
from twisted_oob.files.resolving import resolve
from twisted_oob.files.workers import Threads

pytest_plugins = ["tests.support.python_process"]


@pytest.fixture
def reactor():
    from twisted.internet import reactor

    return reactor


@pytest.fixture
def threads(monkeypatch):
    """Threads that nobody has used yet."""
    fresh = Threads(128, "twisted_oob lookup")
    monkeypatch.setattr(resolving, "_threads", fresh)
    return fresh


class Names:
    """Stands for getaddrinfo: ``answers`` has addresses or an error by name.

    A name that is not there hangs until the test ends.
    """

    def __init__(self):
        self.answers = {}
        self.asked = []
        self.answered = 0
        self._go_on = threading.Event()

    def getaddrinfo(self, host, port, **options):
        self.asked.append(host)
        if host not in self.answers:
            assert self._go_on.wait(20)
        self.answered += 1
        answer = self.answers.get(host, [])
        if isinstance(answer, BaseException):
            raise answer
        return [(socket.AF_INET, options["type"], 6, "", (address, port)) for address in answer]

    def go_on(self):
        self._go_on.set()


@pytest.fixture
def names(monkeypatch):
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    yield names
    names.go_on()


class Installed:
    """A reactor on which somebody has installed a resolver; ``answer`` is what it finds."""

    def __init__(self, *answer):
        self.answer = answer
        self.asked = []
        self.receivers = []

    @property
    def nameResolver(self):
        return self

    def resolveHostName(self, receiver, hostName, portNumber=0):
        self.asked.append((hostName, portNumber))
        self.receivers.append(receiver)
        receiver.resolutionBegan(None)
        for address in self.answer:
            receiver.addressResolved(address)


# --- what is asked


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"])
def test_a_literal_address_is_its_own_answer(names, host):
    assert ends_of(resolve(None, host, 80)) == [[ip_address(host)]]
    assert names.asked == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "files.test", "files.test."])
@step
async def test_everything_else_is_for_getaddrinfo_as_it_is(reactor, names, host):
    names.answers[host] = ["192.0.2.1"]
    assert await resolve(reactor, host, 80) == [ip_address("192.0.2.1")]
    assert names.asked == [host]


@step
async def test_all_addresses_come_in_their_order_each_once(reactor, names):
    names.answers["files.test"] = ["192.0.2.2", "2001:db8::1", "192.0.2.2", "192.0.2.1"]
    found = await resolve(reactor, "files.test", 80)
    assert list(map(str, found)) == ["192.0.2.2", "2001:db8::1", "192.0.2.1"]


@step
async def test_the_systems_own_getaddrinfo(reactor):
    assert await resolve(reactor, "2130706433", 80) == [ip_address("127.0.0.1")]
    await failure_of(resolve(reactor, "nobody.invalid", 80), FetchFailed)


def test_a_resolver_that_somebody_installed_is_asked_instead(names):
    reactor = Installed(IPv6Address("TCP", "2001:db8::1", 80), IPv4Address("TCP", "192.0.2.1", 80))
    found = ends_of(resolve(reactor, "files.test", 80))
    assert not found
    reactor.receivers[0].resolutionComplete()
    assert found == [[ip_address("2001:db8::1"), ip_address("192.0.2.1")]]
    assert reactor.asked == [("files.test", 80)]
    assert names.asked == []


@step
async def test_a_resolver_that_somebody_installed_finds_nothing():
    reactor = Installed()
    looking = resolve(reactor, "files.test", 80)
    reactor.receivers[0].resolutionComplete()
    assert (await failure_of(looking, FetchFailed)).text == "the host was not found"


@step
async def test_a_resolver_that_somebody_installed_answers_after_a_cancellation():
    reactor = Installed(IPv4Address("TCP", "192.0.2.1", 80))
    looking = resolve(reactor, "files.test", 80)
    looking.cancel()
    reactor.receivers[0].resolutionComplete()
    await failure_of(looking, CancelledError)


# --- what goes wrong


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), FetchFailed, "the host was not found"),
        (socket.gaierror(socket.EAI_AGAIN, "later"), FetchFailed, "the host was not found"),
        (UnicodeError("label too long"), FetchFailed, "the host was not found"),
        (OSError(errno.EIO, "broken"), FetchFailed, "the host was not found"),
        (SystemExit(), FetchFailed, "the host was not found"),
        ([], FetchFailed, "the host was not found"),
        (["nonsense"], FetchFailed, "the host was not found"),
        (socket.gaierror(socket.EAI_MEMORY, "memory"), NoRoom, "no room for the file now"),
        (MemoryError(), NoRoom, "no room for the file now"),
        (OSError(errno.EMFILE, "too many"), NoRoom, "no room for the file now"),
        (OSError(errno.ENFILE, "too many"), NoRoom, "no room for the file now"),
    ],
)
@step
async def test_what_goes_wrong(*, reactor, names, answer, kind, text):
    names.answers["files.test"] = answer
    error = await failure_of(resolve(reactor, "files.test", 80), kind)
    assert error.text == text


@step
async def test_descriptors_that_are_used_up_are_no_host_that_is_not_found(
    reactor, names, monkeypatch
):
    def no_socket(*args, **kwargs):
        raise OSError(errno.EMFILE, "too many")

    def look_up(*args, **kwargs):
        monkeypatch.setattr(resolving.socket, "socket", no_socket)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    looking = resolve(reactor, "files.test", 80)
    await failure_of(looking, NoRoom)
    await failure_of(resolve(reactor, "files.test", 80), NoRoom)


@step
async def test_no_thread_is_to_be_had(*, reactor, names, threads, monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        await failure_of(resolve(reactor, "files.test", 80), NoRoom)
    names.answers["files.test"] = ["192.0.2.1"]
    await resolve(reactor, "files.test", 80)
    assert names.asked == ["files.test"]


# --- threads


@step
async def test_the_reactors_threads_have_nothing_to_do_with_it(reactor, names, threads):
    before = len(reactor.getThreadPool().threads)
    looking = [resolve(reactor, f"{number}.test", 80) for number in range(30)]
    await until(lambda: len(names.asked) == 30)
    assert len(reactor.getThreadPool().threads) == before
    for each in looking:
        each.cancel()
    await DeferredList(looking, consumeErrors=True)


@step
async def test_one_thread_is_enough_for_one_lookup_after_the_other(reactor, names, threads):
    names.answers["files.test"] = ["192.0.2.1"]
    for _ in range(20):
        await resolve(reactor, "files.test", 80)
        await until(lambda: threads._idle)
    assert threads._count == 1


@step
async def test_a_thread_ends_that_has_nothing_to_do(*, reactor, names, threads, monkeypatch):
    monkeypatch.setattr(threads, "_idle_time", 0.001)
    names.answers["files.test"] = ["192.0.2.1"]
    await resolve(reactor, "files.test", 80)
    await until(lambda: not threads._count)
    await resolve(reactor, "files.test", 80)


@step
async def test_a_lookup_waits_while_all_128_threads_hang(reactor, names, threads):
    hanging = [resolve(reactor, f"{number}.test", 80) for number in range(128)]
    await until(lambda: len(names.asked) == 128)
    for each in hanging:
        each.cancel()  # nobody wants them any more, and they keep their threads all the same
    names.answers |= {"first.test": ["192.0.2.1"], "second.test": ["192.0.2.2"]}
    first, gone, second = (
        resolve(reactor, name, 80) for name in ("first.test", "gone.test", "second.test")
    )
    gone.cancel()
    assert (threads._count, len(threads._waiting)) == (128, 2)
    names.go_on()
    assert await first == [ip_address("192.0.2.1")]
    assert await second == [ip_address("192.0.2.2")]
    assert sorted(names.asked[128:]) == ["first.test", "second.test"]
    await DeferredList([*hanging, gone], consumeErrors=True)


def test_nobody_waits_longer_than_ten_seconds_for_a_thread(names, threads, monkeypatch):
    monkeypatch.setattr(threads, "_most", 0)
    clock = Clock()
    ends = ends_of(waiting := resolve(clock, "files.test", 80))
    clock.advance(9.9)
    assert not ends
    clock.advance(0.1)
    [failure] = ends
    assert failure.check(NoRoom)
    assert clock.getDelayedCalls() == []
    assert not threads._waiting
    waiting.addErrback(lambda _: None)


# --- the end of the process

HANGING = """
import socket, threading
from twisted.internet import reactor
from twisted_oob.files.resolving import resolve

entered, go_on, for_ever = threading.Semaphore(0), threading.Event(), threading.Event()

def hang(host, *args, **options):
    entered.release()
    (go_on if host == "late.test" else for_ever).wait()
    return []

def wait_and_stop():
    entered.acquire()
    entered.acquire()
    reactor.callFromThread(reactor.stop)

socket.getaddrinfo = hang
late, never = [], []
reactor.callWhenRunning(lambda: late.append(resolve(reactor, "late.test", 80)))
reactor.callWhenRunning(lambda: never.append(resolve(reactor, "never.test", 80)))
reactor.callInThread(wait_and_stop)
reactor.run()
go_on.set()
for thread in threading.enumerate():
    if thread.name == "twisted_oob lookup":
        thread.join(0.05)
print("late:", late[0].called, "never:", never[0].called)
"""


@step
async def test_a_process_ends_at_once_and_quietly_whatever_lookups_do(python):
    program = python(HANGING)
    assert await program.finished() == 0
    assert program.output == "late: False never: False\n"
