"""Offers that are answered by reply_success and reply_failure, once."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed

from tests.support.offers import (
    KINDS,
    NOT_FOUND,
    REJECT,
    REPLIES,
    assert_answer,
    offered,
)
from tests.support.streams import clock_of, connected
from twisted_oob import AlreadyAnswered, NotFound, OfferLost, OOBError

pytestmark = pytest.mark.usefixtures("log")


# Answers by hand


def test_reply_success_is_an_empty_result():
    _handler, wire, offer = offered()
    assert wire.sent() == []
    offer.reply_success()
    assert_answer(wire.sent_one())


@pytest.mark.parametrize(("condition", "told"), [("reject", REJECT), ("not-found", NOT_FOUND)])
def test_reply_failure_is_its_error(condition, told):
    _handler, wire, offer = offered()
    offer.reply_failure(condition)
    assert_answer(wire.sent_one(), told)


@pytest.mark.parametrize("condition", ["bogus", "", None, "item-not-found", "not-acceptable"])
def test_unknown_condition_is_a_value_error_and_the_offer_stays_open(condition):
    _handler, wire, offer = offered()
    with pytest.raises(ValueError, match="'reject'"):
        offer.reply_failure(condition)
    assert wire.sent() == []
    offer.reply_success()
    assert_answer(wire.sent_one())


@pytest.mark.parametrize("first", REPLIES)
@pytest.mark.parametrize("second", REPLIES)
def test_second_reply_raises_and_sends_nothing(first, second):
    handler, wire, offer = offered()
    first(offer)
    wire.sent_one()
    with pytest.raises(AlreadyAnswered):
        second(offer)
    assert wire.sent() == []
    assert clock_of(handler).getDelayedCalls() == []


def test_errors_of_use_have_one_base():
    assert issubclass(AlreadyAnswered, OOBError)
    assert issubclass(OfferLost, OOBError)


def test_reply_inside_on_offer():
    _handler, wire = connected(lambda offer: offer.reply_success())
    wire.offer()
    assert_answer(wire.sent_one())


@KINDS
@pytest.mark.parametrize("end", [None, NotFound(), CancelledError()])
def test_awaitable_of_an_offer_answered_by_hand_just_ends(kind, end, log):
    _handler, wire, offer = offered(kind(done := Deferred()))
    offer.reply_failure("reject")
    assert_answer(wire.sent_one(), REJECT)
    done.callback(None) if end is None else done.errback(end)
    assert wire.sent() == []
    assert log.failures() == []


def test_failure_after_an_answer_by_hand_is_logged_and_sends_nothing(log):
    _handler, wire, offer = offered(done := Deferred())
    offer.reply_success()
    wire.sent_one()
    done.errback(mine := ValueError("mine"))
    assert wire.sent() == []
    assert log.failures() == [mine]


def test_exception_after_a_reply_inside_on_offer_sends_nothing(log):
    def on_offer(offer):
        offer.reply_success()
        raise ValueError("too late")

    _handler, wire = connected(on_offer)
    wire.offer()
    assert_answer(wire.sent_one())
    assert [str(error) for error in log.failures()] == ["too late"]


def test_reply_by_hand_after_the_awaitable_ended_raises():
    _handler, wire, offer = offered(succeed(None))
    wire.sent_one()
    with pytest.raises(AlreadyAnswered):
        offer.reply_failure("reject")
    assert wire.sent() == []
