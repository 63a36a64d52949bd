"""A terminal: what somebody types on it, and what it shows; a pytest plugin."""

from __future__ import annotations

import os
import pty

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

from tests.support.waiting import in_time


@implementer(IReadDescriptor)
class Terminal:
    """Both ends of a pseudo-terminal.

    ``descriptor`` is what a program has; ``shown`` is all that was written there so far.
    """

    def __init__(self, reactor):
        self._reactor = reactor
        self._outside, self.descriptor = pty.openpty()
        self.shown = ""
        self._wanted = []
        reactor.addReader(self)

    def types(self, text):
        os.write(self._outside, os.fsencode(text))

    def shows(self, words, times=1):
        """Fire as soon as something was shown so many times."""
        found = Deferred()
        self._wanted.append((words, times, found))
        self._look()
        return in_time(found, 5)

    def hang_up(self):
        """Take the terminal away from the program."""
        if self._outside is not None:
            self._reactor.removeReader(self)
            os.close(self._outside)
            self._outside = None

    def close(self):
        self.hang_up()
        os.close(self.descriptor)

    def fileno(self):
        return self._outside

    def logPrefix(self):
        return "terminal"

    def doRead(self):
        self.shown += os.read(self._outside, 65536).decode(errors="replace")
        self._look()

    def connectionLost(self, reason):
        self.hang_up()

    def _look(self):
        for wanted in list(self._wanted):
            words, times, found = wanted
            if self.shown.count(words) >= times:
                self._wanted.remove(wanted)
                found.callback(None)


@pytest.fixture
def terminal():
    from twisted.internet import reactor

    made = Terminal(reactor)
    yield made
    made.close()
