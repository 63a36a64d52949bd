"""``oob`` on real servers, as alice and bob run it: processes that hand over files."""

from __future__ import annotations

import hashlib
import re

import pytest
import pytest_twisted

from tests.servers.peers import SlixmppReader
from tests.servers.people import ALICE, BOB, Person
from tests.servers.servers import DOMAIN
from tests.support.processes import IN_CI

pytestmark = pytest.mark.parametrize(
    "server", ["prosody", pytest.param("ejabberd", marks=IN_CI)], indirect=True
)
# By the share it is known how it ended; after an upload, the command waits for what bounces.
MESSAGES = [("share", "fetched"), pytest.param("upload", "sent", marks=IN_CI)]


def person(user):
    """Give a fixture: a Person with that account."""

    @pytest_twisted.async_yield_fixture
    async def fixture(server, tmp_path):
        from twisted.internet import reactor

        made = Person(reactor, server, tmp_path, user)
        yield made
        await made.stop()

    return fixture


alice, bob = person("alice"), person("bob")


@pytest_twisted.async_yield_fixture
async def reader(server, tmp_path):
    """slixmpp, as bob."""
    from twisted.internet import reactor

    made = SlixmppReader(reactor, tmp_path, server)
    await made.ready()
    yield made
    await made.stop()


def about(content):
    """Give what an event should say of a file's content."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def some(event, *keys):
    """Give a part of an event."""
    return {key: event[key] for key in keys}


def assert_is_of(address, account):
    """The server chooses the resource, which is not the one that a receiver of the account has."""
    bare, _, resource = address.partition("/")
    assert bare == account
    assert resource not in ("", "oob")


@pytest.mark.parametrize("via", ["share", "upload"])
@pytest_twisted.ensureDeferred
async def test_a_file_is_received(alice, bob, via):
    name = "Größe 1 & 2.bin"
    content = alice.file(name, 50_000)
    receives = await bob.receive("--count", "1")

    status, [end] = await alice.send("--via", via, "--desc", "for you", name, BOB)

    assert status == 0
    assert some(end, "file", "via", "how", "outcome", "condition") == {
        "file": name,
        "via": via,
        "how": "iq",
        "outcome": "received",
        "condition": None,
    }
    assert some(end, "bytes", "sha256") == about(content)
    assert await receives.finished() == 0
    [received] = receives.told("received")
    assert some(received, "url", "desc") == {"url": end["url"], "desc": "for you"}
    assert_is_of(received["from"], ALICE)
    assert some(received, "bytes", "sha256") == about(content)
    assert (bob.folder / received["file"]).read_bytes() == content


@pytest_twisted.ensureDeferred
async def test_what_the_server_takes_is_uploaded_and_what_is_larger_is_shared(alice, bob, server):
    sizes = {"upload": server.upload_limit, "share": server.upload_limit + 1}
    contents = {via: alice.file(f"by-{via}.bin", size) for via, size in sizes.items()}
    receives = await bob.receive("--count", "2")

    status, ends = await alice.send("by-upload.bin", "by-share.bin", BOB)

    assert status == 0
    assert {end["file"]: end["via"] for end in ends} == {
        "by-upload.bin": "upload",
        "by-share.bin": "share",
    }
    assert {end["outcome"] for end in ends} == {"received"}
    assert await receives.finished() == 0
    landed = {path.name: path.read_bytes() for path in bob.folder.glob("by-*")}
    assert landed == {f"by-{via}.bin": content for via, content in contents.items()}


@pytest.mark.parametrize(("via", "outcome"), MESSAGES)
@pytest_twisted.ensureDeferred
async def test_slixmpp_gets_a_message(alice, reader, via, outcome):
    content = alice.file("picture.png", 50_000)

    status, [end] = await alice.send("--via", via, "picture.png", BOB)

    assert status == 0
    assert some(end, "via", "how", "outcome") == {"via": via, "how": "message", "outcome": outcome}
    message = await reader.next("message")
    assert_is_of(message.pop("sender"), ALICE)
    assert message == {
        "event": "message",
        "body": end["url"],
        "url": end["url"],
        "sha256": about(content)["sha256"],
    }


@pytest.mark.parametrize(
    ("how", "to"),
    [
        ("iq", BOB),
        ("message", f"nobody@{DOMAIN}"),
        pytest.param("iq", f"nobody@{DOMAIN}", marks=IN_CI),
        pytest.param("message", BOB, marks=IN_CI),
    ],
)
@pytest_twisted.ensureDeferred
async def test_nobody_is_there(alice, how, to):
    alice.file("report.pdf", 1000)

    status, [end] = await alice.send("--as", how, "report.pdf", to)

    assert status == 4
    assert some(end, "how", "outcome") == {"how": how, "outcome": "unavailable"}


@pytest_twisted.ensureDeferred
async def test_a_wrong_password_is_one_line_and_status_3(alice):
    alice.file("report.pdf", 1000)
    alice.password("not the password")
    process = alice.oob("send", "--json", "report.pdf", BOB)

    assert await process.finished() == 3
    [line] = process.output.splitlines()
    assert ALICE in line
    assert "not-authorized" in line
    assert "not the password" not in line


@pytest_twisted.ensureDeferred
async def test_check_tells_the_address_the_server_and_what_can_be_uploaded(alice, server):
    process = alice.oob("check")

    assert await process.finished() == 0, process.output
    said = process.stdout
    [address] = re.findall(r"^address: +(.*)$", said, re.MULTILINE)
    assert_is_of(address, ALICE)
    assert f"upload.{DOMAIN}" in said
    assert re.search(r"\b100 kB|\b100[, ]?000\b", said)


@pytest_twisted.ensureDeferred
async def test_a_file_for_ones_own_other_device_is_received(alice, tmp_path):
    receives = await alice.receive("--count", "1")
    content = alice.file("note.txt", 1000)

    status, [end] = await alice.send("--via", "share", "note.txt", ALICE)

    assert (status, end["outcome"], end["how"]) == (0, "received", "iq")
    assert await receives.finished() == 0
    [received] = receives.told("received")
    assert some(received, "bytes", "sha256") == about(content)
