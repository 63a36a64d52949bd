"""A test that hangs fails by its name, and the tests after it run.

pytest-timeout measures the time. Its own ways to end a test don't fit: the exception of its signal
comes out of the reactor, which ends the reactor and with it every later test; its thread ends the
process, names no test and leaves the servers running.
"""

from __future__ import annotations

import signal

import greenlet
import pytest

# Seconds until the alarm rings again. A reactor that is silent so long is what hangs.
AGAIN = 2


class _Alarm:
    """Fails one test, at the place where it hangs, and again until it ends."""

    def __init__(self, reactor, text, timeout):
        self._reactor = reactor
        self._text = text
        # pytest-twisted runs a test in the reactor's greenlet. This one, pytest's, waits for it.
        self._pytest = greenlet.getcurrent()
        self._asked = self._over = False
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, timeout, AGAIN)

    def _ring(self, _signal, _frame):
        asked, self._asked = self._asked, not self._asked
        if asked:
            pytest.fail(self._text)
        self._reactor.callFromThread(self._end_the_wait)

    def _end_the_wait(self):
        self._asked = False
        if self._over:
            return
        # To throw into the greenlet would be simpler. But if what it waits for fires after that,
        # pytest-twisted takes it for the end of the next test, and so on with all that follow.
        waited_for = self._pytest.gr_frame.f_locals["d"]
        waited_for.errback(pytest.fail.Exception(self._text))

    def cancel(self):
        self._over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item, settings):
    """Set the alarm in the place of pytest-timeout's own, which cancels either."""
    from twisted.internet import reactor

    text = f"{item.nodeid} did not end within {settings.timeout:g} seconds"
    item.cancel_timeout = _Alarm(reactor, text, settings.timeout).cancel
    return True
