"""What every entity of ours answers."""

from __future__ import annotations

import pytest

from twisted_oob import __version__
from twisted_oob.testing import MemoryServer
from twisted_oob.xmpp.basics import attach_basics

ME = "me@example.org/laptop"
ASKER = "asker@example.com/phone"
IDENTITY = ("client", "bot")


def asked(payload, kind="get"):
    """Ask an entity; gives what it answers, without addresses."""
    end = MemoryServer().client(ME)
    attach_basics(end, identity=IDENTITY, name="A name")
    end.receive(f"<iq type='{kind}' id='q1' from='{ASKER}' to='{ME}'>{payload}</iq>")
    [answer] = end.sent()
    assert (answer["id"], answer["to"]) == ("q1", ASKER)
    return answer


def test_disco_tells_the_identity_and_the_features():
    query = asked("<query xmlns='http://jabber.org/protocol/disco#info'/>").query
    [identity] = query.elements(query.uri, "identity")
    assert identity.attributes == {"category": "client", "type": "bot", "name": "A name"}
    assert {feature["var"] for feature in query.elements(query.uri, "feature")} == {
        "http://jabber.org/protocol/disco#info",
        "http://jabber.org/protocol/disco#items",
        "jabber:iq:version",
        "urn:xmpp:ping",
    }


def test_version_tells_the_program():
    query = asked("<query xmlns='jabber:iq:version'/>").query
    assert (str(query.firstChildElement()), str(query.version)) == ("twisted_oob", __version__)


def test_ping_is_answered():
    answer = asked("<ping xmlns='urn:xmpp:ping'/>")
    assert (answer["type"], answer.children) == ("result", [])


@pytest.mark.parametrize(
    ("payload", "kind", "condition"),
    [
        ("<query xmlns='of:nobody'/>", "get", "service-unavailable"),
        ("<query xmlns='of:nobody'/>", "set", "service-unavailable"),
        ("", "get", "bad-request"),
        ("<ping xmlns='urn:xmpp:ping'/><ping xmlns='urn:xmpp:ping'/>", "get", "bad-request"),
    ],
)
def test_what_nobody_answers_gets_an_error(payload, kind, condition):
    answer = asked(payload, kind)
    assert answer["type"] == "error"
    assert answer.error.firstChildElement().name == condition


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("manager", None, TypeError),
        ("manager", "me@home.example", TypeError),
        ("identity", "client/bot", TypeError),
        ("identity", {"client", "bot"}, TypeError),
        ("identity", ("client",), TypeError),
        ("identity", ("client", None), TypeError),
        ("identity", None, TypeError),
        ("name", None, TypeError),
        ("name", "", ValueError),
    ],
)
def test_wrong_arguments_are_named_and_no_handler_joins(name, value, error):
    end = MemoryServer().client(ME)
    given = {"manager": end, "identity": IDENTITY, "name": "A name"} | {name: value}
    with pytest.raises(error, match=name):
        attach_basics(given.pop("manager"), **given)
    assert list(end) == []
