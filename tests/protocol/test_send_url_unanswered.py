"""send_url if nobody answers: time, loss, cancellation, and while there is no stream."""

from __future__ import annotations

from contextlib import suppress

import pytest
from twisted.internet.defer import AlreadyCalledError, CancelledError
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError

from tests.support.offers import NOT_FOUND
from tests.support.streams import PEER, URL, ClientWire, clock_of, connected, outcome
from twisted_oob import OOBHandler
from twisted_oob.errors import StreamRefused

pytestmark = pytest.mark.usefixtures("log")


# No answer


@pytest.mark.parametrize(
    ("of_handler", "own", "due"),
    [
        ({}, {}, 900),
        ({"timeout": 5}, {}, 5),
        ({"timeout": 0.5}, {}, 0.5),
        ({}, {"timeout": 7.5}, 7.5),
        ({"timeout": 5}, {"timeout": 5000}, 5000),
        ({"timeout": None}, {"timeout": 3}, 3),
    ],
)
def test_fails_with_timeout_error_exactly_at_its_time(of_handler, own, due):
    handler, wire = connected(**of_handler)
    answer = handler.send_url(PEER, URL, **own)
    sent = wire.sent_one()
    clock_of(handler).advance(due - 0.001)
    assert not answer.called
    clock_of(handler).advance(0.001)
    assert isinstance(outcome(answer), IQTimeoutError)
    wire.answer(sent)
    assert wire.sent() == []


@pytest.mark.parametrize(
    ("of_handler", "own"),
    [({"timeout": None}, {}), ({}, {"timeout": None}), ({"timeout": 5}, {"timeout": None})],
)
def test_request_without_a_timeout_waits_for_ever(of_handler, own):
    handler, wire = connected(**of_handler)
    answer = handler.send_url(PEER, URL, **own)
    assert clock_of(handler).getDelayedCalls() == []
    wire.answer(wire.sent_one())
    assert outcome(answer) is None


def test_timeout_runs_from_the_request_also_without_a_stream():
    handler = OOBHandler(timeout=10, reactor=Clock())
    answer = handler.send_url(PEER, URL)
    clock_of(handler).advance(6)
    wire = ClientWire()
    handler.setHandlerParent(wire.manager)
    wire.open()
    assert len(wire.sent()) == 1
    clock_of(handler).advance(4)
    assert isinstance(outcome(answer), IQTimeoutError)


def test_request_made_when_another_timed_out_leaves_other_deadlines_alone():
    handler, _wire = connected()
    first = handler.send_url(PEER, URL, timeout=10)
    second = handler.send_url(PEER, URL, timeout=20)
    first.addErrback(lambda _: handler.send_url(PEER, URL, timeout=900))
    clock_of(handler).advance(10)
    clock_of(handler).advance(10)
    assert isinstance(outcome(second), IQTimeoutError)


@pytest.mark.parametrize("error", [ConnectionLost, ConnectionDone])
def test_fails_with_the_reason_that_the_stream_was_lost_for(error):
    handler, wire = connected()
    answers = [handler.send_url(PEER, URL) for _ in range(3)]
    wire.lose(Failure(error("gone")))
    assert [type(outcome(answer)) for answer in answers] == [error] * 3
    assert clock_of(handler).getDelayedCalls() == []


def test_fails_with_connection_done_if_no_reason_is_given():
    handler, _wire = connected()
    answer = handler.send_url(PEER, URL)
    handler.connectionLost(None)
    assert isinstance(outcome(answer), ConnectionDone)


def test_cancelled_request_fails_and_its_late_answer_is_ignored():
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    sent = wire.sent_one()
    answer.cancel()
    assert isinstance(outcome(answer), CancelledError)
    assert clock_of(handler).getDelayedCalls() == []
    wire.answer(sent)
    wire.answer(sent, NOT_FOUND)
    wire.lose()


def test_cancelling_an_answered_request_does_nothing():
    handler, wire = connected()
    answer = handler.send_url(PEER, URL)
    wire.answer(wire.sent_one())
    answer.cancel()
    assert outcome(answer) is None


def test_request_that_could_not_be_written_fails_and_is_forgotten():
    handler, wire = connected()

    def fail(_stanza):
        raise OSError("no way out")

    wire.xmlstream.send = fail
    answer = handler.send_url(PEER, URL)
    assert isinstance(outcome(answer), OSError)
    assert clock_of(handler).getDelayedCalls() == []


# Without a stream


def urls(elements):
    return [element[0][0].text for element in elements]


@pytest.mark.parametrize("with_parent", [True, False])
def test_requests_without_a_stream_are_sent_in_order_once_with_it(with_parent):
    handler = OOBHandler(reactor=Clock())
    wire = ClientWire()
    if with_parent:
        handler.setHandlerParent(wire.manager)
        wire.connect()
    wanted = [f"{URL}?{number}" for number in range(20)]
    answers = [handler.send_url(PEER, url) for url in wanted]
    if not with_parent:
        handler.setHandlerParent(wire.manager)
        wire.connect()
    wire.negotiate()
    sent = wire.sent()
    assert urls(sent) == wanted
    for request in reversed(sent):
        wire.answer(request)
    assert [outcome(answer) for answer in answers] == [None] * 20
    wire.lose()
    wire.open()
    assert wire.sent() == []


def test_nothing_is_sent_before_the_stream_is_negotiated():
    handler = OOBHandler(reactor=Clock())
    wire = ClientWire()
    handler.setHandlerParent(wire.manager)
    wire.connect()
    wire.transport.clear()
    handler.send_url(PEER, URL)
    handler.send_message(PEER, URL)
    assert wire.transport.value() == b""


def test_request_that_ended_while_waiting_is_never_sent():
    handler = OOBHandler(reactor=Clock())
    late = handler.send_url(PEER, URL + "?late", timeout=5)
    cancelled = handler.send_url(PEER, URL + "?cancelled")
    handler.send_url(PEER, URL + "?kept")
    clock_of(handler).advance(5)
    cancelled.cancel()
    assert isinstance(outcome(late), IQTimeoutError)
    assert isinstance(outcome(cancelled), CancelledError)
    wire = ClientWire()
    handler.setHandlerParent(wire.manager)
    wire.open()
    assert urls(wire.sent()) == [URL + "?kept"]


def test_request_that_was_sent_and_lost_is_not_sent_again():
    handler, wire = connected()
    lost = handler.send_url(PEER, URL)
    sent = wire.sent_one()
    wire.lose()
    assert isinstance(outcome(lost), ConnectionLost)
    wire.open()
    assert wire.sent() == []
    wire.answer(sent)
    wire.answer(sent, NOT_FOUND)


def test_request_made_when_another_is_lost_waits_for_the_next_stream():
    handler, wire = connected()
    again = []
    answer = handler.send_url(PEER, URL)
    answer.addErrback(lambda _: again.append(handler.send_url(PEER, URL + "?again")))
    wire.sent()
    wire.lose()
    assert not again[0].called
    wire.open()
    sent = wire.sent_one()
    assert urls([sent]) == [URL + "?again"]
    wire.answer(sent)
    assert outcome(again[0]) is None


def test_waiting_requests_survive_a_stream_that_never_opens():
    handler = OOBHandler(reactor=Clock())
    wire = ClientWire()
    handler.setHandlerParent(wire.manager)
    answer = handler.send_url(PEER, URL)
    wire.connect()
    wire.lose()
    assert not answer.called
    wire.open()
    wire.answer(wire.sent_one())
    assert outcome(answer) is None


def test_nothing_of_an_ended_request_is_kept():
    handler, wire = connected()
    for number in range(50):
        answer = handler.send_url(PEER, URL)
        sent = wire.sent_one()
        if number % 2:
            wire.answer(sent)
        else:
            answer.cancel()
        with suppress(CancelledError):
            outcome(answer)
    assert handler._tracker._requests == {}
    assert handler._deadlines._heap == []


def test_request_that_the_application_fired_leaves_others_failed_when_the_stream_is_lost(log):
    handler, wire = connected()
    first, second = (handler.send_url(PEER, URL) for _ in range(2))
    first.callback("mine")
    wire.lose()
    assert isinstance(outcome(second), ConnectionLost)
    assert [type(error) for error in log.failures()] == [AlreadyCalledError]


# A stream that can't be had


def refuse(wire, error):
    """Let the stream manager say that there won't be a stream, as ours does."""
    wire.manager.refused = error
    for handler in wire.manager:
        handler.stream_refused(error)


def test_requests_that_wait_fail_if_the_stream_is_refused():
    handler = OOBHandler(reactor=Clock())
    requests = [handler.send_url(PEER, URL) for _ in range(3)]
    again = []
    requests[0].addErrback(lambda _: again.append(handler.send_url(PEER, URL)))
    wire = ClientWire()
    handler.setHandlerParent(wire.manager)
    refuse(wire, refused := StreamRefused("the password is wrong"))
    assert [outcome(request) for request in (*requests[1:], *again)] == [refused] * 3
    assert clock_of(handler).getDelayedCalls() == []
    wire.open()
    assert wire.sent() == []


@pytest.mark.parametrize("send", ["send_url", "send_message"])
def test_what_is_sent_on_a_refused_stream_fails_at_once(send):
    handler = OOBHandler(reactor=Clock())
    wire = ClientWire()
    handler.setHandlerParent(wire.manager)
    refuse(wire, refused := StreamRefused("the password is wrong"))
    assert outcome(getattr(handler, send)(PEER, URL)) is refused
    assert isinstance(outcome(getattr(handler, send)(PEER, "no URL")), ValueError)
    wire.manager.refused = None
    waits = getattr(handler, send)(PEER, URL)
    assert not waits.called
    wire.open()
    assert len(wire.sent()) == 1


@pytest.mark.parametrize("send", ["send_url", "send_message"])
def test_what_waits_fails_when_its_handler_joins_a_refused_stream(send):
    handler = OOBHandler(reactor=Clock())
    waits = getattr(handler, send)(PEER, URL)
    wire = ClientWire()
    wire.manager.refused = refused = StreamRefused("the password is wrong")
    handler.setHandlerParent(wire.manager)
    assert outcome(waits) is refused


def test_refusal_leaves_alone_what_was_sent():
    handler, wire = connected()
    sent = handler.send_url(PEER, URL)
    refuse(wire, StreamRefused("another of ours took over"))
    assert not sent.called
    assert not handler.send_url(PEER, URL).called
    assert len(wire.sent()) == 2
