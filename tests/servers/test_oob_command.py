"""``oob`` on real servers, as alice and bob run it: processes that hand over files."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys

import pytest
import pytest_twisted

from tests.servers.peers import SlixmppReader
from tests.servers.servers import ACCOUNTS, DOMAIN
from tests.support.processes import ROOT, Program

ALICE, BOB = f"alice@{DOMAIN}", f"bob@{DOMAIN}"
OOB = "import sys; from twisted_oob.commands.oob import main; sys.exit(main())"
VIAS = ["share", "upload"]


class Command(Program):
    """An ``oob`` process. ``stdout``: what it printed there, which is in ``output``, too."""

    def __init__(self, *args, **options):
        self.stdout = ""
        super().__init__(*args, **options)

    def outReceived(self, data):
        self.stdout += data.decode()
        super().outReceived(data)

    @property
    def events(self):
        """The events that it told, by their names."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    def told(self, event):
        """Give its events of a kind, without their kind."""
        return [told for told in self.events if told.pop("event") == event]


class Person:
    """Somebody with an account, a password in a file, and a folder where the command runs."""

    def __init__(self, reactor, server, folder, user):
        self.folder = folder / user
        self.folder.mkdir()
        self._reactor = reactor
        self._server = server
        self._user = user
        self._processes = []
        self.password(ACCOUNTS[user])

    def password(self, password):
        """Write another password to the file."""
        file = self.folder / "password"
        file.touch(mode=0o600)
        file.write_text(f"{password}\n")

    def file(self, name, size):
        """Make a file; gives what is in it."""
        content = os.urandom(size)
        (self.folder / name).write_bytes(content)
        return content

    def oob(self, command, *words):
        """Start the command; gives the process."""
        server = self._server
        process = Command(
            self._reactor,
            [
                *(sys.executable, "-c", OOB, command),
                *("--jid", f"{self._user}@{DOMAIN}", "--password-file", "password"),
                *("--ca-file", str(server.ca_file)),
                *("--host", "127.0.0.1", "--port", str(server.client_port), *words),
            ],
            self.folder,
            # No configuration of whoever runs the tests is read.
            environment={"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(self.folder)},
        )
        self._processes.append(process)
        return process

    async def send(self, *words):
        """Send, and wait for the end; gives the exit status, and the events of the ends."""
        process = self.oob("send", "--json", *words)
        status = await process.finished()
        assert "Traceback" not in process.output, process.output
        ends = process.told("end")
        bad = sum(end["outcome"] not in {"received", "fetched", "sent"} for end in ends)
        assert process.told("summary") == [{"ok": len(ends) - bad, "failed": bad}]
        return status, ends

    async def receive(self, *words):
        """Start to receive from alice; gives the process."""
        words = ("--json", "--from", ALICE, "--allow-network", "127.0.0.0/8", *words)
        process = self.oob("receive", *words)
        await process.printed(re.escape(f"{self._user}@{DOMAIN}/oob"))
        return process

    async def stop(self):
        for process in self._processes:
            if not process.ended.called:
                process.kill("KILL")
                await process.ended


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


@pytest.mark.parametrize("via", VIAS)
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
    assert some(received, "from", "url", "desc") == {
        "from": f"{ALICE}/oob",
        "url": end["url"],
        "desc": "for you",
    }
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


@pytest.mark.parametrize(("via", "outcome"), [("share", "fetched"), ("upload", "sent")])
@pytest_twisted.ensureDeferred
async def test_slixmpp_gets_a_message(alice, reader, via, outcome):
    content = alice.file("picture.png", 50_000)

    status, [end] = await alice.send("--via", via, "picture.png", BOB)

    assert status == 0
    assert some(end, "via", "how", "outcome") == {"via": via, "how": "message", "outcome": outcome}
    message = await reader.next("message")
    assert message == {
        "event": "message",
        "sender": f"{ALICE}/oob",
        "body": end["url"],
        "url": end["url"],
        "sha256": about(content)["sha256"],
    }


@pytest.mark.parametrize("how", ["iq", "message"])
@pytest.mark.parametrize("to", [BOB, f"nobody@{DOMAIN}"])
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
    assert f"{ALICE}/oob" in said
    assert f"upload.{DOMAIN}" in said
    assert re.search(r"\b100 kB|\b100[, ]?000\b", said)
