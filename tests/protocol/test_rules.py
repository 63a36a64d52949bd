"""The wire table: each of its rules holds on every kind of stream, direct or not."""

from __future__ import annotations

from hashlib import sha256
from xml.etree import ElementTree

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.words.protocols.jabber.jid import JID

from tests.support.streams import (
    COMPONENT,
    PEER,
    URL,
    WIRES,
    Direct,
    InternalWire,
    canonical,
    clock_of,
    connected,
    outcome,
)
from tests.support.wire_page import PAGE, page
from twisted_oob import FileInfo, NotFound, OOBHandler, Rejected, ResourceConstraint
from twisted_oob.protocol import rules
from twisted_oob.xmpp.gate import Verdict

STRANGER = "mallory@evil.example/x"

every_wire = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
every_handler = pytest.mark.parametrize("handler", [OOBHandler, Direct], ids=["ordinary", "direct"])


def raises(error):
    def on_offer(_offer):
        raise error

    return on_offer


def replies(condition):
    def on_offer(offer):
        if condition is None:
            offer.reply_success()
        else:
            offer.reply_failure(condition)

    return on_offer


# In each of the ways that an application has to say it.
ON_OFFER = {
    rules.SUCCEEDS: [lambda _: succeed("anything"), replies(None)],
    rules.NOT_FOUND: [raises(NotFound()), lambda _: fail(NotFound()), replies("not-found")],
    rules.REJECTED: [raises(Rejected()), lambda _: fail(Rejected()), replies("reject")],
    rules.WAIT: [raises(ResourceConstraint()), lambda _: fail(ResourceConstraint())],
    rules.FAILS: [raises(KeyError("x")), lambda _: fail(KeyError("x"))],
    rules.SILENT: [lambda _: None, lambda _: Deferred()],
    rules.ABSENT: [None],
    rules.TOO_MANY: [lambda _: None],
    rules.DENIES: [pytest.fail],
    rules.DROPS: [pytest.fail],
    rules.NEVER_SEES_IT: [pytest.fail],
    rules.SEES_IT: [pytest.fail],
}


class Judge:
    """A gate with one verdict."""

    def __init__(self, verdict):
        self.verdict = verdict

    def judge(self, sender, id_):
        assert sender == PEER
        return self.verdict


OPTIONS = {
    rules.TOO_MANY: {"max_open_offers": 1},
    rules.DENIES: {"gate": Judge(Verdict.DENY)},
    rules.DROPS: {"gate": Judge(Verdict.DROP)},
}
CASES = [(rule, way) for rule in rules.REQUESTS for way in ON_OFFER[rule.application]]


@every_wire
@every_handler
@pytest.mark.parametrize(
    ("rule", "on_offer"), CASES, ids=[f"{rule.comes_in}: {rule.application}" for rule, _ in CASES]
)
def test_request(rule, on_offer, handler, wire, log):
    if "a..b" in rule.answer and wire is InternalWire:
        pytest.skip("a router has no way back to what is not an address")
    messages = []
    options = OPTIONS.get(rule.application, {})
    made, end = connected(on_offer, messages.append, wire=wire, handler=handler, **options)
    names = {"peer": PEER, "me": end.me}
    if rule.application == rules.TOO_MANY:
        end.offer("o0")
    # Twice, as a component is direct only from its second stanza on.
    for _ in range(2):
        end.receive(rule.stanza.format(**names))
        if rule.application == rules.SILENT:
            assert end.sent() == []
            clock_of(made).advance(made.answer_timeout)
        sent = [canonical(stanza) for stanza in end.sent()]
        assert sent == ([canonical(rule.answer.format(**names))] if rule.answer else [])
    assert len(messages) == (2 if rule.application == rules.SEES_IT else 0)
    if rule.application == rules.FAILS:
        assert [type(error) for error in log.failures()] == [KeyError] * 2
    elif rule.application == rules.SILENT:
        log.failures()


@every_wire
@every_handler
@pytest.mark.parametrize("rule", rules.ANSWERS, ids=lambda rule: rule.comes_in)
def test_answer(rule, handler, wire):
    made, end = connected(wire=wire, handler=handler)
    for _ in range(2):
        asked = made.send_url(PEER, URL)
        id_ = end.sent_one().get("id")
        end.receive(rule.stanza.format(peer=PEER, me=end.me, stranger=STRANGER, id=id_))
        if rule.outcome == rules.WAITS:
            assert not asked.called
        else:
            assert outcome(asked) == rule.outcome
        assert end.sent() == []


@every_wire
@every_handler
@pytest.mark.parametrize("rule", rules.BOUNCES, ids=lambda rule: rule.comes_in)
def test_bounce(rule, handler, wire):
    made, end = connected(wire=wire, handler=handler)
    names = {"peer": PEER, "bare": JID(PEER).userhost(), "domain": JID(PEER).host}
    for _ in range(2):
        told = made.send_message(PEER, URL, bounce_timeout=2.0)
        id_ = end.sent_one().get("id")
        end.receive(rule.stanza.format(**names, me=end.me, stranger=STRANGER, id=id_))
        if rule.outcome == rules.WAITS:
            assert not told.called
            clock_of(made).advance(2.0)
            assert outcome(told) is None
        else:
            assert outcome(told) == rule.outcome
        assert end.sent() == []
        assert clock_of(made).getDelayedCalls() == []


@every_wire
@every_handler
def test_what_is_sent_of_a_file(handler, wire):
    info = FileInfo("a.pdf", 3, "application/pdf", sha256(b"foo").hexdigest())
    made, end = connected(wire=wire, handler=handler)
    made.send_message(PEER, "https://files.example/a.pdf", "a report", info=info)
    message, description = end.sent()
    ids = {"id": message.get("id"), "other": description.get("id")}
    wanted = ElementTree.fromstring(f"<all>{rules.SENT.format(peer=PEER, **ids)}</all>")
    for stanza, example in zip((message, description), wanted, strict=True):
        if end.me == COMPONENT:
            example.set("from", COMPONENT)
        assert canonical(stanza) == canonical(example)


def test_every_rule_is_played_in_some_way():
    assert {rule.application for rule in rules.REQUESTS} == set(ON_OFFER)


def test_the_page_of_the_docs_is_that_of_the_table():
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.support.wire_page"
