"""What ``oob receive`` does, on a router of its own, on another's, and with a terminal."""

from __future__ import annotations

import hashlib
from ipaddress import ip_network

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from tests.support.hostile_http import answer
from tests.support.network import SECRET
from tests.support.waiting import in_time
from twisted_oob import FileInfo, StreamRefused
from twisted_oob.commands import reception
from twisted_oob.commands.connection import Connection
from twisted_oob.commands.events import OutputClosed, Reporter
from twisted_oob.commands.modes import COMPONENT, DOMAIN

pytest_plugins = ["tests.support.receptions", "tests.support.terminals"]

BODY = b"all of it"
SHA256 = hashlib.sha256(BODY).hexdigest()
PROMPT = "Take it? [y]es, [N]o, [a]lways, [q]uit: "


@pytest_twisted.ensureDeferred
async def test_a_file_is_received_and_told(receptions):
    sender = await receptions.start(yes=True, count=1)
    receptions.web.answers = [answer(BODY)]
    assert receptions.secret_file.stat().st_mode & 0o777 == 0o600
    url = receptions.web.url("/a%20b.txt?key=secret")
    assert await in_time(sender.send_url(DOMAIN, url, "for you")) is None
    assert await in_time(receptions.ended) == 0
    assert receptions.files() == {"a b.txt": BODY}
    [event] = receptions.events()
    seconds = event.pop("seconds")
    assert 0 <= seconds < 20
    assert event == {
        "event": "received",
        "from": "sender.localhost",
        "url": url,
        "desc": "for you",
        "file": str(receptions.folder / "a b.txt"),
        "bytes": len(BODY),
        "sha256": SHA256,
        "condition": None,
        "text": None,
    }
    assert receptions.output.lines == [
        f"waiting for files to oob.localhost; they land in {receptions.folder}",
        "1 file was received",
    ]
    assert receptions.left() == ["a b.txt", "landed", "new"]


@pytest_twisted.ensureDeferred
async def test_a_file_in_a_message_is_received_too(receptions):
    sender = await receptions.start(yes=True, count=1)
    receptions.web.answers = [answer(BODY)]
    await sender.send_message(DOMAIN, receptions.web.url())
    assert await in_time(receptions.ended) == 0
    assert receptions.files() == {"file.bin": BODY}


@pytest_twisted.ensureDeferred
async def test_without_a_terminal_only_those_are_taken_who_were_named(receptions):
    stranger = await receptions.start(senders=("friend.localhost",), count=1)
    friend = await receptions.sender("friend.localhost")
    refused = await in_time(stranger.send_url(DOMAIN, receptions.web.url()))
    assert (refused, refused.error.condition) == ("reject", "not-acceptable")
    assert receptions.web.connections == []
    receptions.web.answers = [answer(BODY)]
    assert await in_time(friend.send_url(DOMAIN, receptions.web.url())) is None
    assert await in_time(receptions.ended) == 0
    told = [(event["event"], event["from"], event["condition"]) for event in receptions.events()]
    assert told == [
        ("failed", "sender.localhost", "not-acceptable"),
        ("received", "friend.localhost", None),
    ]


@pytest.mark.parametrize(
    "info",
    [FileInfo(sha256="0" * 64), FileInfo(size=5), FileInfo(size=len(BODY), sha256="f" * 64)],
)
@pytest_twisted.ensureDeferred
async def test_another_file_than_was_offered_fails_and_leaves_nothing(receptions, info):
    sender = await receptions.start(yes=True)
    receptions.web.answers = [answer(BODY)]
    failed = await in_time(sender.send_url(DOMAIN, receptions.web.url(), info=info))
    assert (failed, failed.error.condition) == ("not-found", "item-not-found")
    [event] = receptions.events()
    assert (event["event"], event["condition"], event["file"]) == ("failed", "item-not-found", None)
    assert event["text"].startswith("not the file that was offered")
    assert (event["bytes"], event["sha256"]) == (info.size, info.sha256)
    assert receptions.files() == {}


@pytest_twisted.ensureDeferred
async def test_no_more_than_the_count_are_received_however_many_come_at_once(receptions):
    sender = await receptions.start(yes=True, count=2)
    receptions.web.answers = [answer(b"no", status="404 Gone"), answer(b"1"), answer(b"2")]
    sent = [sender.send_url(DOMAIN, receptions.web.url(f"/{name}")) for name in "abcde"]
    assert await in_time(receptions.ended) == 0
    answers = [await in_time(one) for one in sent]
    assert sorted(map(str, answers)) == ["None", "None", "not-found", "wait", "wait"]
    assert sorted(receptions.files().values()) == [b"1", b"2"]


@pytest_twisted.ensureDeferred
async def test_what_was_cut_leaves_nothing_and_is_answered(receptions):
    sender = await receptions.start(yes=True)
    sent = sender.send_url(DOMAIN, receptions.web.url())
    connection = await in_time(receptions.web.arrivals.get())
    connection.write(answer(BODY, length=100))
    receptions.ended.cancel()
    with pytest.raises(CancelledError):
        await in_time(receptions.ended)
    receptions.ended = None
    assert await in_time(sent) == "wait"
    assert receptions.left() == []
    assert receptions.output.lines[-1] == "no files were received"


@pytest_twisted.ensureDeferred
async def test_a_reader_that_has_gone_ends_it_and_the_file_stays(receptions, monkeypatch):
    def tell(_reporter, _event):
        raise OutputClosed

    monkeypatch.setattr(Reporter, "tell", tell)
    sender = await receptions.start(yes=True)
    receptions.web.answers = [answer(BODY)]
    assert await in_time(sender.send_url(DOMAIN, receptions.web.url())) is None
    with pytest.raises(OutputClosed):
        await in_time(receptions.ended)
    receptions.ended = None
    assert receptions.files() == {"file.bin": BODY}


@pytest_twisted.ensureDeferred
async def test_quiet_means_that_only_results_are_written(receptions):
    receptions.begin(yes=True, quiet=True, count=1)
    # Its own router is there as soon as it listens, which takes no turn of the reactor.
    sender = await receptions.sender()
    receptions.web.answers = [answer(BODY)]
    assert await in_time(sender.send_url(DOMAIN, receptions.web.url())) is None
    assert await in_time(receptions.ended) == 0
    assert len(receptions.events()) == 1
    assert receptions.output.lines == []


# --- where others reach it


@pytest_twisted.ensureDeferred
async def test_it_joins_a_router_that_is_there_already(receptions, network):
    sender = (await network.start()).oob
    receptions.port = network.port
    receptions.secret_file.write_text(SECRET)
    receptions.secret_file.chmod(0o600)
    receptions.begin(yes=True, count=1)
    line = await receptions.output.heard("waiting for files")
    address = line.split()[4].rstrip(";")
    assert address.startswith("receive-")
    assert address.endswith(".localhost")
    assert any("joined the router" in line for line in receptions.output.lines)
    receptions.web.answers = [answer(BODY)]
    assert await in_time(sender.send_url(address, receptions.web.url())) is None
    assert await in_time(receptions.ended) == 0
    assert receptions.files() == {"file.bin": BODY}


@pytest_twisted.ensureDeferred
async def test_a_secret_that_was_there_stays(receptions):
    receptions.secret_file.write_text("it")
    receptions.secret_file.chmod(0o600)
    await receptions.start(yes=True)
    receptions.ended.cancel()
    with pytest.raises(CancelledError):
        await in_time(receptions.ended)
    receptions.ended = None
    assert receptions.left() == ["secret"]


@pytest_twisted.ensureDeferred
async def test_who_joins_a_router_leaves_it_its_secret(receptions, network, monkeypatch):
    await network.start()
    receptions.port = network.port

    def at_the_same_time(path):
        path.write_text(SECRET)
        return SECRET, False

    monkeypatch.setattr(reception, "read_or_create_secret", at_the_same_time)
    receptions.begin(yes=True)
    await receptions.output.heard("waiting for files")
    await deferLater(receptions.reactor, 0)
    receptions.ended.cancel()
    with pytest.raises(CancelledError):
        await in_time(receptions.ended)
    receptions.ended = None
    assert receptions.left() == ["secret"]


@pytest.mark.parametrize("secret", ["", "another one"])
@pytest_twisted.ensureDeferred
async def test_what_it_created_goes_again_if_something_else_has_the_port(
    receptions, network, secret
):
    await network.start()
    receptions.port = network.port
    if secret:
        receptions.secret_file.write_text(secret)
        receptions.secret_file.chmod(0o600)
    assert await in_time(receptions.begin(yes=True)) == 3
    [line] = receptions.output.lines[:1]
    assert f"127.0.0.1:{network.port} is taken, but not by a router with the secret in" in line
    assert receptions.left() == (["secret"] if secret else [])


@pytest_twisted.ensureDeferred
async def test_a_component_of_a_server(receptions, network):
    sender = (await network.start()).oob
    connection = Connection(COMPONENT, domain="me.localhost", host="127.0.0.1", port=network.port)
    receptions.begin(connection=connection, secret=SECRET, senders=("sender.localhost",), count=1,
                     networks=network.fetcher.policy.allow_networks)  # fmt: skip
    await receptions.output.heard("waiting for files to me.localhost;")
    features = await in_time(sender.find_features("me.localhost"))
    assert features == {"jabber:iq:oob", "jabber:x:oob"}
    receptions.web.answers = [answer(BODY)]
    assert await in_time(sender.send_url("me.localhost", receptions.web.url())) is None
    assert await in_time(receptions.ended) == 0
    assert receptions.left() == ["file.bin", "landed", "new"]


@pytest_twisted.ensureDeferred
async def test_what_is_denied_is_refused_in_the_place_of_the_router_too(receptions):
    sender = await receptions.start(yes=True, denied=(ip_network("127.0.0.1"),))
    refused = await in_time(sender.send_url(DOMAIN, receptions.web.url()))
    assert (refused, refused.error.text) == ("reject", "this address is not allowed")
    [event] = receptions.events()
    assert event["text"] == "this address is not allowed: 127.0.0.1 is in a denied network"
    assert receptions.web.connections == []


@pytest_twisted.ensureDeferred
async def test_web_servers_are_told_who_fetches(receptions):
    sender = await receptions.start(yes=True, user_agent="somebody/1.0")
    receptions.web.answers = [answer(BODY)]
    assert await in_time(sender.send_url(DOMAIN, receptions.web.url())) is None
    [connection] = receptions.web.connections
    assert b"\r\nUser-Agent: somebody/1.0\r\n" in connection.request


@pytest_twisted.ensureDeferred
async def test_a_component_may_not_fetch_from_this_machine_unless_told(receptions, network):
    sender = (await network.start()).oob
    connection = Connection(COMPONENT, domain="me.localhost", host="127.0.0.1", port=network.port)
    receptions.begin(connection=connection, secret=SECRET, yes=True)
    await receptions.output.heard("waiting for files")
    refused = await in_time(sender.send_url("me.localhost", receptions.web.url()))
    assert refused == "reject"
    assert receptions.web.connections == []


@pytest_twisted.ensureDeferred
async def test_no_login(receptions, network):
    await network.start()
    connection = Connection(COMPONENT, domain="me.localhost", host="127.0.0.1", port=network.port)
    assert await in_time(receptions.begin(connection=connection, secret="wrong")) == 3
    assert receptions.left() == []


@pytest_twisted.ensureDeferred
async def test_a_stream_that_was_up_may_come_back_unless_it_is_refused(
    receptions, network, monkeypatch
):
    await network.start()
    streams = []
    make_stream = Connection.make_stream

    def noted(*words):
        streams.append(make_stream(*words))
        return streams[-1]

    monkeypatch.setattr(Connection, "make_stream", noted)
    connection = Connection(COMPONENT, domain="me.localhost", host="127.0.0.1", port=network.port)
    receptions.begin(connection=connection, secret=SECRET, yes=True)
    await receptions.output.heard("waiting for files")
    [stream] = streams
    assert not stream.once
    stream.on_refused(StreamRefused("another connection took over"))
    assert await in_time(receptions.ended) == 3
    assert receptions.output.lines[1:] == [
        "oob receive: me.localhost: another connection took over",
        "no files were received",
    ]
    assert receptions.left() == []


@pytest.mark.parametrize("name", ["folder", "secret", "ca"])
@pytest_twisted.ensureDeferred
async def test_what_cannot_be_used(receptions, name):
    options = {}
    if name == "folder":
        receptions.folder = receptions.place / "file" / "landed"
        (receptions.place / "file").write_text("")
    elif name == "secret":
        receptions.secret_file.write_text("for all to see")
        receptions.secret_file.chmod(0o644)
    else:
        (receptions.place / "ca").write_text("no certificate")
        options["connection"] = Connection(COMPONENT, ca_file=receptions.place / "ca")
    before = receptions.left()
    assert await in_time(receptions.begin(**options)) == 2
    [line] = receptions.output.lines[-1:]
    assert "can't be used" in line
    assert receptions.left() == before


# --- with a terminal


@pytest_twisted.ensureDeferred
async def test_each_offer_is_a_question(terminal, receptions):
    sender = await receptions.start(terminal=terminal, as_json=False)
    receptions.web.answers = [answer(BODY)]
    info = FileInfo(name="a\x1b[2J.txt", size=len(BODY))
    sent = sender.send_url(DOMAIN, receptions.web.url(), "for\u202eyou", info=info)
    await terminal.shows(PROMPT)
    assert (
        'sender.localhost offers a\ufffd[2J.txt (9 bytes) from 127.0.0.1, "for\ufffdyou"\r\n'
    ) in terminal.shown
    terminal.types("y\n")
    assert await in_time(sent) is None
    [name] = receptions.files()
    assert name.isprintable()


@pytest_twisted.ensureDeferred
async def test_no_refuses_always_takes_what_follows_and_quit_ends(terminal, receptions):
    sender = await receptions.start(terminal=terminal)
    receptions.web.answers = [answer(BODY)] * 3
    sent = sender.send_url(DOMAIN, receptions.web.url("/1"))
    await terminal.shows(PROMPT)
    terminal.types("n\n")
    assert await in_time(sent) == "reject"
    sent = [sender.send_url(DOMAIN, receptions.web.url(f"/{number}")) for number in (2, 3, 4)]
    await terminal.shows(PROMPT, 2)
    terminal.types("a\n")
    assert [await in_time(one) for one in sent] == [None] * 3
    other = await receptions.sender("other.localhost")
    sent = other.send_url(DOMAIN, receptions.web.url("/5"))
    await terminal.shows(PROMPT, 3)
    terminal.types("q\n")
    assert await in_time(sent) == "reject"
    assert await in_time(receptions.ended) == 0
    assert sorted(receptions.files()) == ["2", "3", "4"]
    assert receptions.output.lines[-1] == "3 files were received"


@pytest_twisted.ensureDeferred
async def test_quit_lets_what_was_taken_come(terminal, receptions):
    sender = await receptions.start(terminal=terminal, senders=("friend.localhost",))
    friend = await receptions.sender("friend.localhost")
    taken = friend.send_url(DOMAIN, receptions.web.url("/1"))
    connection = await in_time(receptions.web.arrivals.get())
    refused = sender.send_url(DOMAIN, receptions.web.url("/2"))
    await terminal.shows(PROMPT)
    terminal.types("q\n")
    assert await in_time(refused) == "reject"
    assert not receptions.ended.called
    connection.write(answer(BODY))
    assert await in_time(taken) is None
    assert await in_time(receptions.ended) == 0


@pytest_twisted.ensureDeferred
async def test_nobody_is_asked_about_what_would_be_refused_anyway(terminal, receptions):
    sender = await receptions.start(terminal=terminal, max_size=8)
    for url, info in (
        (receptions.web.url(), FileInfo(size=9)),
        ("ftp://127.0.0.1/a", None),
    ):
        assert await in_time(sender.send_url(DOMAIN, url, info=info)) == "reject"
    assert PROMPT not in terminal.shown


@pytest_twisted.ensureDeferred
async def test_progress_is_shown_but_not_over_a_question(terminal, receptions):
    sender = await receptions.start(terminal=terminal, senders=("friend.localhost",))
    friend = await receptions.sender("friend.localhost")
    taken = friend.send_url(DOMAIN, receptions.web.url("/big"))
    connection = await in_time(receptions.web.arrivals.get())
    connection.write(answer(b"1" * 50, length=100))
    await terminal.shows("/100 [")
    asked = sender.send_url(DOMAIN, receptions.web.url("/2"))
    await terminal.shows(PROMPT)
    shown = len(terminal.shown)
    connection.write(b"1" * 50)
    assert await in_time(taken) is None
    # Its result stands above the question, which comes again.
    await terminal.shows(PROMPT, 2)
    assert "/100 [" not in terminal.shown[shown:]
    terminal.types("n\n")
    assert await in_time(asked) == "reject"
