"""What an application does with the chat of a responder, by the public names alone."""

from __future__ import annotations

from wokkel.subprotocols import XMPPHandler

from tests.support.chats import FakeFetcher, file_message, message, stored
from twisted_oob import ChatFrontend, ChatTexts, OOBHandler, OOBResponder
from twisted_oob.testing import MemoryServer, Peer, result_of

ME = "me@example.org/laptop"


class German(ChatTexts):
    def stored(self, name, size):
        return f"{name} ist da"

    def help(self, *, gives_files, max_size):
        return "Schick mir eine Datei"


def responder_on(server, **options):
    end = server.client(ME)
    responder = OOBResponder(FakeFetcher(), allow_from=["*"], reactor=server.clock, **options)
    responder.attach(end)
    return responder, end


def said(end):
    return [str(stanza.body) for stanza in end.sent() if stanza.name == "message"]


def features(end):
    return {
        str(feature)
        for handler in end.manager
        if hasattr(handler, "getDiscoInfo")
        for feature in handler.getDiscoInfo(None, None)
        if isinstance(feature, str)
    }


def test_a_responder_takes_messages_by_itself():
    _responder, end = responder_on(MemoryServer())
    end.receive(file_message())
    assert said(end) == ["stored a.png (1.2 kB)"]
    assert "jabber:x:oob" in features(end)


def test_the_chat_can_be_left_out():
    _responder, end = responder_on(MemoryServer(), messages=False)
    end.receive(file_message())
    assert end.sent() == []
    assert "jabber:x:oob" not in features(end)


def test_the_texts_can_be_replaced():
    responder, end = responder_on(MemoryServer(), messages=False)
    ChatFrontend(responder, texts=German()).setHandlerParent(end)
    end.receive(file_message())
    end.receive(message("Hallo"))
    assert said(end) == ["a.png ist da", "Schick mir eine Datei"]


def test_the_chat_can_be_replaced():
    class Logbook(XMPPHandler):
        """An application's own: it keeps notes of who wrote, and answers nobody."""

        def __init__(self):
            super().__init__()
            self.notes = []

        def connectionInitialized(self):
            self.xmlstream.addObserver("/message", lambda m: self.notes.append(m["from"]))

    _responder, end = responder_on(MemoryServer(), messages=False)
    logbook = Logbook()
    logbook.setHandlerParent(end.manager)
    end.receive(file_message(sender="juliet@example.com/balcony"))
    assert logbook.notes == ["juliet@example.com/balcony"]
    assert end.sent() == []


def test_an_application_may_read_messages_beside_the_chat():
    _responder, end = responder_on(MemoryServer())
    messages = []
    OOBHandler(None, messages.append, reactor=end.server.clock).setHandlerParent(end)
    end.receive(file_message())
    [message] = messages
    assert (message.delayed, message.groupchat, message.info) == (None, False, None)
    assert len(said(end)) == 1


class Minimal:
    """An application's own fetcher, with no more than it needs."""

    async def fetch(self, url, *, info=None):
        return stored(url)


def test_any_fetcher_will_do():
    server = MemoryServer()
    end = server.client(ME)
    responder = OOBResponder(Minimal(), allow_from=["*"], reactor=server.clock)
    responder.attach(end)
    responder.startService()
    end.receive(file_message())
    end.receive(message("help"))
    result_of(Peer(end, "juliet@example.com/balcony").offer("https://files.example/b.png"))
    stopped = responder.stopService()
    assert len(said(end)) == 2
    assert result_of(stopped) is None
