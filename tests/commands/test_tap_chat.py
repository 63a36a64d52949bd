"""``twistd oob-responder`` as somebody whom one can write to: processes."""

from __future__ import annotations

import re

import pytest_twisted

from tests.support.hostile_http import answer
from tests.support.network import DOMAIN
from tests.support.processes import IN_CI
from tests.support.talks import Talk, read
from tests.support.waiting import in_time

pytest_plugins = ["tests.support.commands", "tests.support.responders"]


@pytest_twisted.ensureDeferred
async def test_people_write_to_it_and_get_files_of_it(operator, oob):
    served = operator.folder / "served"
    served.mkdir()
    (served / "sea.jpg").write_bytes(b"the sea")
    process, sender = await operator.start("--serve", "served")
    talk = Talk(sender)
    lines = [re.sub(r"^\S+ \[\S+\] ", "", line) for line in process.output.splitlines()]
    assert f"Offers to {DOMAIN} land in {operator.landed}" in lines
    assert f"Files in messages to {DOMAIN} land there, too" in lines
    assert (
        f"Files in {served} are given to those who ask {DOMAIN} for them, "
        "by the share at tcp:0:interface=127.0.0.1"
    ) in lines

    operator.web.answers += [answer(b"file"), answer(b"", status="404 Not Found")]
    talk.share(operator.web.url("/a.bin"))
    assert await talk.hear() == "stored a.bin (4 bytes)"
    talk.write(f"the plan is at {operator.web.url('/b.bin')}, please keep it", kind="normal")
    assert await talk.hear() == "could not fetch b.bin: HTTP status 404"
    assert (operator.landed / "a.bin").read_bytes() == b"file"

    assert "sea.jpg (7 bytes, " in await talk.ask("list *.jpg")
    talk.write("send sea.jpg")
    url = await talk.receive()
    assert await in_time(read(url)) == b"the sea"
    assert await talk.ask("send ../secret") == "there is no file ../secret"

    # The other end of our own: its share was read, so the message is known to have served.
    (operator.folder / "report.pdf").write_bytes(b"report")
    port = re.search(r"components connect to \S+:(\d+)", process.output)[1]
    sending = oob(
        *("send", "--port", port, "--secret-file", "secret"),
        *("--as", "message", "--listen", "tcp:0:interface=127.0.0.1", "report.pdf", DOMAIN),
    )
    assert await sending.finished() == 0
    assert "fetched" in sending.output
    assert (operator.landed / "report.pdf").read_bytes() == b"report"

    process.kill("TERM")
    assert await process.finished() == 0
    assert "Traceback" not in process.output
    # Whoever knows a URL can read the file.
    assert url.rpartition("/")[0].rpartition("/")[2] not in process.output


@IN_CI
@pytest_twisted.ensureDeferred
async def test_without_messages_nobody_there_can_be_written_to(operator):
    process, sender = await operator.start("--no-messages")
    talk = Talk(sender)
    talk.share(operator.web.url())
    talk.write("help")
    features = await in_time(sender.oob.find_features(DOMAIN))
    assert "jabber:iq:oob" in features
    assert "jabber:x:oob" not in features
    operator.web.answers.append(answer(b"file"))
    assert await in_time(sender.oob.send_url(DOMAIN, operator.web.url("/a.bin"))) is None
    assert talk.heard.pending == []
    assert [connection.line for connection in operator.web.connections] == ["GET /a.bin HTTP/1.1"]
    assert "Files in messages" not in process.output
