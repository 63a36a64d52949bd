"""What has connections in tests: upload services, which the client leaves, and shares."""

from __future__ import annotations

import pytest
import pytest_twisted

from tests.support.chats import Chat
from tests.support.fetching import end
from tests.support.scripted import Served
from tests.support.sharing import NetShare
from tests.support.slot_service import Setting

_GRACE = 1000  # seconds; more than any test gives a responder


@pytest.fixture(autouse=True)
def _fetching_ends():
    """Stop what fetches: what is left of it would end whenever it is collected."""
    yield
    while Chat.running:
        Chat.running.pop().responder.stopService()
    while Served.running:
        served = Served.running.pop()
        served.responder.stopService()
        served.clock.advance(_GRACE)


@pytest_twisted.async_yield_fixture
async def uploads():
    """Makes Settings. Afterwards nothing may be left to be called."""
    from twisted.internet import reactor  # no reactor before a test wants one

    settings = []

    def make(**options):
        settings.append(Setting(reactor, **options))
        return settings[-1]

    yield make
    for setting in settings:
        await end(setting.web)
        assert setting.clock.getDelayedCalls() == []


@pytest_twisted.async_yield_fixture
async def net():
    """A share on loopback. Afterwards it leaves nothing to be called."""
    from twisted.internet import reactor

    net = NetShare(reactor)
    await net.start()
    yield net
    await net.stop()
    assert net.clock.getDelayedCalls() == []
