"""slixmpp as a person's client: it writes messages of every form, and tells what comes.

It reads its first line of stdin as slixmpp_peer.py does; then commands; the end of stdin ends it:

- ``{"do": "write", "to", "type", "body", ...}``: send a message. The other words say what else is
  in it; ``PARTS`` has them. It writes ``{"event": "written", "id"}`` to stdout.
- ``{"do": "ping", "to"}``: ``{"event": "pong"}`` once the answer is there, whatever it is.
- ``{"do": "carbons"}``: ask for a copy of all that the account sends and gets elsewhere.

For each message that comes it writes ``{"event": "message", "from", "to", "type", "id", "body",
"thread", "reply", "receipt", "url", "copy"}``: ``reply`` is the id that it replies to, ``receipt``
the id of what was received, and ``copy`` says whether it is a copy of what another client has.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from slixmpp import ClientXMPP
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

CARBONS = "{urn:xmpp:carbons:2}"
FORWARDED = "{urn:xmpp:forward:0}forwarded/{jabber:client}message"
REPLY = "{urn:xmpp:reply:0}reply"
PLUGINS = ("0030", "0066", "0184", "0203", "0280", "0297", "0308", "0359", "0385", "0447", "0461")


def tell(event, **about):
    sys.stdout.write(json.dumps({"event": event, **about}) + "\n")
    sys.stdout.flush()


def add_oob(_, message, url):
    message["oob"]["url"] = url


def add_sfs(xmpp, message, share):
    path, urls = Path(share["path"]), share["urls"]
    kind = share.get("media_type")
    sfs = xmpp.plugin["xep_0447"].get_sfs(path, urls, kind, share.get("desc"), "inline", None, None)
    message.append(sfs)


def add_sims(xmpp, message, share):
    path, urls = Path(share["path"]), share["urls"]
    message.append(xmpp.plugin["xep_0385"].get_sims(path, urls, share.get("media_type")))


def add_delay(_, message, seconds):
    message["delay"]["stamp"] = datetime.now(timezone.utc) - timedelta(seconds=seconds)


def add_reply(_, message, reply):
    message["reply"]["id"] = reply["id"]
    message["reply"]["to"] = reply["to"]
    if "quoted" in reply:
        message["reply"].add_quoted_fallback(reply["quoted"])


def add_carbon(xmpp, message, carbon):
    kind = f"carbon_{carbon.pop('kind')}"
    message[kind] = made(xmpp, carbon)


def add_forwarded(xmpp, message, forwarded):
    message["forwarded"]["stanza"] = made(xmpp, forwarded)


def add_origin(_, message, name):
    message.append(ET.fromstring(f"<origin-id xmlns='urn:xmpp:sid:0' id='{name}'/>"))


PARTS = {
    "id": lambda _, message, name: message.__setitem__("id", name),
    "thread": lambda _, message, name: message.__setitem__("thread", name),
    "receipt": lambda _, message, wanted: message.__setitem__("request_receipt", wanted),
    "replaces": lambda _, message, name: message["replace"].__setitem__("id", name),
    "oob": add_oob,
    "sfs": lambda xmpp, message, shares: [add_sfs(xmpp, message, share) for share in shares],
    "sims": lambda xmpp, message, shares: [add_sims(xmpp, message, share) for share in shares],
    "delayed": add_delay,
    "origin": add_origin,
    "reply": add_reply,
    "carbon": add_carbon,
    "forwarded": add_forwarded,
    "xml": lambda _, message, texts: [message.xml.append(ET.fromstring(text)) for text in texts],
}
"""What a message may have besides address, type and body; the order is that of a command."""


def made(xmpp, command):
    """Make a message as a command describes it."""
    command.pop("do", None)
    message = xmpp.make_message(
        command.pop("to"), command.pop("body", None), mtype=command.pop("type", "chat")
    )
    for name, value in command.items():
        PARTS[name](xmpp, message, value)
    return message


async def write(xmpp, command):
    message = made(xmpp, command)
    message.send()
    tell("written", id=message["id"])


async def ping(xmpp, command):
    iq = xmpp.make_iq_get("urn:xmpp:ping", ito=command["to"])
    try:
        await iq.send()
    except IqError:
        pass
    tell("pong")


async def carbons(xmpp, _):
    await xmpp.plugin["xep_0280"].enable()
    tell("carbons")


def got(xmpp, message):
    copied = next(message.xml.iterfind(f"{CARBONS}*/{FORWARDED}"), None)
    inner = message if copied is None else xmpp.Message(xml=copied)
    reply = inner.xml.find(REPLY)
    url = inner.xml.find("{jabber:x:oob}x/{jabber:x:oob}url")
    tell(
        "message",
        **{name: str(inner[name]) for name in ("from", "to", "type", "id", "body", "thread")},
        reply=None if reply is None else reply.get("id"),
        receipt=inner["receipt"] or None,
        url=None if url is None else url.text,
        copy=copied is not None,
    )


async def main():
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    who = json.loads(await lines.readline())
    xmpp = ClientXMPP(who["jid"], who["password"])
    xmpp.ca_certs = Path(who["ca_file"])
    for number in PLUGINS:
        xmpp.register_plugin(f"xep_{number}")
    xmpp.plugin["xep_0184"].auto_ack = False

    def started(_):
        # No person's client takes offers.
        xmpp.plugin["xep_0030"].del_feature(feature="jabber:iq:oob")
        xmpp.send_presence()

    def present(presence):
        # The server has its presence, and gives it back: from now on messages come to it.
        if presence["from"] == xmpp.boundjid:
            tell("ready", jid=str(xmpp.boundjid))

    xmpp.add_event_handler("session_start", started)
    xmpp.add_event_handler("presence_available", present)
    everything = MatchXPath("{jabber:client}message")
    xmpp.register_handler(Callback("all", everything, lambda message: got(xmpp, message)))
    xmpp.connect(who["host"], who["port"])
    while line := await lines.readline():
        command = json.loads(line)
        await {"write": write, "ping": ping, "carbons": carbons}[command["do"]](xmpp, command)


if __name__ == "__main__":
    asyncio.run(main())
