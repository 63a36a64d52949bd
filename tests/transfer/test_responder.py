"""Who may ask, then fetch, then answer: over a real router, real sockets and a real folder."""

from __future__ import annotations

import os
import threading

import pytest
import pytest_twisted
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.logger import formatEvent
from twisted.words.protocols.jabber import jid
from twisted.words.xish import domish

from tests.support.hostile_http import answer, then_close
from tests.support.network import DOMAIN, SENDER, Watcher
from twisted_oob import DISCO_FEATURES, ServedStream, __version__

NS_DISCO_INFO = "http://jabber.org/protocol/disco#info"
NS_DISCO_ITEMS = "http://jabber.org/protocol/disco#items"


def iq(kind, namespace, name):
    element = domish.Element((None, "iq"))
    element["type"], element["id"], element["to"] = kind, "q1", DOMAIN
    element.addElement((namespace, name))
    return element


@pytest_twisted.ensureDeferred
async def test_success_means_the_whole_file_is_there(network):
    sender = await network.start()
    network.web.answers.append(answer(b"all of it"))

    assert await sender.oob.send_url(DOMAIN, network.web.url("/report.pdf"), "A report") is None
    assert network.files() == {"report.pdf": b"all of it"}


@pytest_twisted.ensureDeferred
async def test_result_only_after_rename(network):
    sender = await network.start()
    at_answer = []
    watcher = Watcher(lambda stanza: at_answer.append((stanza["type"], network.files())))
    watcher.setHandlerParent(network.embedded._component)
    network.web.answers.append(answer(b"all of it"))

    await sender.oob.send_url(DOMAIN, network.web.url("/report.pdf"))

    assert at_answer == [("result", {"report.pdf": b"all of it"})]


@pytest_twisted.ensureDeferred
async def test_no_answer_while_the_file_is_not_on_the_disk(network, monkeypatch):
    sender = await network.start()
    syncing, may_go_on = threading.Event(), threading.Event()
    fsync = os.fsync

    def slow_fsync(fd):
        syncing.set()
        assert may_go_on.wait(10)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", slow_fsync)
    network.web.answers.append(answer(b"all of it"))
    fired = sender.oob.send_url(DOMAIN, network.web.url("/report.pdf"))

    assert await deferToThread(syncing.wait, 10)
    # A ping after it is answered: the offer is not, though the reactor is idle.
    await sender.request(iq("get", "urn:xmpp:ping", "ping"))
    assert not fired.called
    assert "report.pdf" not in network.files()
    may_go_on.set()
    assert await fired is None


@pytest.mark.parametrize(
    ("reply", "condition", "error"),
    [
        (answer(b"", status="404 Not Found"), "not-found", "item-not-found"),
        (then_close(answer(b"half", length=8)), "not-found", "item-not-found"),
        (answer(b"", length=10**9), "reject", "not-acceptable"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_failures_are_told_and_leave_nothing(network, reply, condition, error):
    sender = await network.start()
    network.web.answers.append(reply)

    fired = await sender.oob.send_url(DOMAIN, network.web.url())

    assert (fired, fired.error.condition) == (condition, error)
    assert network.files() == {}


@pytest_twisted.ensureDeferred
async def test_a_forbidden_address_is_rejected_without_a_word_about_it(network):
    sender = await network.start(allow_networks=())

    fired = await sender.oob.send_url(DOMAIN, network.web.url())

    assert fired == "reject"
    assert "127" not in fired.error.text
    assert network.web.connections == []


@pytest_twisted.ensureDeferred
async def test_who_is_not_allowed_is_rejected_and_nothing_is_fetched(network):
    sender = await network.start(allow_from=["friend.localhost"])

    assert await sender.oob.send_url(DOMAIN, network.web.url()) == "reject"
    assert network.web.connections == []

    friend = await network.sender("friend.localhost")
    network.web.answers.append(answer(b"file"))
    assert await friend.oob.send_url(DOMAIN, network.web.url()) is None


@pytest_twisted.ensureDeferred
async def test_concurrency_is_bounded_and_more_than_eight_times_it_is_refused(network):
    sender = await network.start(concurrency=2)
    offers = [sender.oob.send_url(DOMAIN, network.web.url(f"/{n}")) for n in range(2 + 16 + 3)]

    refused = await gatherResults(offers[18:])
    assert [(str(one), one.error.condition, one.error.type) for one in refused] == [
        ("reject", "resource-constraint", "wait")
    ] * 3

    for _ in range(18):
        connection = await network.web.arrivals.get()
        unanswered = sum(not one.transport.disconnected for one in network.web.connections)
        assert unanswered <= 2
        connection.write(answer(b"file"))
    assert await gatherResults(offers[:18]) == [None] * 18


@pytest_twisted.ensureDeferred
async def test_a_refused_offer_leaves_its_place_to_the_next(network):
    sender = await network.start(concurrency=1)
    network.web.answers.extend(answer(b"", status="404 Not Found") for _ in range(12))

    for _ in range(12):
        assert await sender.oob.send_url(DOMAIN, network.web.url()) == "not-found"


@pytest_twisted.ensureDeferred
async def test_stopping_answers_every_offer_and_removes_what_is_unfinished(network):
    sender = await network.start(concurrency=1)
    offers = [sender.oob.send_url(DOMAIN, network.web.url(f"/{n}")) for n in range(3)]
    connection = await network.web.arrivals.get()
    connection.write(answer(b"half", length=8))
    await sender.request(iq("get", "urn:xmpp:ping", "ping"))

    await network.embedded.stop()

    refused = await gatherResults(offers)
    assert [one.error.condition for one in refused] == ["resource-constraint"] * 3
    assert network.files() == {}
    await connection.lost
    await sender.lost


@pytest_twisted.ensureDeferred
async def test_running_transfers_finish_within_the_grace_and_no_other_begins(network):
    sender = await network.start(concurrency=1, grace=30)
    runs, waits = (sender.oob.send_url(DOMAIN, network.web.url(f"/{n}")) for n in range(2))
    connection = await network.web.arrivals.get()

    stopped = network.responder.stopService()
    comes = sender.oob.send_url(DOMAIN, network.web.url("/late"))
    refused = await gatherResults([waits, comes])
    assert [one.error.condition for one in refused] == ["resource-constraint"] * 2
    assert [one.error.type for one in refused] == ["wait"] * 2
    assert not runs.called
    assert not stopped.called

    connection.write(answer(b"file"))
    assert await runs is None
    await stopped
    assert network.files() == {"0": b"file"}


@pytest_twisted.ensureDeferred
async def test_what_outlasts_the_grace_is_cancelled_and_answered(network):
    sender = await network.start(grace=0.05)
    fired = sender.oob.send_url(DOMAIN, network.web.url())
    await network.web.arrivals.get()

    await network.responder.stopService()

    assert (await fired).error.condition == "resource-constraint"
    assert network.files() == {}


def test_a_served_stream_stops_its_responder_first():
    calls = []
    answered = Deferred()

    class Part(Service):
        def __init__(self, name, stopped):
            self.part, self.stopped = name, stopped

        def startService(self):
            calls.append(f"start {self.part}")

        def stopService(self):
            calls.append(f"stop {self.part}")
            return self.stopped

    served = ServedStream(Part("responder", answered), Part("stream", None))
    served.startService()
    stopped = served.stopService()
    assert calls == ["start responder", "start stream", "stop responder"]
    answered.callback(None)
    assert calls[3:] == ["stop stream"]
    assert stopped.called


@pytest_twisted.ensureDeferred
async def test_what_a_lost_sender_offered_is_not_lost_for_others(network):
    sender = await network.start()
    network.web.answers.append(answer(b"file"))
    await sender.oob.send_url(DOMAIN, network.web.url())
    await sender.stop()
    other = await network.sender("other.localhost")
    network.web.answers.append(answer(b"file"))
    assert await other.oob.send_url(DOMAIN, network.web.url("/other.bin")) is None


@pytest_twisted.ensureDeferred
async def test_leftovers_of_a_killed_process_are_removed_at_start(network, log):
    leftover = network.folder / f".oob-{'0' * 32}.part"
    leftover.write_bytes(b"half")

    await network.start()

    assert not leftover.exists()
    assert any("Removed 1 unfinished" in formatEvent(event) for event in log)


@pytest_twisted.ensureDeferred
async def test_each_offer_is_logged_when_it_comes_and_once_when_it_ends(network, log):
    sender = await network.start()
    network.web.answers += [answer(b"file"), answer(b"", status="500 Oops")]
    secret = network.web.url("/a.bin").replace("//", "//me:hunter2@")

    await sender.oob.send_url(DOMAIN, secret)
    await sender.oob.send_url(DOMAIN, network.web.url("/b.bin"))

    lines = [
        formatEvent(event)
        for event in log
        if event.get("log_namespace") == "twisted_oob.transfer.responder.OOBResponder"
    ]
    came_a, ended_a, came_b, ended_b = lines
    assert came_a == f"Offer from {SENDER}: {network.web.url('/a.bin')}"
    assert "success: 4 bytes in " + str(network.folder / "a.bin") in ended_a
    assert came_b.endswith("/b.bin")
    assert "item-not-found" in ended_b
    assert "500" in ended_b
    assert all(line.endswith(" s") for line in (ended_a, ended_b))
    assert "hunter2" not in " ".join(formatEvent(event) or "" for event in log)


@pytest_twisted.ensureDeferred
async def test_disco_has_an_identity_and_both_features(network):
    sender = await network.start()

    result = await sender.request(iq("get", NS_DISCO_INFO, "query"))

    children = list(result.query.elements())
    assert ("component", "generic") in [
        (child["category"], child["type"]) for child in children if child.name == "identity"
    ]
    features = {child["var"] for child in children if child.name == "feature"}
    assert features >= {*DISCO_FEATURES, NS_DISCO_INFO, "jabber:iq:version", "urn:xmpp:ping"}


@pytest_twisted.ensureDeferred
async def test_version_and_ping_are_answered_and_all_else_is_unavailable(network):
    sender = await network.start()

    version = await sender.request(iq("get", "jabber:iq:version", "query"))
    told = {child.name: str(child) for child in version.query.elements()}
    assert told == {"name": "twisted_oob", "version": __version__}
    ping = await sender.request(iq("get", "urn:xmpp:ping", "ping"))
    assert ping["type"] == "result"
    for kind in ("get", "set"):
        other = await sender.request(iq(kind, "urn:example:other", "query"))
        assert other["type"] == "error"
        assert other.error.firstChildElement().name == "service-unavailable"


@pytest.mark.parametrize("children", [[], [NS_DISCO_INFO, NS_DISCO_ITEMS], ["urn:a", "urn:b"]])
@pytest_twisted.ensureDeferred
async def test_a_request_with_not_just_one_child_gets_one_answer(network, children):
    sender = await network.start()
    request = domish.Element((None, "iq"))
    request["type"], request["id"], request["to"] = "get", "q1", DOMAIN
    for namespace in children:
        request.addElement((namespace, "query"))
    answers = []
    sender.component.xmlstream.addObserver("/iq[@id='q1']", answers.append)

    refused = await sender.request(request)
    # What is answered after it would have come before the answer to this.
    later = iq("get", "urn:xmpp:ping", "ping")
    later["id"] = "q2"
    await sender.request(later)

    assert refused.error.firstChildElement().name == "bad-request"
    assert len(answers) == 1


@pytest_twisted.ensureDeferred
async def test_nobody_who_asks_is_remembered(network):
    sender = await network.start()
    interned = vars(jid)["__internJIDs"]
    before = set(interned)

    for number in range(3):
        for namespace in (NS_DISCO_INFO, NS_DISCO_ITEMS, "jabber:iq:version", "urn:example:other"):
            request = iq("get", namespace, "query")
            request["from"] = f"asker@{SENDER}/{number}"
            await sender.request(request)

    assert not [address for address in set(interned) - before if "asker" in address]


@pytest_twisted.ensureDeferred
async def test_disco_of_a_node_that_is_not_there(network):
    sender = await network.start()
    request = iq("get", NS_DISCO_INFO, "query")
    request.query["node"] = "none"
    answered = await sender.request(request)
    assert answered.error.firstChildElement().name == "item-not-found"
    items = await sender.request(iq("get", NS_DISCO_ITEMS, "query"))
    assert (items["type"], list(items.query.elements())) == ("result", [])
