"""The gates: what each kind of sender may ask, how often, and what is counted."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent
from twisted.words.protocols.jabber.jid import JID

from twisted_oob.xmpp.access import AllowList
from twisted_oob.xmpp.gate import Limits, OfferGate, RequestGate, Senders, Verdict

ADMIT, DENY, DROP = Verdict

ME = "me@home.example/desk"
FRIEND = "friend@home.example"
STRANGER = "mallory@far.example"


class Gates:
    """Both gates of a stream, with a room that the test opens and closes."""

    def __init__(self, allowed=(FRIEND,), me=ME):
        self.clock = Clock()
        self.limits = Limits(self.clock)
        self.room = True
        self.asked_for = []
        senders = Senders(AllowList(allowed))
        senders.me = None if me is None else JID(me)
        self.offers = OfferGate(senders, self.limits, self._has_room)
        self.requests = RequestGate(senders, self.limits)

    def _has_room(self, name):
        self.asked_for.append(name)
        return self.room

    def offer(self, sender, count=1, *, well_formed=True):
        """Judge so many offers; gives how many got each verdict."""
        verdicts = []
        for _ in range(count):
            verdicts.append(self.offers.judge(sender))
            if verdicts[-1] is ADMIT and well_formed and self.room:
                self.limits.well_formed(self.asked_for[-1])
        return counted(verdicts)

    def request(self, sender, count=1):
        return counted([self.requests.judge(sender) for _ in range(count)])


def counted(verdicts):
    return {verdict: verdicts.count(verdict) for verdict in Verdict if verdict in verdicts}


@pytest.fixture
def gates():
    return Gates()


def test_a_strangers_requests_share_one_bucket(gates):
    assert gates.offer(STRANGER, 6) == {DENY: 6}
    assert gates.request(f"{STRANGER}/phone", 6) == {ADMIT: 4, DROP: 2}
    # Another resource, or another spelling, is the same stranger.
    for spelling in (STRANGER, f"{STRANGER}/tablet", "MALLORY@far.EXAMPLE/x"):
        assert gates.offer(spelling, 5) == {DROP: 5}
    gates.clock.advance(1)
    assert gates.offer(STRANGER, 5) == {DENY: 2, DROP: 3}


def test_all_strangers_together_are_bounded(gates):
    """A server can make up a million addresses."""
    made_up = [f"{number}@far.example/x" for number in range(3000)]
    assert counted([gates.offers.judge(one) for one in made_up]) == {DENY: 20, DROP: 2980}
    assert counted([gates.requests.judge(one) for one in made_up]) == {DROP: 3000}
    gates.clock.advance(1)
    assert counted([gates.offers.judge(one) for one in made_up]) == {DENY: 4, DROP: 2996}


def test_one_stranger_uses_up_no_more_of_what_is_for_all_than_it_gets(gates):
    gates.offer(STRANGER, 1000)
    others = [f"{number}@far.example" for number in range(200)]
    assert counted([gates.offers.judge(one) for one in others]) == {DENY: 10, DROP: 190}


def test_what_is_dropped_for_the_sake_of_all_costs_a_stranger_no_token(gates):
    for number in range(20):
        gates.offers.judge(f"{number}@far.example")
    assert gates.offer(STRANGER, 20) == {DROP: 20}
    gates.clock.advance(2.5)
    assert gates.offer(STRANGER, 20) == {DENY: 10, DROP: 10}


@pytest.mark.parametrize("address", ["", "@", "a..b", "a b@far.example", "x" * 4000, "a@b/"])
def test_who_has_no_valid_address_is_one_stranger(gates, address):
    assert gates.offer(address, 5) == {DENY: 5}
    assert gates.offer("/", 10) == {DENY: 5, DROP: 5}
    assert gates.request(address, 5) == {DROP: 5}


def test_strangers_cost_a_friend_nothing(gates):
    for number in range(3000):
        gates.offers.judge(f"{number}@far.example")
    assert gates.offer(FRIEND, 1000) == {ADMIT: 1000}
    assert gates.request(FRIEND, 50) == {ADMIT: 30, DROP: 20}


def test_an_allowed_sender_may_offer_as_long_as_there_is_room(gates):
    assert gates.offer(f"{FRIEND}/phone", 10_000) == {ADMIT: 10_000}
    assert set(gates.asked_for) == {FRIEND}
    assert len(gates.limits._malformed) == 0


def test_without_room_an_allowed_sender_is_told_so_a_hundred_times(gates):
    gates.room = False
    assert gates.offer(FRIEND, 200) == {ADMIT: 100, DROP: 100}
    gates.clock.advance(2)
    assert gates.offer(FRIEND, 10) == {ADMIT: 4, DROP: 6}
    gates.room = True
    assert gates.offer(FRIEND, 200) == {ADMIT: 200}


def test_failures_take_from_the_same_bucket_and_wait_for_it(gates):
    assert [gates.limits.wait_for_failure(FRIEND) for _ in range(100)] == [0] * 100
    waits = [gates.limits.wait_for_failure(FRIEND) for _ in range(3)]
    assert waits == pytest.approx([0.5, 1.0, 1.5])
    gates.room = False
    assert gates.offer(FRIEND) == {DROP: 1}
    gates.room = True
    assert gates.offer(FRIEND) == {ADMIT: 1}


def test_malformed_offers_of_an_allowed_sender_are_bounded(gates):
    assert gates.offer(FRIEND, 200, well_formed=False) == {ADMIT: 100, DROP: 100}
    gates.clock.advance(1)
    assert gates.offer(FRIEND, 10, well_formed=False) == {ADMIT: 2, DROP: 8}
    assert gates.offer("friend@far.example", 1) == {DENY: 1}


def test_requests_of_an_allowed_sender_are_bounded_apart_from_its_offers(gates):
    assert gates.request(FRIEND, 100) == {ADMIT: 30, DROP: 70}
    assert gates.offer(FRIEND, 100) == {ADMIT: 100}
    gates.clock.advance(1)
    assert gates.request(FRIEND, 10) == {ADMIT: 2, DROP: 8}


OWN_OF_A_CLIENT = [None, "me@home.example", "home.example", "ME@HOME.example"]
OWN_OF_A_COMPONENT = [None, "files.home.example"]


@pytest.mark.parametrize(
    ("me", "address"),
    [
        *((ME, address) for address in OWN_OF_A_CLIENT),
        *(("files.home.example", address) for address in OWN_OF_A_COMPONENT),
        (None, None),
    ],
)
def test_our_own_server_is_never_dropped(me, address):
    gates = Gates(me=me)
    assert gates.request(address, 1000) == {ADMIT: 1000}
    assert gates.offer(address, 1000) == {DENY: 1000}
    everybody = Gates(["*"], me=me)
    everybody.room = False
    assert everybody.offer(address, 1000) == {ADMIT: 1000}


@pytest.mark.parametrize(
    "address",
    ["me@home.example/sofa", "you@home.example", "home.example/x", "x.home.example", "other"],
)
def test_nobody_else_is_our_own_server(gates, address):
    assert gates.request(address, 100) == {ADMIT: 10, DROP: 90}


def test_a_server_that_leaves_our_address_out_is_our_account():
    assert Gates(["me@home.example"]).offer(None) == {ADMIT: 1}
    assert Gates(["home.example"]).offer(None) == {ADMIT: 1}
    assert Gates(["other.example"]).offer(None) == {DENY: 1}


@pytest.mark.parametrize("long", [False, True])
def test_a_denial_is_one_short_line_at_debug_and_a_drop_is_not_even_that(gates, log, long):
    stranger = f"mallory@{'x' * 1000}.example/secret" if long else f"{STRANGER}/secret"
    gates.offer(stranger, 1000)
    assert len(log.ours()) == 10
    assert {event["log_level"] for event in log.ours()} == {LogLevel.debug}
    for event in log.ours():
        line = formatEvent(event)
        assert line.startswith("Denied an offer of mallory@")
        assert len(line) < 250
        assert len(repr(event)) < 1500


def test_what_is_denied_and_dropped_is_counted(gates, log):
    gates.limits.tally.start()
    gates.offer(STRANGER, 30)
    gates.request(STRANGER, 10)
    gates.request(FRIEND, 31)
    gates.clock.advance(60)
    assert formatEvent(log.ours()[-1]) == (
        "Denied 10 and dropped 31 requests in the last minute; senders: 2, the busiest "
        f"{STRANGER} with 40"
    )


def test_memory_is_bounded_however_many_ask(gates):
    for number in range(20_000):
        gates.offers.judge(f"{number}@far.example")
        gates.requests.judge(f"{number}@far.example")
        gates.clock.advance(0.01)
    everybody = Gates(["*"])
    for number in range(5000):
        everybody.offer(f"{number}@far.example", well_formed=False)
        everybody.request(f"{number}@far.example")
    for limits in (gates.limits, everybody.limits):
        for each in vars(limits).values():
            if hasattr(each, "__len__"):
                assert len(each) <= 1000
        assert len(limits.tally._by_sender) <= 1000
