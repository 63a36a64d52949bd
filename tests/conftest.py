"""Fixtures that more than one file of tests uses."""

from __future__ import annotations

import gc

import pytest
import pytest_twisted
from hypothesis import settings
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.task import deferLater

from tests.servers.matrix import CELL, matrix
from tests.servers.servers import CERTIFICATE_NAMES, DOMAIN, SERVERS
from tests.support.certificates import Authority
from tests.support.network import Network
from tests.support.streams import logged
from tests.support.waiting import in_time

pytest_plugins = ["tests.support.hangs", "tests.support.parallel"]

# How long one example takes says more about the machine than about the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(autouse=True)
def _nothing_fails_unseen(request):
    """Fail the test that left a failed Deferred behind, not the one it is collected in."""
    from twisted.internet import reactor

    yield
    # What fixtures gave is held by pytest, and by pytest-twisted until the reactor has its turn.
    request.node.funcargs.clear()
    pytest_twisted.blockon(deferLater(reactor, 0))
    with logged():
        gc.collect()
    # What is left now is not looked through again, or this would take most of the time.
    gc.freeze()


@pytest.fixture
def log():
    """What is logged during the test; an exception in it that the test did not take fails it."""
    with logged() as events:
        yield events


@pytest_twisted.async_yield_fixture
async def network(tmp_path):
    """A Network that is not started yet; it is stopped after the test."""
    from twisted.internet import reactor

    folder = tmp_path / "landed"
    folder.mkdir()
    made = Network(reactor, folder)
    yield made
    # A test that failed may have left what never ends.
    await in_time(ensureDeferred(made.stop()))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """A certificate authority; nobody else trusts it."""
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def server_maker(certificates, tmp_path_factory):
    """Makes a server that is not started yet, by its name."""
    from twisted.internet import reactor

    certificate = certificates.issue(DOMAIN, names=CERTIFICATE_NAMES)

    def make(name):
        folder = tmp_path_factory.mktemp(name)
        return SERVERS[name](reactor, folder, certificate, certificates.file)

    return make


@pytest.fixture(scope="session")
def running_servers():
    """The servers that run, by their names; they stop when no more tests are to come."""
    running = {}
    yield running
    stopped = [ensureDeferred(each.stop()) for each in running.values()]
    pytest_twisted.blockon(gatherResults(stopped))


@pytest.fixture(scope="session", params=SERVERS)
def server(request, server_maker, running_servers):
    """A real server; each is started once, and must be left as it was found.

    Pytest ends what a fixture made for one of its parameters before it makes another; so this
    leaves that to another fixture.
    """
    name = request.param
    if name not in running_servers:
        made = server_maker(name)
        pytest_twisted.blockon(ensureDeferred(made.start()))
        running_servers[name] = made
    return running_servers[name]


def pytest_collection_modifyitems(items):
    """Let each report of a cell of the matrix know which cell it is."""
    for item in items:
        if item.path.stem == "test_interop":
            item.user_properties.append((CELL, (item.originalname, item.callspec.params)))


def pytest_terminal_summary(terminalreporter):
    """Print the matrix, where any of its tests ran."""
    for line in matrix(terminalreporter.stats):
        terminalreporter.write_line(line)
