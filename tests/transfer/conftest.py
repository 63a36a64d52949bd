"""Upload services for tests, whose connections are all closed by the client in the end."""

from __future__ import annotations

import pytest_twisted

from tests.support.fetching import end
from tests.support.slot_service import Setting


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
