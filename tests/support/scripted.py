"""A responder on a stream in memory, whose transfers end when the test says so."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import Clock

from tests.support.streams import URL, ClientWire, query, stanza
from twisted_oob import FetchedFile, OOBResponder

FRIEND = "friend@home.example/phone"
_FRIENDS = ("friend@home.example",)


class ScriptedFetcher:
    """In the place of a Fetcher: ``transfers`` has the Deferred of each, in order.

    ``infos`` and ``on_progress`` have what was given with each. ``outcome``: what each fetch fails
    with at once, if anything. ``stubborn``: whether it goes on when it is cancelled, until
    its transfer ends.
    """

    outcome = None
    stubborn = False

    def __init__(self):
        self.transfers = []
        self.urls = []
        self.infos = []
        self.on_progress = []

    def remove_leftovers(self):
        return 0

    def fetch(self, url, *, info=None, on_progress=None):
        self.urls.append(url)
        self.infos.append(info)
        self.on_progress.append(on_progress)
        if self.outcome is not None:
            raise self.outcome
        self.transfers.append(Deferred())
        if self.stubborn:
            return ensureDeferred(_stubborn(self.transfers[-1]))
        return self.transfers[-1]


async def _stubborn(transfer):
    ended = Deferred()
    transfer.addBoth(ended.callback)
    while not ended.called:
        waiter = Deferred()
        transfer.addBoth(lambda _, waiter=waiter: waiter.called or waiter.callback(None))
        with suppress(CancelledError):
            await waiter
    return await ended


def fetched():
    """Give what a Fetcher gives for a file."""
    return FetchedFile(path=Path("/a/file"), size=4, sha256="0" * 64, url=URL)


class Served:
    """A started responder on an open stream: ``clock``, ``fetcher``, ``end``, ``responder``.

    ``running``: all that tests have made and not stopped yet.
    """

    running: ClassVar[list[Served]] = []

    def __init__(
        self, *, allow_from=_FRIENDS, wire=ClientWire, start=True, direct=False, **options
    ):
        self.running.append(self)
        self.clock = Clock()
        self._offered = 0
        self.fetcher = ScriptedFetcher()
        self.responder = OOBResponder(
            self.fetcher, allow_from=allow_from, reactor=self.clock, **options
        )
        self.end = wire()
        self.handler = self.responder.attach(self.end.manager, direct=direct)
        if start:
            self.responder.startService()
        self.end.open()
        self.end.sent()

    def offer(self, sender=FRIEND, count=1, payload=None):
        """Let so many offers come, each of another file; gives how each was answered at once.

        With a payload, all have that one.
        """
        if payload is not None:
            return self.ask(payload, sender, count, kind="set")
        self.end.receive("".join(self._stanza(self._another(), sender) for _ in range(count)))
        return self.answers()

    def _another(self):
        """Give an offer of a file that nobody has offered: the first one's URL is URL."""
        self._offered += 1
        return query(URL if self._offered == 1 else f"{URL}?{self._offered}")

    def ask(self, payload, sender=FRIEND, count=1, kind="get"):
        """Let so many requests come in one piece; gives what is answered at once."""
        self.receive(payload, sender, count, kind=kind)
        return self.answers()

    def receive(self, payload, sender=FRIEND, count=1, *, kind="set"):
        """Let so many requests come in one piece."""
        self.end.receive(self._stanza(payload, sender, kind) * count)

    def _stanza(self, payload, sender, kind="set"):
        return stanza("iq", payload, type=kind, id="q", from_=sender, to=self.end.me)

    def answers(self):
        """Give each answer since the last look: its type, or the condition of its error."""
        return [condition(answer) or answer.get("type") for answer in self.end.sent()]


def condition(answer):
    """Give the condition of an error; None if it is no error."""
    error = answer.find("error")
    if error is None:
        return None
    return next(iter(error)).tag.partition("}")[2]
