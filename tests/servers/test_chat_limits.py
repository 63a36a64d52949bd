"""People who write to a bot more than its server lets it answer: others are served all the same."""

from __future__ import annotations

import pytest
import pytest_twisted
from pytest_twisted import blockon
from twisted.internet.defer import Deferred, ensureDeferred

from tests.servers.limited import LIMITED, client, component, limited_server
from tests.servers.servers import ACCOUNTS, DOMAIN, SECRET
from tests.support.processes import IN_CI
from tests.support.responders import Responder

pytestmark = IN_CI

FLOOD = 300
LATEST = 15  # seconds
FRIEND = "alice"
ACCOUNT = f"ours@{DOMAIN}"


@pytest.fixture(params=LIMITED)
def limited(request, certificates, tmp_path):
    with limited_server(request.param, certificates, tmp_path) as made:
        yield made


@pytest.fixture
def bot(limited, tmp_path):
    """A bot with an account, which has long lists to tell."""
    from twisted.internet import reactor

    served = tmp_path / "served"
    served.mkdir()
    for number in range(60):
        (served / f"{number}-{'n' * 200}.txt").touch()
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text(f"{ACCOUNTS['ours']}\n")
    loud = limited.component()
    allowed = [f"{FRIEND}@{DOMAIN}", loud]
    process = Responder(
        reactor,
        tmp_path,
        *("--jid", ACCOUNT, "--password-file", str(secret), "--ca-file", str(limited.ca_file)),
        *("--host", "127.0.0.1", "--port", str(limited.client_port), "--download-dir", "landed"),
        *("--serve", str(served), "--allow-network", "127.0.0.0/8"),
        *(word for name in allowed for word in ("--allow-from", name)),
    )
    blockon(ensureDeferred(process.printed(": connected")))
    process.loud = loud
    yield process
    if not process.ended.called:
        process.kill("KILL")
        blockon(process.ended)


@pytest_twisted.async_yield_fixture
async def friend(limited):
    from twisted.internet import reactor

    made = await client(reactor, limited, FRIEND, "desk")
    yield made
    await made.stop()


@pytest_twisted.async_yield_fixture
async def loud(limited, bot):
    """A component, in whose name everybody there may write."""
    from twisted.internet import reactor

    made = await component(reactor, limited.component_port, bot.loud, SECRET)
    yield made
    await made.stop()


@pytest_twisted.ensureDeferred
async def test_a_flood_of_lists_delays_nobody_else(bot, friend, loud):
    from twisted.internet import reactor

    heard = Deferred()
    friend.xmlstream.addOnetimeObserver("/message/body", heard.callback)
    written = f"from='anna@{loud.jid}/x' to='{ACCOUNT}/oob' type='chat'"
    for number in range(FLOOD):
        loud.write(f"<message {written} id='{number}'><body>list</body></message>")
    # Once the first list is there, others are on their way, too.
    listed = Deferred()
    loud.xmlstream.addOnetimeObserver("/message", listed.callback)
    await listed.addTimeout(LATEST, reactor)
    friend.write(f"<message to='{ACCOUNT}/oob' type='chat' id='f'><body>help</body></message>")
    answer = await heard.addTimeout(LATEST, reactor)
    assert "send NAME" in str(answer.body)
