"""Errors and conditions: what a peer is told, what it told us, and what only our log reads."""

from __future__ import annotations

import gc

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from twisted.words.protocols.jabber.error import NS_XMPP_STANZAS, StanzaError

from twisted_oob import errors
from twisted_oob.errors import ErrorCondition, error_from_condition, error_from_stanza

from wokkel.generic import parseXml  # isort: skip

FIXED = {
    "NotFound": ("item-not-found", "cancel", "404"),
    "FetchFailed": ("item-not-found", "cancel", "404"),
    "Rejected": ("not-acceptable", "modify", "406"),
    "Forbidden": ("not-acceptable", "modify", "406"),
    "TooLarge": ("not-acceptable", "modify", "406"),
    "ResourceConstraint": ("resource-constraint", "wait", "500"),
    "NoRoom": ("resource-constraint", "wait", "500"),
    "TryLater": ("resource-constraint", "wait", "500"),
}


@pytest.mark.parametrize(("name", "told"), FIXED.items(), ids=FIXED)
@pytest.mark.parametrize("text", [None, "Not <this> & that"])
def test_each_class_has_its_stanza_error(name, told, text):
    condition, type_, code = told
    error = getattr(errors, name)(text)
    element = parseXml(error.getElement().toXml().encode())
    assert (element["type"], element["code"]) == (type_, code)
    children = {child.name: str(child) for child in element.elements(NS_XMPP_STANZAS, None)}
    assert children == {condition: ""} | ({} if text is None else {"text": text})


@pytest.mark.parametrize(
    ("given", "logged"),
    [
        ({}, "item-not-found"),
        ({"text": "for all"}, "for all"),
        ({"detail": "for us"}, "for us"),
        ({"text": "for all", "detail": "for us"}, "for us"),
    ],
)
def test_the_detail_is_for_the_log_and_never_for_the_peer(given, logged):
    error = errors.NotFound(**given)
    assert (error.detail, str(error)) == (logged, logged)
    assert "for us" not in error.getElement().toXml()
    assert error.text == given.get("text")


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("AlreadyAnswered", "OOBError"),
        ("OfferLost", "OOBError"),
        ("QueueFull", "OOBError"),
        ("StreamRefused", "OOBError"),
        ("NoService", "StreamRefused"),
        ("Unencrypted", "StreamRefused"),
        ("AuthenticationFailed", "StreamRefused"),
        ("Forbidden", "Rejected"),
        ("TooLarge", "Rejected"),
        ("FetchFailed", "NotFound"),
        ("NoRoom", "ResourceConstraint"),
        ("TryLater", "ResourceConstraint"),
        ("CommitPending", "NoRoom"),
    ],
)
def test_who_catches_the_base_catches_it(name, base):
    assert issubclass(getattr(errors, name), getattr(errors, base))


def test_errors_of_ours_are_no_answers_and_answers_are_no_errors_of_ours():
    assert not issubclass(errors.OOBError, StanzaError)
    assert not issubclass(errors.NotFound, errors.OOBError)
    assert issubclass(errors.InvalidOOBData, ValueError)
    assert issubclass(errors.WrongType, TypeError)
    assert issubclass(errors.WrongType, errors.InvalidOOBData)


@pytest.mark.parametrize(
    "name", ["StreamRefused", "NoService", "Unencrypted", "AuthenticationFailed"]
)
def test_a_refused_stream_says_why_and_whether_for_good(name):
    refused = getattr(errors, name)
    assert (str(refused("why")), refused("why").permanent) == ("why", True)
    assert refused("why", permanent=False).permanent is False


@pytest.mark.parametrize("condition", [None, "not-authorized"])
def test_a_failed_authentication_knows_what_the_server_said(condition):
    assert errors.AuthenticationFailed("why", condition=condition).condition == condition
    assert errors.AuthenticationFailed("why").condition is None


WORDS = [
    ("item-not-found", "cancel", "not-found"),
    ("item-not-found", "wait", "not-found"),
    *(
        (condition, type_, "unavailable")
        for condition in (
            "service-unavailable",
            "feature-not-implemented",
            "recipient-unavailable",
            "gone",
            "redirect",
            "remote-server-not-found",
            "remote-server-timeout",
            "subscription-required",
        )
        for type_ in ("cancel", "wait")
    ),
    *(("resource-constraint", type_, "wait") for type_ in ("wait", "cancel", "modify")),
    ("internal-server-error", "wait", "wait"),
    ("internal-server-error", "cancel", "reject"),
    ("undefined-condition", "wait", "wait"),
    ("undefined-condition", "cancel", "reject"),
    ("unexpected-request", "wait", "wait"),
    ("something-new", "wait", "wait"),
    ("something-new", "auth", "reject"),
    ("not-acceptable", "modify", "reject"),
    ("policy-violation", "wait", "wait"),
    ("policy-violation", "modify", "reject"),
    ("forbidden", "auth", "reject"),
    ("not-allowed", "cancel", "reject"),
    ("registration-required", "auth", "reject"),
    ("bad-request", "modify", "reject"),
    (None, "cancel", "reject"),
    ("not-acceptable", "whatever", "reject"),
]


@pytest.mark.parametrize(("condition", "type_", "word"), WORDS)
def test_a_condition_is_one_of_four_words_and_has_the_error_itself(condition, type_, word):
    error = StanzaError(condition, type=type_)
    told = ErrorCondition(error)
    assert told == word
    assert told.error is error
    assert {told: 1}[word] == 1


def test_the_four_words_have_names():
    names = (errors.NOT_FOUND, errors.REJECT, errors.UNAVAILABLE, errors.WAIT)
    assert sorted(names) == sorted({word for *_, word in WORDS})


@pytest.mark.parametrize(("word", "kind"), [("not-found", "NotFound"), ("reject", "Rejected")])
def test_each_word_has_an_error(word, kind):
    error = error_from_condition(word)
    assert type(error) is getattr(errors, kind)
    assert ErrorCondition(error) == word


@pytest.mark.parametrize("word", ["", "item-not-found", "Reject", "wait", "unavailable", None])
def test_no_other_word_has_one(word):
    with pytest.raises(ValueError, match="'not-found' or 'reject', not"):
        error_from_condition(word)


def condition(name):
    return f"<{name} xmlns='{NS_XMPP_STANZAS}'/>"


TEXT = f"<text xmlns='{NS_XMPP_STANZAS}'>Gone away</text>"


@pytest.mark.parametrize(
    ("xml", "read"),
    [
        (f"<error type='wait'>{condition('item-not-found')}</error>", "item-not-found wait None"),
        (f"<error type='auth'>{condition('x')}{TEXT}</error>", "x auth Gone away"),
        (f"<error>{TEXT}{condition('not-allowed')}</error>", "not-allowed cancel Gone away"),
        # Only a code, as before XMPP.
        ("<error code='404'>Gone away</error>", "item-not-found cancel Gone away"),
        ("<error code='406'/>", "not-acceptable modify "),
        ("<error code='999'/>", "undefined-condition cancel None"),
        (f"<error code='999' type='wait'>{TEXT}</error>", "undefined-condition wait Gone away"),
        # No condition that we could read.
        ("<error type='wait'/>", "undefined-condition wait None"),
        (f"<error type='modify'>{TEXT}</error>", "undefined-condition modify Gone away"),
        (f"<error type=''>{TEXT}</error>", "undefined-condition cancel Gone away"),
        (
            f"<error>{TEXT}{TEXT.replace('Gone', 'Far')}</error>",
            "undefined-condition cancel Gone away",
        ),
        ("<error><item-not-found xmlns='urn:other'/></error>", "undefined-condition cancel None"),
        ("<error xmlns='urn:other' type='wait'/>", "undefined-condition cancel None"),
        ("", "undefined-condition cancel None"),
    ],
)
def test_every_stanza_of_type_error_gives_an_error(xml, read):
    stanza = parseXml(f"<iq xmlns='jabber:client' type='error'><query/>{xml}</iq>".encode())
    error = error_from_stanza(stanza)
    assert f"{error.condition} {error.type} {error.text}" == read


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (("not-allowed",), "not-allowed"),
        (("not-allowed", "no uploads"), "no uploads"),
        (("resource-constraint", "quota", 90.4), "quota; it may be asked again in 90 s"),
        (("resource-constraint", None, 0.1), "resource-constraint; it may be asked again in 1 s"),
        (("resource-constraint", None, 0.0), "resource-constraint"),
    ],
)
def test_a_slot_that_was_refused_says_why_and_until_when(given, text):
    assert str(errors.SlotRefused(*given)) == f"the upload service gave no slot: {text}"


@pytest.mark.parametrize("asked", ["before", "after", "never"])
def test_only_who_asks_how_a_late_file_ends_is_told_that_it_failed(asked):
    end, told = Deferred(), []
    error = errors.CommitPending(end)
    if asked == "before":
        error.later.addErrback(told.append)
    end.errback(OSError("broken"))
    if asked == "after":
        error.later.addErrback(told.append)
    assert [str(failure.value) for failure in told] == ["broken"] * (asked != "never")
    # An error that nobody has handled is in the log when its Deferred is collected.
    unhandled = []
    globalLogPublisher.addObserver(unhandled.append)
    try:
        del end, error
        told.clear()
        gc.collect()
    finally:
        globalLogPublisher.removeObserver(unhandled.append)
    assert unhandled == []
