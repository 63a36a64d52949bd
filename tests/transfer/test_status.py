"""How a presence tells how busy a responder is, on a stream in memory; time is the test's."""

from __future__ import annotations

from tests.support.scripted import Served, fetched
from tests.support.streams import ClientWire, query
from twisted_oob import AllowList
from twisted_oob.transfer.chat_texts import ChatTexts
from twisted_oob.transfer.status import PresenceStatus
from twisted_oob.xmpp.presence import PresenceHandler


class Busy(Served):
    """A responder whose presence tells how busy it is."""

    def __init__(self, texts=None):
        super().__init__(wire=ClientWire)
        self.presence = PresenceHandler(AllowList([]), reactor=self.clock)
        PresenceStatus(self.responder.fetches, self.presence, texts)
        self.presence.setHandlerParent(self.end.manager)
        self.end.lose()
        self.end.open()

    def statuses(self):
        return [one.findtext("status") for one in self.end.sent() if one.tag == "presence"]


def test_it_is_ready_then_busy_then_ready_again():
    busy = Busy()
    assert busy.statuses() == ["ready"]
    busy.clock.advance(60)
    busy.offer(count=3)
    busy.clock.advance(60)
    while busy.fetcher.transfers:
        busy.fetcher.transfers.pop().callback(fetched())
    busy.clock.advance(60)
    assert busy.statuses() == ["busy: 3 transfers", "ready"]
    assert busy.clock.getDelayedCalls() == []


def test_an_application_has_its_own_texts_and_no_transfer_suffers_if_one_fails(log):
    class German(ChatTexts):
        def status(self, running):
            if running:
                raise ValueError("no words")
            return "bereit"

    busy = Busy(German())
    busy.receive(query())
    busy.clock.advance(60)
    busy.fetcher.transfers.pop().callback(fetched())
    busy.clock.advance(60)
    assert busy.statuses() == ["bereit", "busy: 1 transfer", "bereit"]
    assert [type(error) for error in log.failures()] == [ValueError]
