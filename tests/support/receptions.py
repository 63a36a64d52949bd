"""What ``oob receive`` does in the reactor, and who sends to it; a pytest plugin."""

from __future__ import annotations

import json
import os
import sys
from functools import partial

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, ensureDeferred

from tests.support.hostile_http import HostileServer
from tests.support.network import Sender
from tests.support.processes import free_port
from tests.support.waiting import in_time
from twisted_oob.commands.connection import Connection
from twisted_oob.commands.modes import EMBEDDED
from twisted_oob.commands.output import Output
from twisted_oob.commands.reception import Terms, receive_all
from twisted_oob.commands.start import guarded

USUAL = {
    "senders": (),
    "yes": False,
    "asks": False,
    "count": None,
    "max_size": 1_000_000,
    "networks": (),
    "denied": (),
    "timeout": 20.0,
    "min_rate": 0,
    "user_agent": "tests",
    "file_mode": 0o600,
    "dir_mode": 0o700,
}


class Heard(Output):
    """An Output whose lines can be waited for."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.lines = []
        self._waiting = []

    def _write(self, text):
        self.lines.append(text)
        super()._write(text)
        waiting, self._waiting = self._waiting, []
        for words, found in waiting:
            self._look(words, found)

    def heard(self, words):
        found = Deferred()
        self._look(words, found)
        return in_time(found)

    def _look(self, words, found):
        for line in self.lines:
            if words in line:
                found.callback(line)
                return
        self._waiting.append((words, found))


class Receptions:
    """Receives as the command does, in ``folder``, which does not exist before.

    ``web``: a HostileServer that files come from. ``ended``: fires with the exit status.
    """

    def __init__(self, reactor, place, capfd, monkeypatch):
        self.reactor = reactor
        self.place = place
        self.folder = place / "new" / "landed"
        self.secret_file = place / "secret"
        self.port = free_port()
        self.web = HostileServer(reactor)
        self.ended = None
        self.output = None
        self._capfd = capfd
        self._monkeypatch = monkeypatch
        self._senders = []
        self._terminal = []

    def begin(
        self, *, connection=None, secret=None, quiet=False, as_json=True, terminal=None, **terms
    ):
        """Begin to receive, at a terminal if one is given."""
        if terminal is not None:
            terms["asks"] = True
            # Not before: pytest puts its own in their place as a test begins.
            for name, mode in (("stdin", "r"), ("stderr", "w")):
                self._terminal.append(os.fdopen(os.dup(terminal.descriptor), mode))
                self._monkeypatch.setattr(sys, name, self._terminal[-1])
        connection = connection or Connection(
            EMBEDDED, domain="receive-x.localhost", port=self.port, secret_file=self.secret_file
        )
        self.output = Heard("oob receive", as_json=as_json, quiet=quiet)
        terms = Terms(folder=self.folder, **USUAL | terms)
        main = partial(receive_all, terms, connection, secret, self.output)
        self.ended = ensureDeferred(guarded(main, self.output, self.reactor))
        return self.ended

    async def start(self, **options):
        """Begin to receive, and give a sender once files can come."""
        self.begin(**options)
        await self.output.heard("waiting for files")
        return await self.sender()

    async def sender(self, domain="sender.localhost", secret=None):
        secret = secret or self.secret_file.read_text().strip()
        sender = Sender(self.port, domain, secret)
        self._senders.append(sender)
        await in_time(sender.start())
        return sender.oob

    async def stop(self):
        for sender in self._senders:
            await sender.stop()
        if self.ended is not None and not self.ended.called:
            self.ended.addErrback(lambda _: None)
            self.ended.cancel()
            await in_time(self.ended)
        self._monkeypatch.undo()
        for file in self._terminal:
            file.close()
        await self.web.stop()

    def files(self):
        """Give what landed."""
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def left(self):
        """Give the names of everything that there is, folders and all."""
        return sorted(path.name for path in self.place.rglob("*"))

    def events(self):
        """Give the events until now."""
        return [json.loads(line) for line in self._capfd.readouterr().out.splitlines()]


@pytest.fixture
def receptions(tmp_path, capfd, monkeypatch):
    from twisted.internet import reactor

    place = tmp_path / "place"
    place.mkdir()
    made = Receptions(reactor, place, capfd, monkeypatch)
    yield made
    pytest_twisted.blockon(Deferred.fromCoroutine(made.stop()))
