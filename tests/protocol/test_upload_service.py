"""Finding upload services: who is asked, what counts as one, and who is not waited for."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.words.protocols.jabber.jid import JID

from tests.support.slot_service import (
    DOMAIN,
    INFO,
    ITEMS,
    ME,
    NS,
    SILENCE,
    UPLOAD,
    Scripted,
    form,
    info,
    items,
)
from tests.support.streams import outcome
from twisted_oob import UploadService
from twisted_oob.protocol.upload_service import Found, find_services, read_limits, server_domain
from twisted_oob.testing import MemoryServer
from twisted_oob.xmpp.asking import AskingHandler

from wokkel.generic import parseXml  # isort: skip

pytestmark = pytest.mark.usefixtures("log")

LEGACY = "urn:xmpp:http:upload"


class Network:
    """A client, its server's domain, and components."""

    def __init__(self, **domain):
        self.server = MemoryServer()
        self.end = self.server.client(ME)
        self.handler = AskingHandler(self.server.clock)
        self.handler.setHandlerParent(self.end)
        self.domain = self.entity(DOMAIN, domain)

    def entity(self, jid, script):
        script = {{"info": INFO, "items": ITEMS}[name]: said for name, said in script.items()}
        scripted = Scripted(script)
        scripted.setHandlerParent(self.server.component(jid))
        return scripted

    def find(self):
        return Deferred.fromCoroutine(find_services(self.handler, DOMAIN))

    def found(self):
        return outcome(self.find())


def service(jid, limit=None):
    return UploadService(JID(jid), limit)


def test_an_item_is_found():
    network = Network(info=info(features=()), items=items("chat.home.example", UPLOAD))
    network.entity("chat.home.example", {"info": info(features=["muc"])})
    network.entity(UPLOAD, {"info": info(form(5))})
    assert network.found() == Found((service(UPLOAD, 5),), complete=True)


def test_the_domain_itself_can_be_the_service():
    network = Network(info=info(form(5)), items=items())
    assert network.found().services == (service(DOMAIN, 5),)


def test_the_domain_is_asked_although_it_has_no_items():
    assert Network(info=info()).found().services == (service(DOMAIN),)


def test_nobody_has_one():
    found = Network(info=info(features=[LEGACY]), items=items()).found()
    assert found == Found((), complete=True)
    assert found.best is None


def test_of_several_the_one_with_most_room_is_the_best():
    for limits, best in (((5, 9, 9), 1), ((5, None, 9), 1), ((9, 5, 5), 0)):
        jids = [f"{n}.home.example" for n in range(3)]
        network = Network(items=items(*jids))
        for jid, limit in zip(jids, limits, strict=True):
            network.entity(jid, {"info": info(*([] if limit is None else [form(limit)]))})
        assert network.found().best == service(jids[best], limits[best])


def test_who_does_not_answer_holds_up_nobody_for_long():
    network = Network(info=SILENCE, items=items("down.home.example", UPLOAD, "gone.home.example"))
    network.entity("down.home.example", {"info": SILENCE})
    network.entity(UPLOAD, {"info": info()})
    finding = network.find()
    for _ in range(2):
        assert not finding.called
        network.server.clock.advance(3)
    assert outcome(finding) == Found((service(UPLOAD),), complete=False)
    assert network.server.clock.getDelayedCalls() == []


def test_a_stream_that_is_lost_is_no_answer():
    network = Network(info=SILENCE, items=items())
    finding = network.find()
    network.end.lose()
    assert isinstance(outcome(finding), ConnectionLost)


def test_each_item_is_asked_once_and_nonsense_is_not():
    given = (
        f"<query xmlns='{ITEMS}'><item jid='{UPLOAD}'/><item jid='UPLOAD.home.example'/>"
        f"<item jid='{DOMAIN}'/><item jid='a..b'/><item/><item jid='n.home.example' node='n'/>"
        f"<item xmlns='urn:x' jid='x.home.example'/><item jid='{'a' * 5000}'/></query>"
    )
    network = Network(items=given)
    upload = network.entity(UPLOAD, {"info": info()})
    assert network.found().services == (service(UPLOAD),)
    assert len(upload.asked) == 1
    assert [stanza["to"] for stanza in network.end.sent()] == [DOMAIN, DOMAIN, UPLOAD]


def test_a_server_with_thousands_of_items_is_not_asked_for_all():
    network = Network(items=items(*(f"{n}.home.example" for n in range(3000))))
    assert network.found().services == ()
    assert len(network.end.sent()) == 102


def test_a_query_for_items_that_is_answered_with_nonsense():
    network = Network(info=" ", items="<query xmlns='urn:x'/>")
    assert network.found() == Found((), complete=True)


@pytest.mark.parametrize(
    ("said", "limits"),
    [
        (info(), [None]),
        (info(form(104_857_600)), [104_857_600]),
        # ejabberd has the old form first.
        (info(form(5, LEGACY), form(9), features=[LEGACY, NS]), [9]),
        (info(form(9), form(5, LEGACY)), [9]),
        (info(form(5, LEGACY)), [None]),
        (info(form("lots")), [None]),
        (info(form(-5)), [None]),
        (info(form("")), [None]),
        (info(form("lots"), form(9)), [9]),
        (info(form(5, kind="other")), [None]),
        (info("<x xmlns='jabber:x:data'/>"), [None]),
        (info("<x xmlns='jabber:x:data'><field/><field var='max-file-size'/></x>"), [None]),
        (info("<x xmlns='urn:x'><field var='FORM_TYPE'/></x>", form(5)), [5]),
        (info(form(5), features=["urn:xmpp:http:upload:1"]), []),
        (info(form(5), features=()), []),
        (f"<query xmlns='{INFO}'><feature/><feature xmlns='urn:x' var='{NS}'/></query>", []),
        ("<query xmlns='urn:x'/>", []),
        ("text", []),
        (info(form(5)) + info(form(9)), [5]),
    ],
)
def test_what_counts_as_a_service_and_its_limit(said, limits):
    answer = parseXml(f"<iq xmlns='jabber:client' type='result'>{said}</iq>".encode())
    assert list(read_limits(answer)) == limits


def test_no_answer_is_no_service():
    assert list(read_limits(None)) == []


@pytest.mark.parametrize(
    ("me", "domain"),
    [
        (ME, "home.example"),
        ("me@home.example", "home.example"),
        ("files.home.example", "home.example"),
        ("oob.localhost", "localhost"),
        ("localhost", None),
        (None, None),
    ],
)
def test_the_servers_domain_is_known_by_our_address(me, domain):
    assert server_domain(None if me is None else JID(me)) == domain
