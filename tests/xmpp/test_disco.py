"""Service discovery, and the answers to requests that no handler took."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from twisted.internet.defer import Deferred
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.jid import JID
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.support.stream_services import World
from tests.support.streams import COMPONENT
from twisted_oob.xmpp.disco import DiscoveryHandler, FallbackHandler, OneChildHandler

from wokkel.disco import DiscoFeature, DiscoHandler, DiscoIdentity, DiscoItem  # isort: skip
from wokkel.iwokkel import IDisco  # isort: skip
from wokkel.subprotocols import XMPPHandler  # isort: skip

INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
ASKER = "asker@far.example/phone"


@implementer(IDisco)
class Provider(XMPPHandler):
    """Gives features and items: lists, Deferreds, or an exception to raise."""

    def __init__(self, info=(), items=()):
        super().__init__()
        self.info, self.items = info, items
        self.asked = []

    def getDiscoInfo(self, requestor, target, nodeIdentifier=""):
        return self.give(self.info, requestor, target, nodeIdentifier)

    def getDiscoItems(self, requestor, target, nodeIdentifier=""):
        return self.give(self.items, requestor, target, nodeIdentifier)

    def give(self, what, *asked):
        self.asked.append(asked)
        if isinstance(what, Exception):
            raise what
        return what


class Other(XMPPHandler):
    """Is no provider of anything, but looks like one."""

    def getDiscoInfo(self, requestor, target, nodeIdentifier=""):
        raise AssertionError("it does not provide IDisco")


class End:
    """The other end of a component's stream."""

    def __init__(self, *handlers):
        self.world = World()
        discovery = DiscoveryHandler("component", "generic", "A service")
        for handler in (*handlers, discovery, OneChildHandler(), FallbackHandler()):
            handler.setHandlerParent(self.world.stream)
        self.world.stream.startService()
        self.world.server.accept()

    def ask(self, children, type_="get", **attributes):
        """Send a request; gives what comes back now."""
        given = {"type": type_, "id": "q1", "from": ASKER, "to": COMPONENT} | attributes
        iq = " ".join(f"{name}='{value}'" for name, value in given.items() if value is not None)
        self.world.server.send(f"<iq {iq}>{children}</iq>")
        return self.answers()

    def answers(self):
        return list(ElementTree.fromstring(f"<all>{self.world.server.received()}</all>"))

    def condition(self, children, type_="get", **attributes):
        """Give the condition of the one error that answers a request."""
        (answer,) = self.ask(children, type_, **attributes)
        assert answer.get("type") == "error"
        assert answer.get("id") == "q1"
        return answer.find("error")[0].tag.partition("}")[2]


def query(namespace, node=None):
    return f"<query xmlns='{namespace}'{'' if node is None else f' node={node!r}'}/>"


def found(answers):
    """Give what the one answer lists, each as its name and attributes."""
    (answer,) = answers
    assert (answer.get("type"), answer.get("to")) == ("result", ASKER)
    (listed,) = answer
    return [
        (one.tag.partition("}")[2], *(one.get(name) for name in ("category", "type", "var", "jid")))
        for one in listed
    ]


OWN = [
    ("identity", "component", "generic", None, None),
    ("feature", None, None, INFO, None),
    ("feature", None, None, ITEMS, None),
]


def feature(name):
    return ("feature", None, None, name, None)


def test_it_tells_its_identity_and_that_it_can_be_asked():
    end = End()
    (answer,) = answers = end.ask(query(INFO))
    assert found(answers) == OWN
    assert answer[0][0].get("name") == "A service"
    verifyObject(IDisco, DiscoveryHandler("client", "bot", "A bot"))


def test_it_has_no_items_of_its_own():
    assert found(End().ask(query(ITEMS))) == []


def test_it_gathers_what_all_handlers_provide_in_their_order():
    later = Deferred()
    first = Provider([DiscoFeature("urn:a")], [DiscoItem(JID("a.example"))])
    second = Provider(later)
    end = End(first, Other(), second)
    assert found(end.ask(query(ITEMS))) == [("item", None, None, None, "a.example")]

    assert end.ask(query(INFO)) == []
    later.callback([DiscoIdentity("client", "bot"), DiscoFeature("urn:b")])
    assert found(end.answers()) == [
        feature("urn:a"),
        ("identity", "client", "bot", None, None),
        feature("urn:b"),
        *OWN,
    ]


def test_what_several_handlers_provide_is_told_once():
    bot = DiscoIdentity("client", "bot", "Me")
    end = End(
        Provider([DiscoFeature("urn:b"), bot, DiscoFeature("urn:b")]),
        Provider([DiscoFeature("urn:a"), DiscoFeature("urn:b"), DiscoFeature(INFO)]),
        Provider([DiscoIdentity("client", "bot", "Me"), DiscoIdentity("client", "bot", "Other")]),
    )
    query = end.ask(f"<query xmlns='{INFO}'/>")[0][0]
    told = [each.get("var") or each.get("name") for each in query]
    assert told == ["urn:b", "Me", "urn:a", INFO, "Other", "A service", ITEMS]


@pytest.mark.parametrize("ours_first", [False, True])
def test_beside_wokkels_handler_there_is_one_answer_that_has_it_all(ours_first):
    end = End(*(() if ours_first else (DiscoHandler(),)))
    if ours_first:
        DiscoHandler().setHandlerParent(end.world.stream)
    assert found(end.ask(query(INFO))) == OWN
    assert found(end.ask(query(ITEMS))) == []


def test_handlers_hear_who_asks_whom_about_what():
    provider = Provider((), [DiscoItem(JID("a.example"))])
    end = End(provider)
    end.ask(query(INFO))
    end.ask(query(ITEMS, "of/this"), to=f"user@{COMPONENT}")
    end.ask(query(INFO), **{"from": None, "to": None})
    assert provider.asked == [
        (JID(ASKER), JID(COMPONENT), ""),
        (JID(ASKER), JID(f"user@{COMPONENT}"), "of/this"),
        (None, None, ""),
    ]


def test_a_node_that_a_handler_knows_is_answered_and_named():
    (answer,) = answers = End(Provider([DiscoFeature("urn:of-node")])).ask(query(INFO, "known"))
    assert found(answers) == [feature("urn:of-node")]
    assert answer[0].get("node") == "known"


def test_an_identity_alone_makes_a_node_known():
    end = End(Provider([DiscoIdentity("client", "bot")]))
    assert len(found(end.ask(query(INFO, "known")))) == 1


@pytest.mark.parametrize("namespace", [INFO, ITEMS])
@pytest.mark.parametrize("target", [COMPONENT, f"user@{COMPONENT}/r"])
def test_a_node_that_nobody_knows_is_not_found(namespace, target):
    assert End(Provider()).condition(query(namespace, "unknown"), to=target) == "item-not-found"


def test_a_node_that_tells_of_itself_may_have_no_items():
    class Known(Provider):
        def getDiscoInfo(self, requestor, target, nodeIdentifier=""):
            return [DiscoFeature("urn:of-node")] if nodeIdentifier == "known" else []

    end = End(Known())
    (answer,) = answers = end.ask(query(ITEMS, "known"))
    assert found(answers) == []
    assert answer[0].get("node") == "known"
    assert end.condition(query(ITEMS, "unknown")) == "item-not-found"


def test_a_node_with_items_is_answered_and_named():
    (answer,) = answers = End(Provider((), [DiscoItem(JID("a.example"))])).ask(query(ITEMS, "of"))
    assert found(answers) == [("item", None, None, None, "a.example")]
    assert answer[0].get("node") == "of"


@pytest.mark.parametrize("namespace", [INFO, ITEMS])
@pytest.mark.parametrize("asker", ["asker@far.example/😀", "asker@xn--bcher-kva.example/\u1e9e"])
def test_whoever_asks_gets_an_answer(namespace, asker):
    (answer,) = End().ask(query(namespace), **{"from": asker})
    assert (answer.get("type"), answer.get("to")) == ("result", asker)


@pytest.mark.parametrize("name", ["from", "to"])
@pytest.mark.parametrize("address", ["a@b@c", "@", ""])
def test_an_address_that_is_not_one_is_told(name, address):
    assert End(Provider()).condition(query(INFO), **{name: address}) == "jid-malformed"


@pytest.mark.parametrize(
    ("error", "condition"),
    [
        (StanzaError("forbidden"), "forbidden"),
        (ValueError("a secret"), "internal-server-error"),
        (TypeError("a secret"), "internal-server-error"),
        (StanzaError("no-such-condition"), "internal-server-error"),
    ],
)
def test_a_handler_that_fails_is_answered_for(log, error, condition):
    end = End(Provider(error))
    assert end.condition(query(INFO)) == condition
    assert log.failures() == ([] if condition == "forbidden" else [error])


@pytest.mark.parametrize("priority", [1, 0])
def test_what_is_handled_is_left_alone(priority):
    class Greedy(XMPPHandler):
        def connectionInitialized(self):
            self.xmlstream.addObserver("/iq", self.take, priority)

        def take(self, iq):
            iq.handled = True

    end = End(Greedy())
    assert end.ask(query(INFO)) == []
    assert end.ask(query(ITEMS)) == []
    assert end.ask("<query xmlns='urn:other'/>") == []


def test_an_answer_that_comes_too_late_is_not_sent_on_the_next_stream():
    later = Deferred()
    end = End(Provider(later))
    assert end.ask(query(INFO)) == []
    end.world.server.hang_up()
    end.world.next_pause()
    end.world.server.accept()
    later.callback([])
    assert end.answers() == []


@pytest.mark.parametrize("type_", ["get", "set"])
@pytest.mark.parametrize("children", ["", query(INFO) * 2, query(INFO) + query(ITEMS), "<a/><b/>"])
def test_a_request_without_exactly_one_child_is_bad(children, type_):
    provider = Provider()
    assert End(provider).condition(children, type_) == "bad-request"
    assert provider.asked == []


@pytest.mark.parametrize("type_", ["get", "set"])
def test_what_nobody_answers_is_unavailable_and_does_not_come_back(type_):
    (answer,) = End().ask("<query xmlns='urn:other'>of <a/> kind</query>", type_)
    (error,) = answer
    assert error[0].tag.endswith("}service-unavailable")


def test_info_is_asked_for_with_get_only():
    assert End().condition(query(INFO), "set") == "service-unavailable"


@pytest.mark.parametrize("type_", ["offer", "GET", "", None])
@pytest.mark.parametrize("children", ["", query(INFO), query(INFO) * 2, "<a/>"])
def test_an_iq_of_no_type_or_an_unknown_one_is_bad(children, type_):
    provider = Provider()
    assert End(provider).condition(children, type_) == "bad-request"
    assert provider.asked == []


@pytest.mark.parametrize("type_", ["result", "error"])
@pytest.mark.parametrize("children", ["", query(INFO), query(INFO) * 2, "<a/>"])
def test_what_is_no_request_is_not_answered(children, type_):
    assert End().ask(children, type_) == []
