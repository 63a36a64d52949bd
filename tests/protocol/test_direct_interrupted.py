"""What happens in the midst of a stanza, or goes wrong in taking one, does so as anywhere."""

from __future__ import annotations

import re
from contextlib import contextmanager

import pytest
from twisted.internet.defer import AlreadyCalledError, CancelledError, succeed
from twisted.logger import globalLogPublisher
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError

from tests.support.direct_runs import (
    FIRST,
    SECOND,
    Run,
    both_sockets,
    hooks,
    offer,
    result,
)
from tests.support.streams import PEER, URL, ClientWire, Direct, clock_of, connected, outcome, query
from twisted_oob import OOBHandler

# Something happens in the midst of a stanza.

SCENE = (
    offer("https://files.example/one")
    + f"<message from='{PEER}'><body>hello</body>{offer(from_='boss@home.example')} bye</message>"
    + result(FIRST)
    + offer(children=f"{query('https://files.example/two')} ")
    + offer("https://files.example/three", xmlns="STREAM")
)
DEEDS = {
    "is disowned": lambda run: run.do_disown(),
    "is disowned and returns": lambda run: run.do_leave_and_return(),
    "loses the stream": lambda run: run.do_lose(),
    "cancels a request": lambda run: run.requests[0].cancel(),
    "times out": lambda run: clock_of(run.handler).advance(1000),
    "asks": lambda run: run.do_send(None),
}


def interrupted(handler, deed, place, wire=ClientWire, **options):
    """Give a run that gets SCENE with something happening at a place in it."""
    run = Run(handler, wire, **options)
    data = run.data(SCENE.replace("STREAM", wire.namespace))
    run.receive(data[:place])
    deed(run)
    run.receive(data[place:])
    return run


# In each tag, after each, and in the text that follows; between attributes nothing happens.
PLACES = sorted(
    {0} | {match.end() + more for match in re.finditer("[<>]", SCENE) for more in (0, 1)}
)


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
def test_handler_that_acts_between_any_two_bytes(deed):
    for place in PLACES:
        runs = [interrupted(handler, deed, place) for handler in (Direct, OOBHandler)]
        assert runs[0].outcome() == runs[1].outcome(), place


@both_sockets
def test_handler_added_between_any_two_bytes(wire):
    # What is inside a stanza that had begun is nobody's offer, and no byte of it is lost.
    for place in PLACES:
        runs = [
            interrupted(handler, Run.do_join, place, wire, late=True)
            for handler in (Direct, OOBHandler)
        ]
        assert runs[0].outcome() == runs[1].outcome(), place
        assert all("boss" not in str(call[3]) for call in runs[0].calls), place


def test_handler_returned_between_any_two_bytes_is_direct_again():
    for place in PLACES:
        run = interrupted(Direct, DEEDS["is disowned and returns"], place)
        run.play("<presence/>")
        run.taken.clear()
        run.play(offer())
        assert run.calls[-1][0] == URL
        assert run.taken == []


@both_sockets
@pytest.mark.parametrize("leave", [Run.do_disown, Run.do_lose])
def test_stream_is_left_as_it_was_found_between_any_two_bytes(wire, leave):
    for place in PLACES:
        run = Run(wire=wire, late=True)
        found = hooks(run.stream)
        run.do_join()
        data = run.data(SCENE.replace("STREAM", wire.namespace))
        run.receive(data[:place])
        leave(run)
        assert hooks(run.stream) == found
        run.receive(data[place:])
        assert hooks(run.stream) == found


@pytest.mark.parametrize("leave", ["disown", "lose"])
@pytest.mark.parametrize("before", ["", "<presence/>", "<iq type='set'/>"])
@pytest.mark.parametrize("after", ["", " "])
def test_stream_is_left_as_it_was_found_inside_on_offer(leave, before, after):
    run = Run(late=True)
    found = hooks(run.stream)
    run.do_join()
    children = query(f"https://files.example/{leave}") + after
    run.play(before + offer(children=children) + "<presence/>" + offer())
    assert len(run.calls) == 1
    assert hooks(run.stream) == found


@pytest.mark.parametrize("deed", ["set", "reset", "set and reset"])
def test_dispatch_function_set_after_us_between_any_two_bytes(deed):
    for place in PLACES:
        run = Run()
        got = []

        def dispatch(element, run=run, got=got):
            got.append(element)
            run.xmlstream.onElement(element)

        def change(run, dispatch=dispatch):
            if "set" in deed.split():
                run.xmlstream.setDispatchFn(dispatch)
            if "reset" in deed:
                run.xmlstream.resetDispatchFn()

        data = run.data(SCENE.replace("STREAM", ClientWire.namespace))
        run.receive(data[:place])
        change(run)
        run.receive(data[place:])
        assert [call[0][22:] for call in run.calls] == ["one", "two", "three"]
        assert run.answers == [(FIRST, None)]
        assert [element[1][1] for element in run.seen] == ["message"]
        count = len(got)
        run.do_disown()
        run.play(SCENE.replace("STREAM", ClientWire.namespace))
        assert len(got) - count == (5 if deed == "set" else 0)
        assert len(run.calls) == 3
        assert len(run.seen) == 6


def test_request_cancelled_or_late_within_its_result_is_not_answered():
    for deed, error in (
        (DEEDS["cancels a request"], CancelledError),
        (DEEDS["times out"], IQTimeoutError),
    ):
        run = Run()
        data = run.data(result())
        run.receive(data[:-3])
        deed(run)
        run.receive(data[-3:])
        assert run.answers[0] == (FIRST, error)
        assert [element[1][1] for element in run.seen] == ["iq"]


def test_next_stream_is_direct_too():
    run = Run()
    for _ in range(3):
        run.play(offer() + "<iq type='set'")
        run.end.lose()
        run.end.open()
        run.xmlstream = run.end.xmlstream
        run.xmlstream.addObserver("/*", run.observe)
        run.calls.clear()
        run.play(offer())
        assert len(run.calls) == 1
        assert run.taken == run.seen == []


# What goes wrong does so as anywhere else on the stream.


class LogFailedError(Exception):
    """The traffic log can't be written."""


def fails(_data):
    raise LogFailedError


@contextmanager
def failures():
    """Give the types of the exceptions that are logged, also by what logs as of old."""
    types = []

    def observe(event):
        failure = event.get("log_failure") or event.get("failure")
        if failure is not None:
            types.append(failure.type)

    globalLogPublisher.addObserver(observe)
    yield types
    globalLogPublisher.removeObserver(observe)


@pytest.mark.parametrize("handler", [Direct, OOBHandler])
@pytest.mark.parametrize(
    "xml", [offer("https://files.example/raise"), offer("no URL"), offer(), result()]
)
def test_stream_outlives_an_answer_that_cannot_be_sent(handler, xml):
    run = Run(handler)
    asked = run.requests[0].addCallback(lambda _: run.handler.send_url(PEER, URL))
    run.xmlstream.rawDataOutFn = fails
    with failures() as logged:
        run.play(xml)
    run.xmlstream.rawDataOutFn = None
    run.end.transport.clear()
    run.play("<presence/>" + offer() + result(SECOND))
    assert run.raised == []
    assert run.answers[-1] == (SECOND, None)
    assert b"type='result'" in run.end.transport.value()
    assert [element[1][1] for element in run.seen] == ["presence"]
    if xml == result():
        assert isinstance(outcome(asked), LogFailedError)
    else:
        assert LogFailedError in logged


@pytest.mark.parametrize("handler", [Direct, OOBHandler])
def test_stream_outlives_a_request_that_the_application_fired_itself(handler):
    made, end = connected(lambda _: succeed(None), handler=handler)
    request = made.send_url(PEER, URL)
    sent = end.sent_one()
    request.callback("mine")
    with failures() as logged:
        end.answer(sent)
    assert logged == [AlreadyCalledError]
    end.offer()
    assert end.sent_one().get("type") == "result"


@pytest.mark.parametrize("handler", [Direct, OOBHandler])
def test_stream_outlives_a_wrong_answer_timeout(handler):
    made, end = connected(lambda _: None, handler=handler)
    made.answer_timeout = "an hour"
    with failures() as logged:
        end.offer()
    assert logged == [TypeError]
    made.answer_timeout = None
    made.on_offer = lambda _: succeed(None)
    end.offer()
    assert end.sent_one().get("type") == "result"
