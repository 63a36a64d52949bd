"""Fixtures for tests of streams and of the way to a server."""

from __future__ import annotations

import pytest
import pytest_twisted

from tests.support.components import SECRET, Server
from tests.support.locating import Attempts, Names
from tests.support.streams import logged


@pytest.fixture
def events():
    """What was logged; never a traceback, and never the secret of the components."""
    with logged() as seen:
        yield seen
        assert not [event for event in seen if SECRET in repr(event)]


@pytest_twisted.async_yield_fixture
async def components(events):
    """A server for components; after the test, nothing may be left of any."""
    from twisted.internet import reactor

    made = Server(reactor)
    await made.start()
    yield made
    await made.stop()


@pytest_twisted.async_yield_fixture
async def names():
    from twisted.internet import reactor

    made = Names(reactor)
    yield made
    await made.stop()


@pytest.fixture
def attempts(monkeypatch):
    return Attempts(monkeypatch)
