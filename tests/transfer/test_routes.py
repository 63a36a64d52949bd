"""Routes: who is asked for its features, and who gets an IQ."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError

from tests.support.streams import ClientWire, outcome, stanza
from twisted_oob.transfer.routes import DISCO_TIMEOUT, PRESENCE_WAIT, Route, find_route
from twisted_oob.xmpp.contacts import SETTLING, Contacts

IQ = frozenset({"jabber:iq:oob"})
BOTH = frozenset({"jabber:iq:oob", "jabber:x:oob"})
MESSAGE = frozenset({"jabber:x:oob"})
NOTHING = frozenset()
LATE = IQTimeoutError("no answer")
BOB = "bob@far.example"


class Asking:
    """In the place of an OOBHandler that asks for features: the test answers."""

    def __init__(self, answers=()):
        self.answers = dict(answers)
        self.open = {}
        self.asked = []
        self.senders = set()

    def find_features(self, recipient, timeout, *, sender):
        assert timeout == DISCO_TIMEOUT
        self.senders.add(sender)
        self.asked.append(recipient.full())
        deferred = self.open[recipient.full()] = Deferred()
        if recipient.full() in self.answers:
            self.answer(recipient.full(), self.answers[recipient.full()])
        return deferred

    def answer(self, address, features):
        deferred = self.open.pop(address)
        if isinstance(features, Exception):
            deferred.errback(Failure(features))
        else:
            deferred.callback(features)


def route(asking, recipient, way="auto", contacts=None):
    if contacts is None:
        contacts = strangers()
    return Deferred.fromCoroutine(find_route(asking, contacts, JID(recipient), way))


def iq(address):
    return Route(how="iq", address=JID(address))


def message(address):
    return Route(how="message", address=JID(address))


def friends(*resources):
    """Give Contacts that know these resources of BOB, by priority, and their stream."""
    contacts, end = Contacts(Clock()), ClientWire()
    contacts.setHandlerParent(end.manager)
    end.open()
    for priority, resource in enumerate(reversed(resources)):
        come(end, resource, priority)
    return contacts, end


def strangers():
    """Give Contacts that know nobody, and expect nobody."""
    end = ClientWire()
    end.open()
    return Contacts.of(end.manager, Clock())


def come(end, resource, priority=0):
    child = f"<priority>{priority}</priority>"
    end.receive(stanza("presence", child, from_=f"{BOB}/{resource}"))


@pytest.mark.parametrize("address", ["files.far.example", f"{BOB}/phone", "far.example/x"])
@pytest.mark.parametrize(
    ("features", "found"),
    [(IQ, iq), (BOTH, iq), (MESSAGE, message), (NOTHING, message), (LATE, message)],
)
def test_a_full_jid_or_a_domain_is_asked_itself(address, features, found):
    asking = Asking({address: features})
    assert outcome(route(asking, address)) == found(address)
    assert asking.asked == [address]


@pytest.mark.parametrize("address", ["files.far.example", f"{BOB}/phone"])
def test_an_iq_that_is_forced_goes_to_a_full_jid_or_domain_unasked(address):
    asking = Asking()
    assert outcome(route(asking, address, "iq")) == iq(address)
    assert asking.asked == []


@pytest.mark.parametrize("address", ["files.far.example", BOB, f"{BOB}/phone"])
def test_a_message_that_is_forced_goes_to_what_was_given_unasked(address):
    contacts, _end = friends("phone")
    asking = Asking()
    assert outcome(route(asking, address, "message", contacts)) == message(address)
    assert asking.asked == []


@pytest.mark.parametrize(
    ("way", "features", "found"),
    [
        ("auto", IQ, iq(f"{BOB}/oob")),
        ("auto", NOTHING, message(BOB)),
        ("auto", LATE, message(BOB)),
        ("iq", IQ, iq(f"{BOB}/oob")),
        ("iq", NOTHING, iq(f"{BOB}/oob")),
        ("iq", LATE, iq(f"{BOB}/oob")),
    ],
)
def test_an_account_that_nobody_knows_is_asked_at_our_own_resource(way, features, found):
    asking = Asking({f"{BOB}/oob": features})
    assert outcome(route(asking, BOB, way)) == found
    assert asking.asked == [f"{BOB}/oob"]


@pytest.mark.parametrize(
    ("takers", "found"),
    [
        ({"first", "second", "oob"}, "first"),
        ({"second", "oob"}, "second"),
        ({"oob"}, "oob"),
    ],
)
def test_the_resource_of_the_best_priority_that_takes_it_gets_it(takers, found):
    contacts, _end = friends("first", "second")
    asking = Asking(
        {f"{BOB}/{one}": IQ if one in takers else MESSAGE for one in ("first", "second", "oob")}
    )
    assert outcome(route(asking, BOB, contacts=contacts)) == iq(f"{BOB}/{found}")


def test_if_no_resource_takes_it_the_account_gets_a_message():
    contacts, _end = friends("first", "second")
    asking = Asking(dict.fromkeys((f"{BOB}/first", f"{BOB}/second", f"{BOB}/oob"), NOTHING))
    assert outcome(route(asking, BOB, contacts=contacts)) == message(BOB)


def test_resources_are_asked_at_once_and_the_rest_is_not_waited_for():
    contacts, _end = friends("first", "oob", "third")
    asking = Asking()
    found = route(asking, BOB, contacts=contacts)
    assert asking.asked == [f"{BOB}/first", f"{BOB}/oob", f"{BOB}/third"]
    asking.answer(f"{BOB}/oob", IQ)
    assert not found.called
    left = asking.open[f"{BOB}/third"]
    asking.answer(f"{BOB}/first", LATE)
    assert outcome(found) == iq(f"{BOB}/oob")
    assert left.called


def test_presence_that_is_on_its_way_is_waited_for():
    contacts, end = friends()
    asking = Asking({f"{BOB}/oob": NOTHING, f"{BOB}/first": NOTHING, f"{BOB}/second": IQ})
    found = route(asking, BOB, contacts=contacts)
    assert asking.asked == [f"{BOB}/oob"]
    for resource in ("first", "oob", "second"):
        come(end, resource)
    contacts._clock.advance(SETTLING)
    assert outcome(found) == iq(f"{BOB}/second")
    assert sorted(asking.asked) == [f"{BOB}/first", f"{BOB}/oob", f"{BOB}/second"]


def test_nobody_waits_for_presence_if_our_own_resource_answers():
    contacts, _end = friends()
    found = route(Asking({f"{BOB}/oob": IQ}), BOB, contacts=contacts)
    assert outcome(found) == iq(f"{BOB}/oob")
    assert not contacts._clock.getDelayedCalls()


@pytest.mark.parametrize(("way", "found"), [("auto", message(BOB)), ("iq", iq(f"{BOB}/oob"))])
def test_who_is_nobodys_contact_is_not_waited_for_for_ever(way, found):
    contacts, _end = friends()
    waiting = route(Asking({f"{BOB}/oob": NOTHING}), BOB, way, contacts)
    contacts._clock.advance(PRESENCE_WAIT)
    assert outcome(waiting) == found


def test_the_loss_of_the_stream_is_no_answer():
    contacts, _end = friends("first", "second")
    asking = Asking()
    found = route(asking, BOB, contacts=contacts)
    for address in list(asking.open):
        asking.answer(address, ConnectionLost())
    assert isinstance(outcome(found), ConnectionLost)


@pytest.mark.parametrize("resources", [(), ("first", "second")])
def test_it_can_be_cancelled_and_nothing_is_asked_any_more(resources):
    contacts, _end = friends(*resources)
    asking = Asking()
    found = route(asking, BOB, contacts=contacts)
    asked = list(asking.open.values())
    found.cancel()
    assert isinstance(outcome(found), CancelledError)
    assert all(deferred.called for deferred in asked)
    assert not contacts._clock.getDelayedCalls()
