"""RequestGuard: what it judges, and that nobody answers what it has dropped."""

from __future__ import annotations

import pytest
from twisted.words.protocols.jabber.jid import JID
from wokkel.generic import VersionHandler
from wokkel.ping import PingHandler

from tests.support.streams import (
    COMPONENT,
    PEER,
    WIRES,
    ClientWire,
    ComponentWire,
    InternalWire,
    query,
    stanza,
)
from twisted_oob.xmpp.access import AllowList
from twisted_oob.xmpp.disco import DiscoveryHandler, FallbackHandler, OneChildHandler
from twisted_oob.xmpp.gate import Senders, Verdict
from twisted_oob.xmpp.presence import PresenceHandler
from twisted_oob.xmpp.request_guard import RequestGuard

NS_DISCO = "http://jabber.org/protocol/disco"
DISCO = f"<query xmlns='{NS_DISCO}#info'/>"
ITEMS = f"<query xmlns='{NS_DISCO}#items'/>"
VERSION = "<query xmlns='jabber:iq:version'/>"
PING = "<ping xmlns='urn:xmpp:ping'/>"
UNKNOWN = "<query xmlns='urn:example:unknown'/>"


class Judge:
    """A gate with one verdict, which notes who was judged."""

    def __init__(self, verdict):
        self.verdict = verdict
        self.judged = []

    def judge(self, sender, id_=None):
        self.judged.append(sender)
        return self.verdict


def guarded(verdict, wire=ClientWire, *, presence=False):
    """Give an open stream with all that answers requests, and the Judge of its guard."""
    judge, senders = Judge(verdict), Senders(AllowList(["*"]))
    end = wire()
    handlers = [
        OneChildHandler(),
        DiscoveryHandler("client", "bot", "test"),
        VersionHandler("test", "1"),
        PingHandler(),
        FallbackHandler(),
    ]
    if presence:
        handlers.append(PresenceHandler(AllowList([])))
    # Whatever the order in which they were added.
    handlers.insert(3, RequestGuard(judge, senders, offer=("jabber:iq:oob", "query")))
    for handler in handlers:
        handler.setHandlerParent(end.manager)
    end.open()
    end.sent()
    return end, judge, senders


REQUESTS = [
    ("get", DISCO),
    ("get", ITEMS),
    ("get", VERSION),
    ("get", PING),
    ("get", UNKNOWN),
    ("set", UNKNOWN),
    ("get", ""),
    ("set", DISCO + UNKNOWN),
    ("set", query() + UNKNOWN),
    ("get", query() + query()),
]
ALL_REQUESTS = pytest.mark.parametrize(("kind", "children"), REQUESTS)


@pytest.mark.parametrize("wire", [ClientWire, ComponentWire, InternalWire])
@ALL_REQUESTS
def test_what_is_dropped_nobody_answers(wire, kind, children):
    end, judge, _ = guarded(Verdict.DROP, wire)
    end.receive(stanza("iq", children, type=kind, id="q1", from_=PEER, to=end.me))
    assert end.sent() == []
    assert judge.judged == [PEER]


def test_who_sees_every_stanza_sees_that_it_is_handled():
    end, _, _ = guarded(Verdict.DROP)
    seen = []
    end.xmlstream.addObserver("/*", seen.append)
    end.receive(stanza("iq", PING, type="get", id="q1", from_=PEER, to=end.me))
    assert [one.handled for one in seen] == [True]


@ALL_REQUESTS
def test_what_is_admitted_is_answered_as_ever(kind, children):
    end, judge, _ = guarded(Verdict.ADMIT)
    end.receive(stanza("iq", children, type=kind, id="q1", from_=PEER, to=end.me))
    assert len(end.sent()) == 1
    assert judge.judged == [PEER]


@pytest.mark.parametrize("kind", [None, "", "GET", "offer"])
def test_a_request_of_no_known_kind_is_judged(kind):
    """RFC 6120 section 8.2.3 wants an answer to it."""
    end, judge, _ = guarded(Verdict.DROP)
    end.receive(stanza("iq", PING, type=kind, id="q1", from_=PEER, to=end.me))
    assert end.sent() == []
    assert judge.judged == [PEER]


@pytest.mark.parametrize(
    ("kind", "children"),
    [("set", query()), ("get", query()), ("result", ""), ("error", ""), ("result", PING)],
)
def test_offers_and_answers_are_not_for_this_gate(kind, children):
    end, judge, _ = guarded(Verdict.DROP)
    seen = []
    end.xmlstream.addObserver("/iq", seen.append, -5)
    end.receive(stanza("iq", children, type=kind, id="q1", from_=PEER, to=end.me))
    assert judge.judged == []
    assert len(seen) == 1


@pytest.mark.parametrize("kind", ["subscribe", "unsubscribe"])
@pytest.mark.parametrize("verdict", [Verdict.ADMIT, Verdict.DROP])
def test_a_request_for_a_subscription_counts(kind, verdict):
    end, judge, _ = guarded(verdict, presence=True)
    end.receive(stanza("presence", type=kind, from_=PEER, to=end.me))
    assert bool(end.sent()) is (verdict is Verdict.ADMIT)
    assert judge.judged == [PEER]


@pytest.mark.parametrize("kind", [None, "subscribed", "unavailable", "error"])
def test_other_presence_is_not_judged(kind):
    end, judge, _ = guarded(Verdict.DROP, presence=True)
    end.receive(stanza("presence", type=kind, from_=PEER, to=end.me))
    assert judge.judged == []


def test_a_request_without_a_sender_is_judged_as_such():
    end, judge, _ = guarded(Verdict.DROP)
    end.receive(stanza("iq", PING, type="get", id="q1"))
    assert judge.judged == [None]


@pytest.mark.parametrize("name", WIRES)
def test_it_learns_who_we_are_on_each_stream(name):
    end, _, senders = guarded(Verdict.ADMIT, WIRES[name])
    assert senders.me == JID(end.me)
    assert senders.look_up(None).own


def test_a_component_in_this_process_is_its_own_domain():
    _, _, senders = guarded(Verdict.ADMIT, InternalWire)
    assert senders.look_up(COMPONENT).own
