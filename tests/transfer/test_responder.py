"""What each offer is answered, and when: over a real router, real sockets and a real folder."""

from __future__ import annotations

import os
import threading

import pytest
import pytest_twisted
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.logger import formatEvent
from twisted.words.protocols.jabber import jid
from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.xish import domish

from tests.support.hostile_http import answer, redirect, then_close
from tests.support.network import DOMAIN, SECRET, SENDER, Watcher
from tests.support.streams import ClientWire
from twisted_oob import (
    NS_IQ_OOB,
    Fetcher,
    FetchPolicy,
    OOBResponder,
    ServedStream,
    __version__,
)

from wokkel.component import Component  # isort: skip

NS_DISCO_INFO = "http://jabber.org/protocol/disco#info"
NS_DISCO_ITEMS = "http://jabber.org/protocol/disco#items"


def iq(kind, namespace, name):
    element = domish.Element((None, "iq"))
    element["type"], element["id"], element["to"] = kind, "q1", DOMAIN
    element.addElement((namespace, name))
    return element


def ping(sender):
    """Wait until the responder has seen all that came before."""
    return sender.request(iq("get", "urn:xmpp:ping", "ping"))


@pytest_twisted.ensureDeferred
async def test_success_means_the_whole_file_is_there(network):
    sender = await network.start()
    network.web.answers.append(answer(b"all of it"))

    assert await sender.oob.send_url(DOMAIN, network.web.url("/report.pdf"), "A report") is None
    assert network.files() == {"report.pdf": b"all of it"}


@pytest_twisted.ensureDeferred
async def test_a_responder_that_is_attached_serves_without_being_started(network):
    sender = await network.start()
    component = Component("127.0.0.1", network.port, "plain.localhost", SECRET)
    responder = OOBResponder(network.fetcher, allow_from=["*"], reactor=network.reactor)
    responder.attach(component)
    component.startService()
    network.web.answers.append(answer(b"file"))
    # Its stream opens a moment later: until then there is no route to it.
    while (told := await sender.oob.send_url("plain.localhost", network.web.url())) is not None:
        assert told.error.condition == "remote-server-not-found"
    assert network.files() == {"file.bin": b"file"}
    component.stopService()


@pytest_twisted.ensureDeferred
async def test_what_attach_returns_can_send(network):
    sender = await network.start()
    component = Component("127.0.0.1", network.port, "plain.localhost", SECRET)
    responder = OOBResponder(network.fetcher, allow_from=["*"], reactor=network.reactor)
    handler = responder.attach(component)
    served = ServedStream(responder, component)
    served.startService()
    network.web.answers.append(answer(b"file"))
    assert await handler.send_url(DOMAIN, network.web.url()) is None
    network.web.answers.append(answer(b"other"))
    assert await sender.oob.send_url("plain.localhost", network.web.url("/other")) is None
    assert network.files() == {"file.bin": b"file", "other": b"other"}
    await served.stopService()


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
    await ping(sender)
    assert not fired.called
    assert "report.pdf" not in network.files()
    may_go_on.set()
    assert await fired is None


@pytest.mark.parametrize(
    ("reply", "condition", "error"),
    [
        (answer(b"", status="404 Not Found"), "not-found", "item-not-found"),
        (then_close(answer(b"half", length=8)), "not-found", "item-not-found"),
        (answer(b"", length=10**9 + 1), "reject", "not-acceptable"),
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
async def test_a_stranger_is_rejected_before_all_else(network):
    """However busy the responder is, it tells a stranger nothing of it."""
    stranger = await network.start(
        allow_from=["friend.localhost"], limits={"concurrency": 1, "grace": 30}
    )
    friend = await network.sender("friend.localhost")
    offers = [friend.oob.send_url(DOMAIN, network.web.url()) for _ in range(5)]
    connection = await network.web.arrivals.get()
    assert (await friend.oob.send_url(DOMAIN, network.web.url())).error.type == "wait"

    told = [await stranger.oob.send_url(DOMAIN, network.web.url())]
    stopped = network.responder.stopService()
    assert (await friend.oob.send_url(DOMAIN, network.web.url())).error.type == "wait"
    told.append(await stranger.oob.send_url(DOMAIN, network.web.url()))

    assert [one.error.condition for one in told] == ["not-acceptable"] * 2
    assert [one.error.text for one in told] == [None] * 2
    connection.write(answer(b"file"))
    await gatherResults([*offers, stopped])


def offered(network, count, senders=2):
    """Make so many offers, by these many users of one component in turn."""
    oob = network.senders[0].oob
    return [
        oob.send_url(
            DOMAIN, network.web.url(f"/{number}"), sender=f"u{number % senders}@{SENDER}/x"
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest_twisted.ensureDeferred
async def test_as_many_as_may_run_do_and_eight_times_as_many_wait(network, concurrency):
    await network.start(limits={"concurrency": concurrency})
    most = 9 * concurrency
    offers = offered(network, most + 2)

    told = await gatherResults(offers[most:])
    assert [(str(one), one.error.condition, one.error.type) for one in told] == [
        ("wait", "resource-constraint", "wait")
    ] * 2
    assert "too many" in told[0].error.text

    for number in range(most):
        connection = await network.web.arrivals.get()
        # In the order they came, and never more at once.
        assert connection.line == f"GET /{number} HTTP/1.1"
        running = sum(not one.transport.disconnected for one in network.web.connections)
        assert running == min(concurrency, most - number)
        connection.write(answer(b"file"))
        assert await offers[number] is None


@pytest_twisted.ensureDeferred
async def test_by_default_eight_run_at_once(network):
    sender = await network.start()
    offers = offered(network, 73)
    assert (await offers[72]).error.type == "wait"
    for _ in range(8):
        await network.web.arrivals.get()
    await ping(sender)
    assert len(network.web.connections) == 8
    assert not any(offer.called for offer in offers[:72])


@pytest_twisted.ensureDeferred
async def test_an_offer_that_ends_leaves_its_place_to_just_one(network):
    sender = await network.start(limits={"concurrency": 1})
    offers = [sender.oob.send_url(DOMAIN, network.web.url(f"/{n}")) for n in range(5)]
    connection = await network.web.arrivals.get()
    connection.write(answer(b"", status="404 Not Found"))
    assert await offers[0] == "not-found"

    one, other = (sender.oob.send_url(DOMAIN, network.web.url()) for _ in range(2))
    assert (await other).error.type == "wait"
    assert not one.called


@pytest_twisted.ensureDeferred
async def test_a_failed_offer_leaves_its_place_to_the_next(network):
    sender = await network.start(limits={"concurrency": 1})
    network.web.answers.extend(answer(b"", status="404 Not Found") for _ in range(12))

    for _ in range(12):
        assert await sender.oob.send_url(DOMAIN, network.web.url()) == "not-found"


@pytest_twisted.ensureDeferred
async def test_an_offer_may_wait_as_long_as_it_takes(network):
    network.clock = Clock()
    sender = await network.start(limits={"concurrency": 1})
    offers = [sender.oob.send_url(DOMAIN, network.web.url()) for _ in range(2)]
    connection = await network.web.arrivals.get()
    network.clock.advance(1_000_000)
    await ping(sender)
    assert not any(offer.called for offer in offers)
    network.web.answers.append(answer(b"file"))
    connection.write(answer(b"file"))
    assert await gatherResults(offers) == [None, None]


@pytest_twisted.ensureDeferred
async def test_offers_of_a_lost_stream_are_given_up_and_leave_their_places(network, log):
    sender = await network.start(limits={"concurrency": 1})
    for number in range(3):
        sender.oob.send_url(DOMAIN, network.web.url(f"/{number}")).addErrback(lambda _: None)
    connection = await network.web.arrivals.get()
    connection.write(answer(b"half", length=8))
    await ping(sender)

    network.embedded._component.stopService()

    await connection.lost
    network.embedded._component.startService()
    network.web.answers.append(answer(b"file"))
    assert await sender.oob.send_url(DOMAIN, network.web.url("/new")) is None
    assert network.files() == {"new": b"file"}
    assert sum("cancelled, as the stream was lost" in line for line in lines_of(log)) == 3


@pytest_twisted.ensureDeferred
async def test_what_a_lost_sender_offered_is_not_lost_for_others(network):
    sender = await network.start()
    network.web.answers.append(answer(b"file"))
    await sender.oob.send_url(DOMAIN, network.web.url())
    await sender.stop()
    other = await network.sender("other.localhost")
    network.web.answers.append(answer(b"file"))
    assert await other.oob.send_url(DOMAIN, network.web.url("/other.bin")) is None


def lines_of(log):
    """Give what the responder logged."""
    return [
        formatEvent(event)
        for event in log
        if event.get("log_namespace") == "twisted_oob.transfer.responder.OOBResponder"
    ]


@pytest_twisted.ensureDeferred
async def test_each_offer_is_logged_when_it_comes_and_once_when_it_ends(network, log):
    network.clock = Clock()
    sender = await network.start()

    for path, reply in (("/a.bin", answer(b"file")), ("/b.bin", answer(b"", status="500 Oops"))):
        offer = sender.oob.send_url(DOMAIN, network.web.url(path))
        connection = await network.web.arrivals.get()
        network.clock.advance(1.5)
        connection.write(reply)
        await offer

    a, b = (f"{SENDER}{{}}: {network.web.url(path)}" for path in ("/a.bin", "/b.bin"))
    assert lines_of(log) == [
        f"Offer from {a.format('')}",
        f"Offer from {a.format(' ended')}: success: 4 bytes in {network.folder / 'a.bin'}, 1.50 s",
        f"Offer from {b.format('')}",
        f"Offer from {b.format(' ended')}: item-not-found: HTTP status 500, 1.50 s",
    ]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("a fault of ours"), ("internal-server-error", "failed unexpectedly")),
        (StanzaError("gone", text="moved"), ("gone", "gone: ")),
    ],
)
@pytest_twisted.ensureDeferred
async def test_whatever_a_fetch_fails_with_is_an_answer_and_a_line(
    network, log, monkeypatch, error, told
):
    sender = await network.start(limits={"concurrency": 1})
    condition, text = told

    async def fetch(url, *, info):
        raise error

    monkeypatch.setattr(network.fetcher, "fetch", fetch)
    for _ in range(10):
        assert (await sender.oob.send_url(DOMAIN, network.web.url())).error.condition == condition
    ends = [line for line in lines_of(log) if " ended: " in line]
    assert len(ends) == 10
    assert all(text in line for line in ends)
    expected = [RuntimeError] * 10 if condition == "internal-server-error" else []
    assert [type(failure) for failure in log.failures()] == expected


@pytest_twisted.ensureDeferred
async def test_no_password_of_a_url_is_told_to_anybody(network, log):
    sender = await network.start(
        allow_from=[SENDER], max_size=10, limits={"concurrency": 1, "grace": 30}
    )
    stranger = await network.sender("stranger.localhost")
    secret = network.web.url("/a.bin").replace("//", "//me:hunter2@")
    replies = {
        "success": answer(b"file"),
        "not there": answer(b"", status="404 Not Found"),
        "cut short": then_close(answer(b"half", length=8)),
        "too large": answer(b"", length=11),
        "forbidden": redirect(secret.replace("127.0.0.1", "169.254.169.254")),
        "not HTTP": then_close(b"nonsense\r\n\r\n"),
        "no URL": redirect("http://me:hunter2@[::"),
        "endless": redirect(secret),
    }
    network.web.answers += replies.values()
    network.web.answers += [redirect(secret)] * 5
    told = [await sender.oob.send_url(DOMAIN, secret) for _ in replies]
    told.append(await stranger.oob.send_url(DOMAIN, secret))
    told.append(await sender.oob.send_url(DOMAIN, secret.replace("http:", "ftp:")))
    sender.oob.send_url(DOMAIN, secret).addErrback(lambda _: None)
    await ping(sender)
    network.embedded._component.stopService()
    network.embedded._component.startService()
    # Others: the same one would join the transfer that runs.
    offers = [sender.oob.send_url(DOMAIN, f"{secret}?{number}") for number in range(10)]
    told.append(await offers.pop())
    # What is stopped before it has noticed the loss is told to try again later instead.
    while not any("cancelled" in line for line in lines_of(log)):
        await ping(sender)
    stopped = ensureDeferred(network.embedded.stop())
    told += await gatherResults(offers[1:])
    network.web.connections[-1].close()
    told.append(await offers[0])
    await stopped

    assert told[0] is None
    assert len({one.error.text for one in told[1:]}) > 5
    for text in [*(one.error.text or "" for one in told[1:]), *map(repr, told)]:
        assert "hunter2" not in text
    for event in log:
        line = formatEvent(event) or ""
        assert "hunter2" not in line
        assert "\n" not in line
        assert "hunter2" not in repr(event)


@pytest_twisted.ensureDeferred
async def test_a_line_of_the_log_is_bounded_whatever_a_server_says(network, log):
    sender = await network.start()
    network.web.answers += [answer(b"file"), then_close(b"no HTTP" * 10_000 + b"\r\n")]
    for _ in range(2):
        await sender.oob.send_url(DOMAIN, network.web.url("/" + "long" * 2000), "desc" * 10_000)
    assert max(map(len, lines_of(log))) < 1000


@pytest_twisted.ensureDeferred
async def test_disco_has_an_identity_and_the_feature(network):
    sender = await network.start()

    result = await sender.request(iq("get", NS_DISCO_INFO, "query"))

    children = list(result.query.elements())
    assert [
        (child["category"], child["type"], child["name"])
        for child in children
        if child.name == "identity"
    ] == [("component", "generic", "Out of Band responder")]
    features = {child["var"] for child in children if child.name == "feature"}
    assert features >= {NS_IQ_OOB, NS_DISCO_INFO, "jabber:iq:version", "urn:xmpp:ping"}


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

    answered = await sender.request(request)
    # What is answered after it would have come before the answer to this.
    later = iq("get", "urn:xmpp:ping", "ping")
    later["id"] = "q2"
    await sender.request(later)

    assert answered.error.firstChildElement().name == "bad-request"
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


@pytest.mark.parametrize("direct", [False, True])
def test_others_on_the_stream_see_offers_unless_it_is_attached_as_direct(direct, network):
    seen = []
    end = ClientWire()
    fetcher = Fetcher(None, FetchPolicy(), network.folder)
    responder = OOBResponder(fetcher, allow_from=[], reactor=Clock())
    responder.attach(end.manager, **({"direct": True} if direct else {}))
    end.open()
    end.xmlstream.addObserver("/iq", seen.append, 200)
    end.receive("<presence/>")
    end.offer()
    assert end.sent()[-1].get("type") == "error"
    assert len(seen) == (0 if direct else 1)
