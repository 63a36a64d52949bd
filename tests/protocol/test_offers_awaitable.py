"""Offers that are answered by the end of what on_offer returned."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.xish import domish

from tests.support.offers import (
    FAULT,
    KINDS,
    NOT_FOUND,
    REJECT,
    assert_answer,
    error,
    offered,
)
from tests.support.streams import connected
from twisted_oob import NotFound, Rejected, ResourceConstraint

pytestmark = pytest.mark.usefixtures("log")


# Answers by an awaitable


@KINDS
def test_success_of_the_awaitable_is_a_result(kind):
    _handler, wire, _offer = offered(kind(done := Deferred()))
    assert wire.sent() == []
    done.callback("what it gives does not matter")
    assert_answer(wire.sent_one())


@KINDS
@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (NotFound(), NOT_FOUND),
        (NotFound("no such file"), error("cancel", 404, "item-not-found", "no such file")),
        (Rejected(), REJECT),
        (Rejected("too & large"), error("modify", 406, "not-acceptable", "too &amp; large")),
        (ResourceConstraint("later"), error("wait", 500, "resource-constraint", "later")),
        (NotFound("told", detail="kept"), error("cancel", 404, "item-not-found", "told")),
        (NotFound(detail="kept"), NOT_FOUND),
        (StanzaError("forbidden"), error("auth", 403, "forbidden")),
        (StanzaError("forbidden", type="cancel"), error("cancel", 403, "forbidden")),
        (
            StanzaError("gone", text="a\x00b\x0b\ud800\uffff<", type="cancel"),
            error("cancel", 302, "gone", "a\ufffdb\ufffd\ufffd\ufffd&lt;"),
        ),
        (
            StanzaError("conflict", appCondition=domish.Element(("urn:x", "mine"))),
            error("cancel", 409, "conflict", extra="<mine xmlns='urn:x'/>"),
        ),
    ],
)
def test_stanza_error_of_the_awaitable_is_that_error(kind, raised, told, log):
    _handler, wire, _offer = offered(kind(done := Deferred()))
    done.errback(raised)
    assert_answer(wire.sent_one(), told)
    assert log.failures() == []


@KINDS
@pytest.mark.parametrize("raised", [ValueError("mine"), OSError("disk"), CancelledError()])
def test_other_exception_is_logged_and_is_internal_server_error(kind, raised, log):
    _handler, wire, _offer = offered(kind(done := Deferred()))
    done.errback(raised)
    assert_answer(wire.sent_one(), FAULT)
    assert log.failures() == [raised]


@pytest.mark.parametrize(
    "raised",
    [
        StanzaError("of-my-own"),
        StanzaError(None),
        StanzaError("not a name", type="cancel"),
        StanzaError("bad-request", type="whatever"),
        StanzaError("undefined-condition"),
        StanzaError("bad-request", text=5),
        StanzaError("bad-request", text=b"bytes"),
    ],
)
def test_error_outside_rfc_6120_is_logged_and_is_internal_server_error(raised, log):
    _handler, wire, _offer = offered(fail(raised))
    assert_answer(wire.sent_one(), FAULT)
    assert len(log.failures()) == 1


def test_undefined_condition_with_a_type_is_sent_as_it_is():
    _handler, wire, _offer = offered(fail(StanzaError("undefined-condition", type="cancel")))
    assert_answer(wire.sent_one(), error("cancel", 500, "undefined-condition"))


@pytest.mark.parametrize(
    ("raised", "told"),
    [(NotFound(), NOT_FOUND), (Rejected(), REJECT), (ValueError("mine"), FAULT)],
)
def test_exception_of_on_offer_itself_is_the_answer(raised, told, log):
    def on_offer(_offer):
        raise raised

    _handler, wire = connected(on_offer)
    wire.offer()
    assert_answer(wire.sent_one(), told)
    assert log.failures() == ([raised] if told is FAULT else [])


@pytest.mark.parametrize("value", [True, False, "done", 0, object(), [], NotFound()])
def test_return_of_anything_else_is_logged_and_is_internal_server_error(value, log):
    _handler, wire, _offer = offered(value)
    assert_answer(wire.sent_one(), FAULT)
    (logged,) = log.failures()
    assert isinstance(logged, TypeError)


@pytest.mark.parametrize("value", [None, 5])
def test_deferred_that_has_fired_answers_at_once(value):
    _handler, wire, _offer = offered(succeed(value))
    assert_answer(wire.sent_one())


def test_awaitables_may_end_in_any_order():
    done = {}

    def on_offer(offer):
        return done.setdefault(offer.element["id"], Deferred())

    _handler, wire = connected(on_offer)
    for id_ in ["o1", "o2", "o3"]:
        wire.offer(id_)
    done["o3"].callback(None)
    done["o1"].errback(NotFound())
    done["o2"].callback(None)
    third, first, second = wire.sent()
    assert_answer(third, id_="o3")
    assert_answer(first, NOT_FOUND)
    assert_answer(second, id_="o2")


def test_deferred_in_the_midst_of_its_callbacks_has_not_ended():
    _handler, wire = connected(lambda offer: work)

    def fail_later(_result):
        wire.offer()
        raise NotFound

    work = Deferred().addCallback(fail_later)
    work.callback(None)
    assert_answer(wire.sent_one(), NOT_FOUND)


@pytest.mark.parametrize(("end", "told"), [(None, ""), (NotFound(), NOT_FOUND)])
def test_paused_deferred_answers_once_it_goes_on(end, told):
    work = Deferred()
    work.pause()
    _handler, wire, _offer = offered(work)
    work.callback(None) if end is None else work.errback(end)
    assert wire.sent() == []
    work.unpause()
    assert_answer(wire.sent_one(), told)


@pytest.mark.parametrize(("end", "told"), [(None, ""), (NotFound(), NOT_FOUND)])
@pytest.mark.parametrize("chained_first", [True, False])
def test_chained_deferred_answers_at_the_end_of_the_chain(end, told, chained_first):
    last = Deferred()
    work = Deferred().addCallback(lambda _: last)
    if chained_first:
        work.callback(None)
    _handler, wire, _offer = offered(work)
    if not chained_first:
        work.callback(None)
    assert wire.sent() == []
    last.callback(None) if end is None else last.errback(end)
    assert_answer(wire.sent_one(), told)


def test_loss_of_the_stream_cancels_the_end_of_the_chain():
    cancelled = []
    last = Deferred(cancelled.append)
    _handler, wire, _offer = offered(succeed(None).addCallback(lambda _: last))
    wire.lose()
    assert cancelled == [last]


def unwritable(extra):
    """Make an error with something in it that XML can't hold."""
    condition = domish.Element(("urn:x", "why"))
    condition.addContent(extra)
    return StanzaError("not-acceptable", appCondition=condition)


@pytest.mark.parametrize("raised", [unwritable("\0"), unwritable("\ud800"), unwritable("\uffff")])
def test_error_that_xml_cannot_hold_is_logged_and_is_internal_server_error(raised, log):
    wire = offered(fail(raised))[1]
    assert_answer(wire.sent_one(), FAULT)
    assert [type(error) for error in log.failures()] == [ValueError]
