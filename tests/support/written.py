"""Messages as people's clients write them, as they arrive."""

from __future__ import annotations

from tests.support.streams import stanza
from twisted_oob.protocol.chat_message import read_chat_message
from twisted_oob.xmpp.memory import stanza_parser

FRIEND = "friend@example.net/phone"
BOT = "bot@example.org/oob"
ROOM = "room@rooms.example"
OCCUPANT = f"{ROOM}/Anna"
JINGLE = "urn:xmpp:jingle:apps:file-transfer:5"


def parsed(xml):
    """Give the stanza that a stream's parser makes of XML."""
    found = []
    parser = stanza_parser(found.append, lambda: None)
    parser.parse(f"<stream xmlns='jabber:client'>{xml}".encode())
    (element,) = found
    return element


def arrived(*children, name="message", from_=FRIEND, to=BOT, id_="m1", order=1, **attributes):
    """Give a stanza with these children, in order or (-1) in reverse."""
    xml = "".join(children[::order])
    return parsed(stanza(name, xml, from_=from_, to=to, id_=id_, **attributes))


def written(*children, **attributes):
    """Give the ChatMessage that is made of it; None if none is."""
    return read_chat_message(arrived(*children, **attributes))


def body(text, **attributes):
    """Write <body/>; the text is XML already."""
    return stanza("body", text, **attributes)


def x(url, desc=""):
    """Write jabber:x:oob."""
    return f"<x xmlns='jabber:x:oob'><url>{url}</url>{desc}</x>"


def file(parts="", namespace="urn:xmpp:file:metadata:0"):
    """Write <file/>, with what is known of it."""
    return f"<file xmlns='{namespace}'>{parts}</file>"


def url_data(*urls):
    """Write sources of SFS."""
    return "".join(
        f"<url-data xmlns='http://jabber.org/protocol/url-data' target='{url}'/>" for url in urls
    )


def sfs(*urls, described=None, more="", named=""):
    """Write <file-sharing/>; what describes the file is XML, by default an empty <file/>."""
    described = file() if described is None else described
    return (
        f"<file-sharing xmlns='urn:xmpp:sfs:0' id='{named}'>{described}"
        f"<sources>{url_data(*urls)}{more}</sources></file-sharing>"
    )


def attached(*urls, to="m0", named=""):
    """Write <sources/> that are attached later."""
    return (
        f"<attach-to xmlns='urn:xmpp:message-attaching:1' id='{to}'/>"
        f"<sources xmlns='urn:xmpp:sfs:0' id='{named}'>{url_data(*urls)}</sources>"
    )


def sims(*urls, described=None):
    """Write SIMS; what describes the file is as for SFS, but Jingle's."""
    described = file(namespace=JINGLE) if described is None else described
    sources = "".join(
        f"<reference xmlns='urn:xmpp:reference:0' type='data' uri='{url}'/>" for url in urls
    )
    return (
        "<reference xmlns='urn:xmpp:reference:0' type='data'>"
        "<media-sharing xmlns='urn:xmpp:sims:1'>"
        f"{described}<sources>{sources}</sources></media-sharing></reference>"
    )


def fallback(for_, *ranges):
    """Write <fallback/>; each range is a child in XML."""
    return f"<fallback xmlns='urn:xmpp:fallback:0' for='{for_}'>{''.join(ranges)}</fallback>"
