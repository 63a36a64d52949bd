"""Contacts: who is available, as presence tells, and for how long it is waited for."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.words.protocols.jabber.jid import JID

from tests.support.streams import ClientWire, ComponentWire, outcome, stanza, words_client
from twisted_oob.xmpp.contacts import MOST_ACCOUNTS, MOST_RESOURCES, SETTLING, Contacts

from wokkel.subprotocols import XMPPHandler  # isort: skip

BOB = JID("bob@far.example")


def online(wire=ClientWire):
    contacts, end = Contacts(Clock()), wire()
    contacts.setHandlerParent(end.manager)
    end.open()
    return contacts, end


def come(end, resource, priority=None, who="bob@far.example", **attributes):
    child = "" if priority is None else f"<priority>{priority}</priority>"
    address = f"{who}/{resource}" if resource else who
    end.receive(stanza("presence", child, **({"from_": address} | attributes)))


def go(end, resource, who="bob@far.example"):
    come(end, resource, who=who, type="unavailable")


def known(contacts, bare=BOB):
    return [jid.resource for jid in contacts.resources(bare)]


def test_resources_are_given_best_priority_first_and_of_equals_the_latest():
    contacts, end = online()
    for resource, priority in [("a", None), ("b", 5), ("c", -1), ("d", 0), ("e", "5"), ("f", 127)]:
        come(end, resource, priority)
    come(end, "phone", 9, who="other@far.example")
    assert known(contacts) == ["f", "e", "b", "d", "a", "c"]
    come(end, "a", 6)
    assert known(contacts) == ["f", "a", "e", "b", "d", "c"]
    assert contacts.resources(JID("bob@far.example/x")) == contacts.resources(BOB)
    assert contacts.resources(JID("nobody@far.example")) == []


@pytest.mark.parametrize("priority", ["", "high", "128", "-129", "9" * 5000, "1.5"])
def test_a_priority_that_is_not_one_counts_as_zero(priority):
    contacts, end = online()
    come(end, "low", -1)
    come(end, "odd", priority)
    come(end, "high", 1)
    assert known(contacts) == ["high", "odd", "low"]


def test_who_goes_is_forgotten_and_an_account_goes_as_a_whole():
    contacts, end = online()
    for resource in "abc":
        come(end, resource)
    go(end, "b")
    go(end, "never-there")
    go(end, "x", who="stranger@far.example")
    assert known(contacts) == ["c", "a"]
    go(end, "")
    assert known(contacts) == []


@pytest.mark.parametrize(
    "kind", ["error", "probe", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "odd"]
)
def test_presence_of_other_types_says_nothing(kind):
    contacts, end = online()
    come(end, "a")
    come(end, "a", type=kind)
    come(end, "b", type=kind)
    assert known(contacts) == ["a"]


@pytest.mark.parametrize("sender", ["@", "bob@far.example", None])
def test_presence_without_a_full_jid_names_no_resource(sender):
    contacts, end = online()
    come(end, "", from_=sender)
    assert known(contacts) == []


def test_our_own_other_resources_are_there_and_we_are_not():
    contacts, end = online()
    come(end, "desk", who="me@home.example")
    come(end, "phone", who="me@home.example")
    assert known(contacts, JID("me@home.example")) == ["phone"]


def test_the_next_stream_begins_with_nobody():
    contacts, end = online()
    come(end, "a")
    end.lose()
    assert known(contacts) == []
    end.open()
    assert known(contacts) == []
    come(end, "b")
    assert known(contacts) == ["b"]


def test_strangers_neither_fill_the_memory_nor_push_anybody_out():
    contacts, end = online()
    come(end, "a")
    for number in range(MOST_ACCOUNTS + 10):
        come(end, "x", who=f"{number}@evil.example")
    for number in range(MOST_RESOURCES + 10):
        come(end, f"r{number}", who="0@evil.example")
    assert known(contacts) == ["a"]
    assert len(known(contacts, JID("0@evil.example"))) == MOST_RESOURCES
    kept = [n for n in range(MOST_ACCOUNTS + 10) if known(contacts, JID(f"{n}@evil.example"))]
    assert len(kept) == MOST_ACCOUNTS - 1
    go(end, "x", who="1@evil.example")
    come(end, "b", who="newcomer@far.example")
    assert known(contacts, JID("newcomer@far.example")) == ["b"]


def test_who_is_known_is_not_waited_for():
    contacts, end = online()
    come(end, "a")
    assert outcome(contacts.wait_for(BOB, 2)) == [JID("bob@far.example/a")]


def test_the_resources_of_an_account_are_awaited_together():
    contacts, end = online()
    waiting = contacts.wait_for(BOB, 2)
    come(end, "x", who="other@far.example")
    contacts._clock.advance(1)
    assert not waiting.called
    come(end, "a", 1)
    come(end, "b", 2)
    contacts._clock.advance(SETTLING)
    assert [jid.resource for jid in outcome(waiting)] == ["b", "a"]
    assert not contacts._clock.getDelayedCalls()


@pytest.mark.parametrize("passed", [0, 0.5, 1.9, 2, 60])
def test_it_is_waited_no_longer_than_presence_takes_after_the_stream_is_up(passed):
    contacts, _end = online()
    contacts._clock.advance(passed)
    waiting = contacts.wait_for(BOB, 2)
    assert waiting.called == (passed >= 2)
    contacts._clock.advance(max(0, 2 - passed))
    assert outcome(waiting) == []


@pytest.mark.parametrize("wire", [ClientWire, words_client])
@pytest.mark.parametrize("opened", [True, False])
def test_those_of_a_stream_are_the_same_for_all(wire, opened):
    end, clock = wire(), Clock()
    if opened:
        end.open()
    contacts = Contacts.of(end.manager, clock)
    if not opened:
        end.open()
    come(end, "a", 1)
    assert Contacts.of(end.manager, clock) is contacts
    assert known(contacts) == ["a"]


def test_nobody_is_waited_for_whose_presence_came_before_we_joined():
    end = ClientWire()
    end.open()
    contacts = Contacts.of(end.manager, Clock())
    assert outcome(contacts.wait_for(BOB, 2)) == []
    end.lose()
    end.open()
    assert not contacts.wait_for(BOB, 2).called


def test_they_may_join_while_the_stream_is_negotiated_or_told_of():
    end = words_client()

    class Joining(XMPPHandler):
        def connectionInitialized(self):
            self.contacts = Contacts.of(self.parent, Clock())

    joining = Joining()
    joining.setHandlerParent(end.manager)
    end.open()
    come(end, "a")
    assert known(joining.contacts) == ["a"]
    come(end, "a", type="unavailable")
    assert known(joining.contacts) == []


def test_presence_that_comes_at_the_last_moment_makes_nobody_wait_longer():
    contacts, end = online()
    waiting = contacts.wait_for(BOB, 2)
    contacts._clock.advance(1.9)
    come(end, "a")
    contacts._clock.advance(0.1)
    assert outcome(waiting) == [JID("bob@far.example/a")]


def test_one_of_several_that_wait_can_be_cancelled():
    contacts, _end = online()
    waiting, other = contacts.wait_for(BOB, 2), contacts.wait_for(BOB, 1)
    waiting.cancel()
    assert isinstance(outcome(waiting), CancelledError)
    contacts._clock.advance(1)
    assert outcome(other) == []
    assert not contacts._clock.getDelayedCalls()


def test_nobody_waits_for_a_stream_that_is_lost():
    contacts, end = online()
    waiting = contacts.wait_for(BOB, 2)
    end.lose()
    assert outcome(waiting) == []
    assert not contacts._clock.getDelayedCalls()


def test_a_component_waits_for_nobody():
    contacts, end = online(ComponentWire)
    assert outcome(contacts.wait_for(BOB, 2)) == []
    end.receive(stanza("presence", from_="bob@far.example/a", to="files.home.example"))
    assert known(contacts) == ["a"]


def test_the_reactor_is_checked():
    with pytest.raises(TypeError, match="reactor must be a reactor"):
        Contacts(7)
