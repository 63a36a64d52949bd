"""on_offer: what the application sees, and the one answer that each offer gets."""

from __future__ import annotations

import random

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionLost
from twisted.logger import LogLevel
from twisted.python.failure import Failure
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish import domish

from tests.support.streams import (
    ME,
    PEER,
    URL,
    canonical,
    clock_of,
    connected,
    query,
    stanza,
)
from twisted_oob import (
    AlreadyAnswered,
    NotFound,
    OfferLost,
    OOBData,
    OOBError,
    OOBHandler,
    Rejected,
    ResourceConstraint,
)

pytestmark = pytest.mark.usefixtures("log")

STANZAS = "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"


def error(type_, code, condition, text=None, extra=""):
    told = "" if text is None else f"<text {STANZAS}>{text}</text>"
    given = "" if code is None else f" code='{code}'"
    return f"<error type='{type_}'{given}><{condition} {STANZAS}/>{told}{extra}</error>"


NOT_FOUND = error("cancel", 404, "item-not-found")
REJECT = error("modify", 406, "not-acceptable")
FAULT = error("wait", 500, "internal-server-error")


def assert_answer(sent, children="", id_="o1", to=PEER, from_=ME):
    """The answer is exactly this XML: an empty result, or the original query and this error."""
    type_ = "error" if children else "result"
    held = query() if children else ""
    expected = stanza("iq", held + children, type=type_, id=id_, to=to, from_=from_)
    assert canonical(sent) == canonical(expected)


class Awaitable:
    """An awaitable that is neither Deferred nor coroutine."""

    def __init__(self, deferred):
        self.deferred = deferred

    def __await__(self):
        return self.deferred.__await__()


async def coroutine(deferred):
    return await deferred


KINDS = pytest.mark.parametrize("kind", [lambda deferred: deferred, coroutine, Awaitable])


def offered(returned=None, **attributes):
    """Give the handler, the wire and the offer, after on_offer returned this."""
    offers = []

    def on_offer(offer):
        offers.append(offer)
        return returned

    handler, wire = connected(on_offer)
    wire.offer(**attributes)
    (offer,) = offers
    return handler, wire, offer


# What the application sees


def test_offer_tells_all_there_is():
    payload = query(URL + "?a&amp;b", "A &lt;cat&gt;").replace("<query", "<query sid='s1'")
    _handler, _wire, offer = offered(payload=payload, id="o7")
    assert offer.data == OOBData(URL + "?a&b", "A <cat>", "s1")
    assert (offer.url, offer.desc, offer.sid) == (URL + "?a&b", "A <cat>", "s1")
    assert offer.sender == JID(PEER)
    assert offer.recipient == JID(ME)
    assert isinstance(offer.sender, JID)
    assert isinstance(offer.recipient, JID)
    assert offer.element["id"] == "o7"
    assert offer.element.query.url is not None


def test_offer_without_desc_and_sid():
    _handler, _wire, offer = offered()
    assert (offer.desc, offer.sid) == (None, None)


def test_offer_is_called_once_for_each():
    seen = []
    _handler, wire = connected(lambda offer: seen.append(offer.element["id"]))
    for number in range(5):
        wire.offer(f"o{number}")
    assert seen == [f"o{number}" for number in range(5)]


def test_repr_shows_no_userinfo():
    _handler, _wire, offer = offered(payload=query("https://user:secret@h/"))
    assert "secret" not in repr(offer)
    assert PEER in repr(offer)


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
def test_error_that_no_peer_could_parse_is_logged_and_is_internal_server_error(raised, log):
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


REPLIES = [
    lambda offer: offer.reply_success(),
    lambda offer: offer.reply_failure("reject"),
    lambda offer: offer.reply_failure("not-found"),
]


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


def test_no_deadline_where_answer_timeout_is_none():
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


def test_work_is_cancelled_though_the_late_answer_cannot_be_written(log):
    cancelled = []
    handler, wire, _offer = offered(Deferred(cancelled.append))

    def broken(_stanza):
        raise OSError("no way out")

    wire.xmlstream.send = broken
    clock_of(handler).advance(3600)
    assert len(cancelled) == 1
    assert [type(error) for error in log.failures()] == [OSError]


def test_answer_that_cannot_be_written_is_logged(log):
    _handler, wire, _offer = offered(done := Deferred())

    def broken(_stanza):
        raise OSError("no way out")

    wire.xmlstream.send = broken
    done.callback(None)
    assert [type(error) for error in log.failures()] == [OSError]


# Nobody to take it


def test_without_on_offer_every_offer_is_not_acceptable():
    _handler, wire = connected()
    wire.offer()
    assert_answer(wire.sent_one(), REJECT)


def test_subclass_may_define_on_offer_as_a_method():
    class Mine(OOBHandler):
        async def on_offer(self, offer):
            assert isinstance(self, Mine)
            raise NotFound(offer.url)

    _handler, wire = connected(handler=Mine)
    wire.offer()
    assert_answer(wire.sent_one(), error("cancel", 404, "item-not-found", URL))


def test_given_on_offer_is_preferred_to_the_method():
    class Mine(OOBHandler):
        def on_offer(self, offer):
            raise AssertionError

    _handler, wire = connected(lambda offer: offer.reply_success(), handler=Mine)
    wire.offer()
    assert_answer(wire.sent_one())


def test_first_of_two_handlers_takes_the_offer():
    _handler, wire = connected(lambda offer: offer.reply_success())
    second = OOBHandler(lambda offer: offer.reply_failure("reject"), reactor=clock_of(_handler))
    second.setHandlerParent(wire.manager)
    wire.offer()
    assert_answer(wire.sent_one())


def test_offer_that_another_handler_took_is_left_alone():
    seen = []
    _handler, wire = connected(seen.append)

    def take(iq):
        iq.handled = True

    wire.xmlstream.addObserver("/iq", take, priority=1)
    wire.offer()
    assert seen == []
    assert wire.sent() == []


def test_deferred_in_the_midst_of_its_callbacks_has_not_ended():
    _handler, wire = connected(lambda offer: work)

    def fail_later(_result):
        wire.offer()
        raise NotFound

    work = Deferred().addCallback(fail_later)
    work.callback(None)
    assert_answer(wire.sent_one(), NOT_FOUND)


# Many


def test_a_thousand_offers_in_one_stream_are_each_answered_once_with_their_own_id():
    done = {}

    def on_offer(offer):
        return done.setdefault(offer.element["id"], Deferred())

    handler, wire = connected(on_offer)
    wanted = [f"id-{number}" for number in range(1000)]
    for id_ in wanted:
        wire.offer(id_)
    assert len(clock_of(handler).getDelayedCalls()) == 1
    order = list(wanted)
    random.Random(66).shuffle(order)
    for number, id_ in enumerate(order):
        done[id_].callback(None) if number % 3 else done[id_].errback(NotFound())
    sent = wire.sent()
    assert [answer.get("id") for answer in sent] == order
    assert [answer.get("type") for answer in sent] == [
        "result" if number % 3 else "error" for number in range(1000)
    ]
    assert clock_of(handler).getDelayedCalls() == []
    assert handler._open_offers._open == set()
