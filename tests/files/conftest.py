"""A watchdog for the tests of files: what hangs, fails."""

from __future__ import annotations

import faulthandler
import os

import pytest
import pytest_twisted
from twisted.internet.task import deferLater

LONG = 60  # seconds; every test fails by itself long before, unless a thread never ends


@pytest.fixture(scope="session")
def stderr(request):
    """Where this process writes its errors, and not where pytest keeps those of a test."""
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        file = os.fdopen(os.dup(2), "w")
    yield file
    file.close()


@pytest.fixture(autouse=True)
def _nothing_runs_for_ever(stderr):
    """End the run, and show where each thread is, if a test or a thread it began does not end.

    Nothing gentler helps: neither a loop in the main thread nor one in a thread of the reactor's
    pool can be stopped, and the reactor waits for its threads before it stops itself.
    """
    from twisted.internet import reactor

    faulthandler.dump_traceback_later(LONG, exit=True, file=stderr)
    yield
    while reactor.getThreadPool().working:
        pytest_twisted.blockon(deferLater(reactor, 0.001))
    faulthandler.cancel_dump_traceback_later()
