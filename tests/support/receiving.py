"""A Receiver on a stream in memory, whose questions and transfers end when the test says so."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.words.xish.domish import Element

from tests.support.scripted import ScriptedFetcher
from tests.support.streams import outcome
from twisted_oob.testing import MemoryServer, Peer
from twisted_oob.transfer.arrivals import OFFER
from twisted_oob.transfer.receiver import Receiver

ME = "me@example.org/laptop"
PEER = "juliet@example.com/balcony"
URL = "https://files.example/a.png"
DOMAIN = "files.example.org"


class Receiving:
    """A Receiver that is started, and a peer.

    ``asked``: an (Arrival, Deferred) for each question, unless ``decision`` answers it at once.
    ``told``: what ``tell`` got.
    """

    def __init__(self, *, me=ME, decision=None, fetcher=None, clock=None, **options):
        self.server = MemoryServer(clock)
        self.clock = self.server.clock
        self.end = (self.server.client if "@" in me else self.server.component)(me)
        self.fetcher = fetcher or ScriptedFetcher()
        self.decision = decision
        self.asked = []
        self.told = []
        self.receiver = Receiver(
            self.fetcher,
            **{"accept": self.accept, "tell": self.told.append, "reactor": self.clock} | options,
        )
        self.handler = self.receiver.attach(self.end)
        self.receiver.startService()
        self.peer = Peer(self.end, PEER)

    def accept(self, arrival):
        question = Deferred()
        self.asked.append((arrival, question))
        if self.decision is not None:
            question.callback(self.decision)
        return question

    def message(self, url=URL, *, sender=None, children=(), **attributes):
        """Let a message with a URL come; an attribute that is None is left out."""
        message = Element((None, "message"))
        attributes = {"to": self.end.jid.full(), "type": "chat"} | attributes
        for name, value in attributes.items():
            if value is not None:
                message[name] = value
        message.addElement("body", content=url)
        message.addElement(("jabber:x:oob", "x")).addElement("url", content=url)
        for child in children:
            message.addElement(child)
        if sender is None:
            self.peer.end.send(message)
        else:
            message["from"] = sender
            self.end.receive(message.toXml())

    def transfer(self, number=-1):
        """Give the Deferred of a transfer; by default the latest."""
        return self.fetcher.transfers[number]

    def conditions(self):
        """Give, of all that was told, how it ended."""
        return [getattr(one, "condition", "received") for one in self.told]


def arrive(given, kind, url=URL):
    """Let an offer or a message come; gives the answer to the offer."""
    if kind == OFFER:
        return given.peer.offer(url, "A picture")
    given.message(url)
    return None


def condition(answer):
    """Give the condition of an answer's error; None for a result. It can be asked once."""
    told = outcome(answer)
    return None if told is None else told.error.condition


def is_told_to_wait(answer):
    """Whether the answer is resource-constraint, type wait. It can be asked once."""
    error = outcome(answer).error
    return (error.condition, error.type) == ("resource-constraint", "wait")
