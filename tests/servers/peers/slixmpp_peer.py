"""slixmpp with its xep_0066 plugin, driven by lines of JSON.

It reads stdin: first who it is (``jid``, ``password``, ``host``, ``port``; for a client
``ca_file``), then commands: ``{"do": "offer", "to", "url", "desc"}`` and
``{"do": "disco", "to"}``. The end of stdin ends it.

It writes to stdout: ``{"event": "ready", "jid"}``, ``{"event": "answer", "condition", "text"}``,
``{"event": "features", "features"}``, and for what others offer
``{"event": "offer", "url", "desc", "sender"}``. It answers an offer as the last word of its URL
says: success, not-found or reject.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from slixmpp import ClientXMPP, ComponentXMPP
from slixmpp.exceptions import IqError, XMPPError

FAILURES = {
    "not-found": ("item-not-found", "cancel"),
    "reject": ("not-acceptable", "modify"),
}


def tell(event, **about):
    sys.stdout.write(json.dumps({"event": event, **about}) + "\n")
    sys.stdout.flush()


def connection(who):
    if "@" in who["jid"]:
        xmpp = ClientXMPP(who["jid"], who["password"])
        xmpp.ca_certs = Path(who["ca_file"])
    else:
        # Without fix_error_ns, it reads every error a component gets as undefined-condition.
        xmpp = ComponentXMPP(who["jid"], who["password"], fix_error_ns=True)
    xmpp.register_plugin("xep_0030")
    xmpp.register_plugin("xep_0066")
    return xmpp


def answer_offer(iq):
    offer = iq["oob_transfer"]
    tell("offer", url=offer["url"], desc=offer["desc"], sender=str(iq["from"]))
    failure = FAILURES.get(offer["url"].rpartition("/")[2])
    if failure:
        condition, kind = failure
        raise XMPPError(condition, etype=kind)


async def offer(xmpp, command):
    try:
        await xmpp["xep_0066"].send_oob(
            command["to"], command["url"], command["desc"], ifrom=xmpp.boundjid
        )
    except IqError as error:
        tell("answer", condition=error.condition, text=error.text)
    else:
        tell("answer", condition=None, text=None)


async def disco(xmpp, command):
    info = await xmpp["xep_0030"].get_info(jid=command["to"], ifrom=xmpp.boundjid)
    tell("features", features=sorted(info["disco_info"]["features"]))


async def main():
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    who = json.loads(await lines.readline())
    xmpp = connection(who)
    xmpp["xep_0066"].register_url_handler(handler=answer_offer)
    xmpp.add_event_handler("session_start", lambda _: tell("ready", jid=str(xmpp.boundjid)))
    xmpp.connect(who["host"], who["port"])
    while line := await lines.readline():
        command = json.loads(line)
        await {"offer": offer, "disco": disco}[command["do"]](xmpp, command)


if __name__ == "__main__":
    asyncio.run(main())
