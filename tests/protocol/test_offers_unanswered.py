"""Offers without an answer: the time is over, the stream is lost, or nothing can be written."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.logger import LogLevel
from twisted.python.failure import Failure

from tests.support.offers import (
    FAULT,
    KINDS,
    REPLIES,
    assert_answer,
    offered,
)
from tests.support.streams import clock_of, connected
from twisted_oob import AlreadyAnswered, OfferLost

pytestmark = pytest.mark.usefixtures("log")


# No answer in time


@pytest.mark.parametrize("seconds", [None, 5, 100_000])
def test_offer_that_nobody_answered_gets_internal_server_error_at_its_time(seconds, log):
    offers = []
    handler, wire = connected(offers.append)
    due = seconds or 3600
    if seconds is not None:
        handler.answer_timeout = seconds
    wire.offer()
    clock_of(handler).advance(due - 0.001)
    assert wire.sent() == []
    clock_of(handler).advance(0.001)
    assert_answer(wire.sent_one(), FAULT)
    assert [event["log_level"] for event in log] == [LogLevel.error]
    for reply in REPLIES:
        with pytest.raises(AlreadyAnswered):
            reply(offers[0])
    assert wire.sent() == []


@KINDS
def test_awaitable_is_cancelled_when_its_time_is_over(kind, log):
    cancelled = []
    handler, wire, _offer = offered(kind(Deferred(cancelled.append)))
    clock_of(handler).advance(3600)
    assert_answer(wire.sent_one(), FAULT)
    assert len(cancelled) == 1
    assert log.failures() == []


def test_awaitable_that_goes_on_after_its_time_sends_nothing():
    async def stubborn(first, second):
        try:
            await first
        except CancelledError:
            await second

    second = Deferred()
    handler, wire, _offer = offered(stubborn(Deferred(), second))
    clock_of(handler).advance(3600)
    assert_answer(wire.sent_one(), FAULT)
    second.callback(None)
    assert wire.sent() == []


def test_answer_timeout_of_none_sets_no_deadline():
    offers = []
    handler, wire = connected(offers.append)
    handler.answer_timeout = None
    wire.offer()
    assert clock_of(handler).getDelayedCalls() == []
    offers[0].reply_success()
    assert_answer(wire.sent_one())


def test_answered_offer_leaves_no_timer():
    handler, _wire, offer = offered()
    assert len(clock_of(handler).getDelayedCalls()) == 1
    offer.reply_success()
    assert clock_of(handler).getDelayedCalls() == []


# The stream is lost


@KINDS
@pytest.mark.parametrize("disown", [False, True])
def test_awaitable_is_cancelled_when_the_stream_is_lost(kind, disown, log):
    cancelled = []
    handler, wire, _offer = offered(kind(done := Deferred(cancelled.append)))
    if disown:
        handler.disownHandlerParent(wire.manager)
    else:
        wire.lose()
    assert cancelled == [done]
    assert clock_of(handler).getDelayedCalls() == []
    assert log.failures() == []
    assert wire.sent() == []


@pytest.mark.parametrize("reply", REPLIES)
def test_reply_after_the_stream_is_lost_raises_and_is_never_sent(reply):
    handler, wire, offer = offered()
    wire.lose()
    with pytest.raises(OfferLost):
        reply(offer)
    wire.open()
    with pytest.raises(OfferLost):
        reply(offer)
    assert wire.sent() == []
    assert clock_of(handler).getDelayedCalls() == []


def test_awaitable_that_ends_after_the_stream_was_lost_answers_nobody(log):
    async def stubborn(first, second):
        try:
            await first
        except CancelledError:
            await second

    second = Deferred()
    _handler, wire, _offer = offered(stubborn(Deferred(), second))
    wire.lose()
    wire.open()
    second.callback(None)
    assert wire.sent() == []
    assert log.failures() == []


def test_exception_in_the_clean_up_of_a_lost_offer_is_logged(log):
    async def clumsy(first):
        try:
            await first
        finally:
            raise ValueError("in the clean-up")

    _handler, wire, _offer = offered(clumsy(Deferred()))
    wire.lose()
    assert [str(error) for error in log.failures()] == ["in the clean-up"]


def test_offer_answered_before_the_loss_stays_answered():
    _handler, wire, offer = offered()
    offer.reply_success()
    wire.lose()
    with pytest.raises(AlreadyAnswered):
        offer.reply_success()


def test_stream_lost_inside_on_offer_cancels_what_it_returns(log):
    cancelled = []

    def on_offer(_offer):
        wire.lose(Failure(ConnectionLost()))
        return Deferred(cancelled.append)

    _handler, wire = connected(on_offer)
    wire.offer()
    assert len(cancelled) == 1
    assert wire.sent() == []
    assert log.failures() == []


def test_work_is_cancelled_even_if_the_late_answer_cannot_be_written(log):
    cancelled = []
    handler, wire, _offer = offered(Deferred(cancelled.append))
    wire.xmlstream.send = broken
    clock_of(handler).advance(3600)
    assert len(cancelled) == 1
    assert [type(error) for error in log.failures()] == [OSError]


def broken(_stanza):
    raise OSError("no way out")


def test_answer_that_cannot_be_written_is_logged(log):
    _handler, wire, offer = offered(done := Deferred())
    wire.xmlstream.send = broken
    done.callback(None)
    assert [type(error) for error in log.failures()] == [OSError]
    assert repr(offer).startswith("<Offer lost ")


@pytest.mark.parametrize("reply", REPLIES)
def test_offer_whose_answer_could_not_be_written_is_lost_and_not_answered(reply):
    handler, wire, offer = offered()
    send, wire.xmlstream.send = wire.xmlstream.send, broken
    with pytest.raises(OSError, match="no way out"):
        reply(offer)
    assert offer.settled
    wire.xmlstream.send = send
    with pytest.raises(OfferLost):
        reply(offer)
    assert wire.sent() == []
    assert clock_of(handler).getDelayedCalls() == []


def test_work_that_cannot_be_cancelled_leaves_other_offers_cancelled(log):
    def failing(_deferred):
        raise KeyError("no canceller")

    works = [Deferred(failing), Deferred(failing), Deferred()]
    given = iter(works)
    _handler, wire = connected(lambda _: next(given))
    for number in range(3):
        wire.offer(id_=f"o{number}")
    wire.lose()
    assert [type(error) for error in log.failures()] == [KeyError, KeyError]
    assert works[2].called
