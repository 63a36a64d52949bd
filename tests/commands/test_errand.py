"""What ``oob send`` does and tells, on an embedded router in this process."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from contextlib import closing
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, capturedLogs, formatEvent

from tests.support.network import DOMAIN
from tests.support.waiting import in_time
from twisted_oob.commands.errand import MOST_AT_ONCE
from twisted_oob.files.shared_file import SharedFile

pytest_plugins = ["tests.support.errands"]


@pytest.fixture
def file(tmp_path, monkeypatch):
    # By a short name: what a person reads is cut.
    monkeypatch.chdir(tmp_path)
    path = Path('a "b" \N{PARTY POPPER}.txt')
    path.write_bytes(b"abc")
    return path


# --- what is told


@pytest_twisted.ensureDeferred
async def test_a_file_arrives_and_the_event_tells_all_of_it(errands, network, file):
    await network.start()
    assert await errands.send(file, to=DOMAIN) == 0
    end, summary = errands.events()
    url, seconds = end.pop("url"), end.pop("seconds")
    assert end == {
        "event": "end",
        "file": str(file),
        "to": DOMAIN,
        "via": "share",
        "how": "iq",
        "outcome": "received",
        "condition": None,
        "text": None,
        "bytes": 3,
        "sha256": hashlib.sha256(b"abc").hexdigest(),
    }
    assert url.startswith("http://127.0.0.1:")
    assert 0 <= seconds < 20
    assert summary == {"event": "summary", "ok": 1, "failed": 0}
    assert network.files() == {file.name.replace('"', "_"): b"abc"}


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
@pytest_twisted.ensureDeferred
async def test_a_file_of_any_size_arrives_whole(errands, network, tmp_path, size):
    await network.start()
    content = os.urandom(size)
    (tmp_path / "a.bin").write_bytes(content)
    assert await errands.send(tmp_path / "a.bin", to=DOMAIN) == 0
    assert network.files() == {"a.bin": content}


@pytest_twisted.ensureDeferred
async def test_a_person_reads_one_line_for_each_file_and_one_for_several(errands, network, file):
    await network.start()
    assert await errands.send(file, to=DOMAIN, as_json=False) == 0
    out, err = errands.written()
    assert (re.sub(r"\d\.\d s", "0.0 s", out), err) == (
        f"{file}: {DOMAIN} has it (3 bytes in 0.0 s)\n",
        "",
    )
    assert await errands.send(file, file, to=DOMAIN, as_json=False) == 0
    lines = errands.written().out.splitlines()
    assert len(lines) == 3
    assert lines[-1] == "2 of 2 arrived"


@pytest_twisted.ensureDeferred
async def test_who_wants_only_errors_reads_of_those_that_failed(errands, network, file):
    await network.start()
    url = "http://10.0.0.1/x"
    assert await errands.send(file, url, to=DOMAIN, as_json=False, quiet=True) == 1
    assert errands.written() == (
        "",
        f"oob send: {url}: {DOMAIN} did not take it: this address is not allowed\n",
    )


@pytest.mark.parametrize(
    ("url", "to", "outcome", "status"),
    [
        ("http://127.0.0.1:2/x", DOMAIN, "not-found", 1),
        ("http://10.0.0.1/x", DOMAIN, "reject", 1),
        ("http://10.0.0.1/x", "nobody.localhost", "unavailable", 4),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_status_is_that_of_the_outcome(errands, url, to, outcome, status):
    await errands.network.start()
    assert await errands.send(url, to=to) == status
    end, summary = errands.events()
    assert (end["outcome"], end["via"], end["file"], end["url"]) == (outcome, "url", None, url)
    assert summary == {"event": "summary", "ok": 0, "failed": 1}


@pytest_twisted.ensureDeferred
async def test_nobody_who_answers_is_a_timeout(errands, network, file):
    await network.start()
    await errands.peer()
    assert await errands.send(file, to=errands.peer_name, timeout=0.2) == 4
    assert [event.get("outcome") for event in errands.events()] == ["timeout", None]


@pytest_twisted.ensureDeferred
async def test_the_description_goes_with_each(errands, network, file):
    await network.start()
    await errands.peer()
    sending = errands.start(file, "http://a/b", to=errands.peer_name, desc="Two of them")
    await errands.offered(2)
    assert [offer.desc for offer in errands.offers] == ["Two of them"] * 2
    for offer in errands.offers:
        offer.reply_success()
    assert await sending == 0


@pytest_twisted.ensureDeferred
async def test_a_few_at_once_go_over_one_stream(errands, network):
    await network.start()
    await errands.peer()
    urls = [f"http://a/{number}" for number in range(MOST_AT_ONCE + 2)]
    sending = errands.start(*urls, to=errands.peer_name)
    await errands.offered(MOST_AT_ONCE)
    await deferLater(network.reactor, 0.05)
    assert len(errands.offers) == MOST_AT_ONCE
    errands.offers[0].reply_success()
    await errands.offered(MOST_AT_ONCE + 1)
    errands.offers[1].reply_failure("reject")
    await errands.offered(MOST_AT_ONCE + 2)
    for offer in errands.offers[2:]:
        offer.reply_success()
    assert await sending == 1
    assert errands.events()[-1] == {"event": "summary", "ok": len(urls) - 1, "failed": 1}
    assert len({offer.sender for offer in errands.offers}) == 1


# --- what goes wrong in the middle


@pytest_twisted.ensureDeferred
async def test_a_server_that_stops_in_the_middle_is_told_for_each_file(errands, network, file):
    await network.start()
    await errands.peer()
    sending = errands.start(file, "http://a/b", to=errands.peer_name)
    await errands.offered(2)
    await network.embedded.stop()
    assert await sending == 3
    *ends, summary = errands.events()
    assert {(end["outcome"], end["text"]) for end in ends} == {
        ("unavailable", "the stream was lost: the server is shutting down (system-shutdown)")
    }
    assert len(ends) == 2
    assert summary == {"event": "summary", "ok": 0, "failed": 2}


@pytest_twisted.ensureDeferred
async def test_a_server_that_stops_while_a_file_is_hashed_is_told_at_once(
    errands, network, file, monkeypatch
):
    hashing = Deferred()

    def forever(*_words):
        hashing.callback(None)
        return Deferred()

    monkeypatch.setattr(SharedFile, "hash", forever)
    await network.start()
    sending = errands.start(file, to=DOMAIN)
    await in_time(hashing)
    await network.embedded.stop()
    assert await in_time(sending) == 3
    end = errands.events()[0]
    assert end["outcome"] == "unavailable"
    assert end["text"].startswith("the stream was lost: ")


@pytest_twisted.ensureDeferred
async def test_a_lost_stream_is_one_line_for_a_person(errands, network, file):
    await network.start()
    await errands.peer()
    url = "http://a/b?key=secret"
    sending = errands.start(file, url, to=errands.peer_name, as_json=False)
    await errands.offered(2)
    await network.embedded.stop()
    assert await sending == 3
    why = "the stream was lost: the server is shutting down (system-shutdown)"
    written = errands.written()
    assert sorted(written.out.splitlines()) == sorted(
        [f"{file}: {why}", f"http://a/b: {why}", "0 of 2 arrived"]
    )
    assert written.err == ""


@pytest_twisted.ensureDeferred
async def test_a_file_that_gets_shorter_is_told(errands, network, tmp_path):
    await network.start()
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(1000))
    sending = errands.start(path, to=DOMAIN)
    path.write_bytes(b"")
    assert await sending == 1
    end = errands.events()[0]
    assert (end["outcome"], end["text"]) == ("not-found", "the file got shorter while it was read")
    assert network.files() == {}


@pytest.mark.parametrize("change", ["gone", "grown", "replaced"])
@pytest_twisted.ensureDeferred
async def test_what_arrives_is_the_file_as_it_was(errands, network, tmp_path, change):
    await network.start()
    path = tmp_path / "a.bin"
    path.write_bytes(b"as it was")
    sending = errands.start(path, to=DOMAIN)
    if change == "grown":
        with path.open("ab") as file:
            file.write(b" and more")
    else:
        path.unlink()
    if change == "replaced":
        path.write_bytes(b"another")
    assert await sending == 0
    assert network.files() == {"a.bin": b"as it was"}


@pytest_twisted.ensureDeferred
async def test_an_end_from_outside_says_what_arrived_and_leaves_nothing(errands, network, file):
    await network.start()
    await errands.peer()
    sending = errands.start(file, "http://a/b", to=errands.peer_name)
    await errands.offered(2)
    share = next(offer.url for offer in errands.offers if "127.0.0.1" in offer.url)
    errands.offers[1 - [offer.url for offer in errands.offers].index(share)].reply_success()
    while not errands.written().out:
        await deferLater(network.reactor, 0)
    sending.cancel()
    with pytest.raises(CancelledError):
        await sending
    assert errands.events() == [{"event": "summary", "ok": 1, "failed": 1}]
    assert all(item.source is None or item.source.closed for item in errands.items)
    with closing(socket.socket()) as probe:
        assert probe.connect_ex(("127.0.0.1", int(share.split(":")[2].split("/")[0]))) != 0
    assert "send-x.localhost" not in {
        stream.thisEntity.full() for stream in network.embedded._factory.streams
    }


@pytest_twisted.ensureDeferred
async def test_after_an_end_from_outside_nothing_more_is_offered(errands, network):
    await network.start()
    await errands.peer()
    urls = [f"http://a/{number}" for number in range(MOST_AT_ONCE + 2)]
    sending = errands.start(*urls, to=errands.peer_name, as_="iq")
    await errands.offered(MOST_AT_ONCE)
    sending.cancel()
    with pytest.raises(CancelledError):
        await sending
    another = errands.start("http://a/later", to=errands.peer_name, as_="iq")
    await errands.offered(MOST_AT_ONCE + 1)
    offered = [offer.url for offer in errands.offers]
    assert offered == [*urls[:MOST_AT_ONCE], "http://a/later"]
    errands.offers[-1].reply_success()
    assert await another == 0


@pytest_twisted.ensureDeferred
async def test_a_place_that_can_not_be_listened_at_is_one_line_and_status_2(errands, network, file):
    await network.start()
    place = "tcp:0:interface=192.0.2.1"
    assert await errands.send(file, to=DOMAIN, listen=place) == 2
    assert errands.written() == (
        "",
        f"oob send: --listen '{place}' can't be used: Cannot assign requested address\n",
    )
    assert errands.items[0].source.closed


@pytest_twisted.ensureDeferred
async def test_without_a_server_the_files_are_closed(errands, network, file):
    await network.start()
    await network.embedded.stop()
    assert await errands.send(file, to=DOMAIN) == 3
    assert errands.written().err.startswith("oob send: 127.0.0.1:")
    assert errands.items[0].source.closed


@pytest.mark.parametrize(("to", "warnings"), [("bob@far.example", 1), (DOMAIN, 0)])
@pytest_twisted.ensureDeferred
async def test_who_is_elsewhere_may_not_reach_a_share_of_this_machine(
    errands, network, file, to, warnings
):
    await network.start()
    with capturedLogs() as logged:
        await errands.send(file, to=to)
    found = [formatEvent(event) for event in logged if event["log_level"] == LogLevel.warn]
    assert len(found) == warnings
    for line in found:
        assert "bob@far.example may not reach the shared file" in line
        assert "--public-url" in line


@pytest_twisted.ensureDeferred
async def test_a_public_url_is_what_the_peer_gets(errands, network, file):
    await network.start()
    await errands.peer()
    sending = errands.start(file, to=errands.peer_name, public_url="https://files.example.org/x")
    await errands.offered(1)
    assert errands.offers[0].url.startswith("https://files.example.org/x/")
    errands.offers[0].reply_success()
    assert await sending == 0
