"""Delivery: what each answer means, what its repr keeps to itself."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from twisted.words.protocols.jabber.error import StanzaError

from twisted_oob import (
    Delivery,
    ErrorCondition,
    FileTooLarge,
    SlotRefused,
    UploadFailed,
    UploadServiceNotFound,
)
from twisted_oob.transfer.delivery import of_answer, of_bounce, of_failed_upload, shown_place


def condition(name, kind="cancel", text=None):
    return ErrorCondition(StanzaError(name, type=kind, text=text))


def test_an_answer_without_an_error_is_the_file():
    assert of_answer(None) == ("received", None, None)


@pytest.mark.parametrize(
    ("name", "kind", "of_peer", "of_message"),
    [
        ("item-not-found", "cancel", "not-found", "unavailable"),
        ("not-acceptable", "modify", "reject", "reject"),
        ("forbidden", "auth", "reject", "reject"),
        ("policy-violation", "modify", "reject", "reject"),
        ("service-unavailable", "cancel", "unavailable", "unavailable"),
        ("remote-server-not-found", "cancel", "unavailable", "unavailable"),
        ("remote-server-timeout", "wait", "unavailable", "unavailable"),
        ("gone", "cancel", "unavailable", "unavailable"),
        ("resource-constraint", "wait", "wait", "wait"),
        ("internal-server-error", "wait", "wait", "wait"),
    ],
)
def test_an_error_says_what_became_of_it(name, kind, of_peer, of_message):
    error = condition(name, kind, "a text")
    assert of_answer(error) == (of_peer, name, "a text")
    assert of_bounce(error) == (of_message, name, "a text")


@pytest.mark.parametrize(
    ("error", "name", "said"),
    [
        (UploadServiceNotFound("no service"), None, "no service"),
        (FileTooLarge(7), None, "7 bytes"),
        (SlotRefused("resource-constraint", "quota reached", 60.0), "resource-constraint", "quota"),
        (SlotRefused("not-allowed"), "not-allowed", "not-allowed"),
        (UploadFailed(500, "the server answered 500"), None, "500"),
    ],
)
def test_an_upload_that_failed_says_why(error, name, said):
    outcome, got, text = of_failed_upload(error)
    assert (outcome, got) == ("upload-failed", name)
    assert said in text


def test_it_can_not_be_changed_and_its_parts_have_names():
    delivery = Delivery(outcome="sent", url="https://files.example/a", via="url", how="message")
    assert (delivery.condition, delivery.text, delivery.size, delivery.sha256) == (None,) * 4
    with pytest.raises(FrozenInstanceError):
        delivery.outcome = "received"
    with pytest.raises(TypeError):
        Delivery("sent")
    assert delivery == Delivery(
        outcome="sent", url="https://files.example/a", via="url", how="message"
    )


@pytest.mark.parametrize(
    ("url", "via", "shown"),
    [
        ("http://192.0.2.7:4711/T0K3N/a.png", "share", "http://192.0.2.7:4711/..."),
        ("https://me:T0K3N@files.example/T0K3N/a?T0K3N", "upload", "https://files.example/..."),
        ("http://[2001:db8::1]:80/T0K3N/a#T0K3N", "share", "http://[2001:db8::1]:80/..."),
        ("https://me:T0K3N@files.example/a.png?T0K3N", "url", "https://files.example/a.png"),
    ],
)
def test_its_repr_gives_nobody_the_file(url, via, shown):
    assert shown_place(url, via) == shown
    told = repr(Delivery(outcome="received", url=url, via=via, text=f"look at {url}", size=9))
    assert shown in told
    assert "size=9" in told
    assert "T0K3N" not in told.partition("text=")[0]
    assert "me:" not in told
