"""slixmpp as a person's client: it knows no offers, and fetches the files that messages name.

It reads its first line of stdin as slixmpp_peer.py does; the end of stdin ends it. For each message
with a URL (jabber:x:oob) it writes ``{"event": "message", "sender", "body", "url", "sha256"}`` to
stdout, with the hash of all that it got, or null if it did not get the file.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import sys
import urllib.request
from pathlib import Path

from slixmpp import ClientXMPP


def tell(event, **about):
    sys.stdout.write(json.dumps({"event": event, **about}) + "\n")
    sys.stdout.flush()


def sha256_of(url, context):
    try:
        with urllib.request.urlopen(url, context=context, timeout=20) as response:
            return hashlib.sha256(response.read()).hexdigest()
    except OSError:
        return None


async def main():
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    who = json.loads(await lines.readline())
    xmpp = ClientXMPP(who["jid"], who["password"])
    xmpp.ca_certs = Path(who["ca_file"])
    # With presence, its messages come to it; without the plugin, the URLs in them are just XML.
    xmpp.register_plugin("xep_0030")
    context = ssl.create_default_context(cafile=who["ca_file"])

    def started(_):
        xmpp.send_presence()

    def present(presence):
        # The server has it, and gives it back.
        if presence["from"] == xmpp.boundjid:
            tell("ready", jid=str(xmpp.boundjid))

    async def got(message):
        found = message.xml.find("{jabber:x:oob}x/{jabber:x:oob}url")
        if found is not None:
            sha256 = await loop.run_in_executor(None, sha256_of, found.text, context)
            sender, body = str(message["from"]), message["body"]
            tell("message", sender=sender, body=body, url=found.text, sha256=sha256)

    xmpp.add_event_handler("session_start", started)
    xmpp.add_event_handler("presence_available", present)
    xmpp.add_event_handler("message", got)
    xmpp.connect(who["host"], who["port"])
    while await lines.readline():
        pass


if __name__ == "__main__":
    asyncio.run(main())
