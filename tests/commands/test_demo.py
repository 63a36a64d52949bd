"""The demonstration: what it reports, how it ends, and that it leaves nothing behind."""

from __future__ import annotations

import re
import tempfile

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import formatEvent
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from twisted_oob import FetchPolicy
from twisted_oob.commands import demo
from twisted_oob.commands.report import REPORT_NAMESPACE

from wokkel.component import Component  # isort: skip

pytest_plugins = ["tests.support.responders"]
# Twisted's own way to say that there is no such file.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:twisted.web.resource")

PATIENCE = 20


class Run:
    """A demonstration in this process; ``status`` is what it would end the process with."""

    def __init__(self, reactor, events):
        self._events = events
        self._reactor = reactor
        self._ended = Deferred()
        self.statuses = []
        self.demo = demo.Demo(reactor)

    def stop_with_status(self, reactor, status):
        assert reactor is self._reactor
        self.statuses.append(status)
        self._ended.callback(status)

    async def status(self):
        self.demo.startService()
        return await self._ended.addTimeout(PATIENCE, self._reactor)

    @property
    def lines(self):
        return [
            formatEvent(event)
            for event in self._events
            if event.get("log_namespace") == REPORT_NAMESPACE
        ]

    def ends(self):
        """Give what each offer ended with."""
        ends = r": (None|not-found|reject|received|timeout), \d"
        return [re.search(ends, line)[1] for line in self.lines[:5]]


@pytest.fixture
def run(log, monkeypatch, tmp_path):
    """A Run that is not started yet; its temporary files are made in ``tmp_path``."""
    from twisted.internet import reactor

    made = Run(reactor, log)
    monkeypatch.setattr(demo, "stop_with_status", made.stop_with_status)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    class SenderComponent(Component):
        def __init__(self, *args):
            super().__init__(*args)
            made.sender = self

    monkeypatch.setattr("wokkel.component.Component", SenderComponent)
    return made


class Silent(Resource):
    """Takes a request, and never answers it."""

    isLeaf = True
    asked = None

    def render_GET(self, request):
        if self.asked is not None:
            self.asked.callback(None)
        return NOT_DONE_YET


@pytest_twisted.ensureDeferred
async def test_every_offer_ends_as_it_should(run, tmp_path):
    assert await run.status() == 0
    line = r"demo: (.*) http://.*: [a-zN-]+, (\d+\.\d\d) s"
    told = [re.match(line, one) for one in run.lines[:5]]
    assert [one[1] for one in told] == [
        "a file of 16 MiB",
        "a file that is not there",
        "a file cut short",
        "a forbidden address",
        "the same file, shared by FileSender",
    ]
    assert all(float(one[2]) < demo.TIME_LIMIT for one in told)
    assert run.ends() == ["None", "not-found", "not-found", "reject", "received"]
    same = [re.search(r"\d s, (same SHA-256 [0-9a-f]{16}\.\.\.)$", run.lines[n]) for n in (0, 4)]
    assert same[0][1] == same[1][1]
    # Who reads the report must not be able to read the file.
    assert re.search(r" http://127\.0\.0\.1:\d+/\.\.\.: received, ", run.lines[4])
    assert demo.FILE_SIZE == 16 * 2**20
    assert all(line.endswith(" s") for line in run.lines[1:3])
    assert run.lines[3].endswith(" s, no connection tried")
    assert run.lines[5:] == ["demo: 5 of 5 as expected"]
    assert "expected" not in "".join(run.lines[:5])
    assert list(tmp_path.iterdir()) == []


@pytest_twisted.ensureDeferred
async def test_every_socket_is_closed_and_nobody_connects_again(run):
    before = set(run._reactor.getReaders())
    assert await run.status() == 0
    # The ends of connections that the other end has closed show in the reactor's next turns.
    for _ in range(100):
        left = set(run._reactor.getReaders()) - before
        if not left:
            break
        await deferLater(run._reactor, 0.01)
    assert left == set()
    assert not run.sender.running


@pytest_twisted.ensureDeferred
async def test_an_offer_that_ends_otherwise_is_told_and_has_another_status(
    run, monkeypatch, tmp_path
):
    class Whole(Resource):
        isLeaf = True

        def render_GET(self, request):
            return b"whole"

    monkeypatch.setattr(demo, "_CutShort", Whole)
    assert await run.status() == 1
    assert run.ends() == ["None", "not-found", "None", "reject", "received"]
    assert run.lines[2].endswith(" s -- expected not-found")
    assert run.lines[5:] == ["demo: 4 of 5 as expected"]
    assert list(tmp_path.iterdir()) == []


@pytest_twisted.ensureDeferred
async def test_a_file_that_differs_is_not_as_expected(run, monkeypatch):
    monkeypatch.setattr(demo, "compare_files", lambda served, landed: (False, "not the same"))
    assert await run.status() == 1
    assert run.lines[0].endswith(" s, not the same -- expected None")
    assert run.lines[4].endswith(" s, not the same -- expected received")
    assert run.lines[5:] == ["demo: 3 of 5 as expected"]


@pytest_twisted.ensureDeferred
async def test_a_connection_to_the_forbidden_address_is_not_as_expected(run, monkeypatch):
    monkeypatch.setattr(demo, "FORBIDDEN", "127.0.0.1:2")
    monkeypatch.setattr(demo, "REJECT", "not-found")

    class Watched(demo._WatchedReactor):
        def __init__(self, reactor, connected_to):
            super().__init__(reactor, connected_to)
            connected_to.add("127.0.0.1:2")

    monkeypatch.setattr(demo, "_WatchedReactor", Watched)
    assert await run.status() == 1
    assert run.lines[3].endswith(", a connection was tried -- expected not-found")


@pytest_twisted.ensureDeferred
async def test_an_error_is_logged_and_has_another_status(run, log, monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "FILE_SIZE", -1)
    assert await run.status() == 1
    assert run.lines == ["demo: failed"]
    assert [type(failure) for failure in log.failures()] == [ValueError]
    assert list(tmp_path.iterdir()) == []


@pytest_twisted.ensureDeferred
async def test_it_takes_no_longer_than_its_limit(run, log, monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "_CutShort", Silent)
    # The transfer itself has time.
    monkeypatch.setattr(demo, "FetchPolicy", lambda **given: FetchPolicy(**given | {"timeout": 60}))
    monkeypatch.setattr(demo, "TIME_LIMIT", 1.0)
    assert await run.status() == 1
    assert run.lines[-1] == "demo: failed"
    [error] = log.failures()
    assert "1.0" in str(error)
    assert list(tmp_path.iterdir()) == []


@pytest_twisted.ensureDeferred
async def test_stopping_cuts_it_short_and_removes_everything(run, monkeypatch, tmp_path):
    asked = Deferred()
    monkeypatch.setattr(demo, "_CutShort", Silent)
    monkeypatch.setattr(Silent, "asked", asked)
    run.demo.startService()
    await asked.addTimeout(PATIENCE, run._reactor)
    assert len(list(tmp_path.iterdir())) == 1

    await maybeDeferred(run.demo.stopService).addTimeout(PATIENCE, run._reactor)

    assert list(tmp_path.iterdir()) == []
    assert run.lines[-1] == "demo: stopped before its end"
    # Whoever stopped it knows; the process ends as it would have.
    assert run.statuses == []


@pytest_twisted.ensureDeferred
async def test_stopping_after_the_end_has_nothing_left_to_do(run):
    assert await run.status() == 0
    assert run.demo.stopService() is None
    assert run.demo.stopService() is None


def test_files_are_compared(tmp_path):
    served, landed = tmp_path / "served", tmp_path / "landed"
    served.write_bytes(b"a file")
    landed.mkdir()
    assert demo.compare_files(served, landed) == (False, "0 files landed")
    (landed / "one").write_bytes(b"a file")
    good, note = demo.compare_files(served, landed)
    assert good
    assert note == "same SHA-256 7365d029861e32c5..."
    (landed / "one").write_bytes(b"another")
    good, note = demo.compare_files(served, landed)
    assert not good
    assert re.fullmatch(r"SHA-256 (\w{64}) differs from (?!\1)\w{64}", note)
    (landed / "two").write_bytes(b"a file")
    assert demo.compare_files(served, landed) == (False, "2 files landed")


def test_a_watched_reactor_notes_hosts_and_is_the_reactor_in_all_else():
    class Reactor:
        def connectTCP(self, host, port, factory, timeout=30):
            return host, port, factory, timeout

        def seconds(self):
            return 7

    hosts = set()
    watched = demo._WatchedReactor(Reactor(), hosts)
    assert watched.connectTCP("192.0.2.1", 80, "factory", timeout=3) == (
        ("192.0.2.1", 80, "factory", 3)
    )
    assert watched.seconds() == 7
    assert hosts == {"192.0.2.1"}


@pytest_twisted.ensureDeferred
async def test_an_operator_sees_the_report_and_nothing_else(operator):
    process = operator.run("--demo", environment={"TMPDIR": str(operator.folder)})
    assert await process.finished() == 0, process.output
    lines = process.output.splitlines()
    assert len(lines) == 6
    assert all(line.startswith("demo: ") for line in lines)
    assert lines[-1] == "demo: 5 of 5 as expected"
    assert list(operator.folder.iterdir()) == []


@pytest_twisted.ensureDeferred
async def test_a_demo_that_goes_wrong_has_another_status(operator):
    hook = "import tempfile; tempfile.mkdtemp = lambda **_: '/dev/null/none'; "
    process = operator.run("--demo", before=hook)
    assert await process.finished() == 1
    assert "demo: failed" in process.output
