"""Fixtures that more than one file of tests uses."""

from __future__ import annotations

import pytest
import pytest_twisted

from tests.network import Network
from tests.streams import logged


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
    await made.stop()
