"""``twistd oob-responder --jid`` on real servers, as an operator runs it."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.words.xish import domish

from tests.servers.accounts import RESOURCE, USER, sender_on
from tests.servers.servers import ACCOUNTS, DOMAIN
from tests.support.hostile_http import HostileServer, answer
from tests.support.responders import Responder
from tests.support.waiting import in_time
from twisted_oob import AccountStream

ACCOUNT = f"{USER}@{DOMAIN}"


@pytest_twisted.async_yield_fixture
async def web():
    from twisted.internet import reactor

    made = HostileServer(reactor)
    yield made
    await made.stop()


@pytest_twisted.async_yield_fixture
async def sender(server):
    from twisted.internet import reactor

    made = await sender_on(reactor, server)
    yield made
    await made.stop()


@pytest.fixture
def run(server, tmp_path):
    """Run the responder with a password; gives its process."""
    from twisted.internet import reactor

    processes = []

    def start(password, *words):
        (tmp_path / "password").write_text(f"{password}\n")
        (tmp_path / "password").chmod(0o600)
        process = Responder(
            reactor,
            tmp_path,
            *("--jid", f"{ACCOUNT}/{RESOURCE}", "--password-file", "password"),
            *("--ca-file", str(server.ca_file), "--host", "127.0.0.1"),
            *("--port", str(server.client_port), "--download-dir", "landed"),
            *("--allow-network", "127.0.0.0/8", *words),
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if not process.ended.called:
            process.kill("KILL")
            pytest_twisted.blockon(process.ended)


def presence_from(stream, kind, sender):
    arrived = Deferred()
    stream.addOnetimeObserver(f"/presence[@type='{kind}' and @from='{sender}']", arrived.callback)
    return arrived


@pytest_twisted.ensureDeferred
async def test_an_account_serves_and_stops_gracefully(run, sender, web, tmp_path):
    me = sender.jid
    process = run(ACCOUNTS[USER], "--allow-from", me, "--grace", "20")
    await process.printed(f"Offers to {ACCOUNT}/{RESOURCE} land in {tmp_path / 'landed'}$")
    stream = sender.service.xmlstream

    # Those who may make offers may see that the account is online, and are asked to be seen.
    answers = [presence_from(stream, kind, ACCOUNT) for kind in ("subscribed", "subscribe")]
    subscribe = domish.Element((None, "presence"))
    subscribe["from"], subscribe["to"], subscribe["type"] = me, ACCOUNT, "subscribe"
    for _ in range(500):
        # Again and again: the account's own presence may not have reached the server yet.
        stream.send(subscribe)
        await process.moment()
        if all(one.called for one in answers):
            break
    assert all(one.called for one in answers)

    runs = sender.handler.send_url(f"{ACCOUNT}/{RESOURCE}", web.url("/a.bin"))
    connection = await web.arrivals.get()
    process.kill("TERM")
    await process.printed("1 transfer has 20 s to finish")
    late = await sender.handler.send_url(f"{ACCOUNT}/{RESOURCE}", web.url("/b.bin"))
    assert (late.error.condition, late.error.type) == ("resource-constraint", "wait")
    connection.write(answer(b"file"))

    assert await runs is None
    assert await process.finished() == 0
    assert (tmp_path / "landed" / "a.bin").read_bytes() == b"file"
    assert ACCOUNTS[USER] not in process.output


@pytest_twisted.ensureDeferred
async def test_a_wrong_password_is_one_line_and_status_1(run):
    process = run("not the password")
    assert await process.finished() == 1
    [line] = [line for line in process.output.splitlines() if "Could not start" in line]
    assert "not-authorized" in line
    assert "not the password" not in process.output
    assert "Traceback" not in process.output


@pytest_twisted.ensureDeferred
async def test_another_with_the_same_address_ends_it_with_one_line_and_status_1(run, server):
    process = run(ACCOUNTS[USER])
    await process.printed("Offers to")
    other = AccountStream(
        f"{ACCOUNT}/{RESOURCE}",
        ACCOUNTS[USER],
        host="127.0.0.1",
        port=server.client_port,
        ca_file=server.ca_file,
    )
    other.startService()
    await in_time(other.ready)
    assert await process.finished() == 1
    [line] = [line for line in process.output.splitlines() if "#critical" in line]
    assert f"Stopped: another connection took over {ACCOUNT}/{RESOURCE} (conflict)" in line
    assert "next attempt" not in process.output
    assert "Traceback" not in process.output
    # It does not take the address back.
    assert other.refused is None
    assert other.xmlstream is not None
    await other.stopService()
