"""Servers with the limits that Debian configures, and streams that write whatever they like.

The limits are those of one client's stream: how fast the server reads it. They are what makes a
flood dangerous: the server hands an account more than it lets the account answer.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from pathlib import Path

from pytest_twisted import blockon
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.words.protocols.jabber.client import XMPPClientFactory
from twisted.words.protocols.jabber.component import componentFactory
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import STREAM_AUTHD_EVENT, STREAM_END_EVENT

from tests.servers.servers import ACCOUNTS, DOMAIN, Ejabberd, Prosody
from tests.support.waiting import in_time
from twisted_oob import NS_IQ_OOB


class _Stoppable:
    """A server whose process can be stopped, as by a machine that hangs."""

    def hang(self):
        """Do nothing any more; the system goes on to acknowledge what comes."""
        self._program.kill("STOP")

    def go_on(self):
        """End that."""
        self._program.kill(signal.SIGCONT)


class LimitedProsody(_Stoppable, Prosody):
    """Prosody as Debian's prosody.cfg.lua limits it: 10 kB/s, with a burst of two seconds."""

    def _configure(self):
        command = super()._configure()
        _edit(
            Path(command[-1]),
            ("modules_enabled = { ", 'modules_enabled = { "limits", '),
            ('VirtualHost "', 'limits = { c2s = { rate = "10kb/s" } }\n\nVirtualHost "'),
        )
        return command


class LimitedEjabberd(_Stoppable, Ejabberd):
    """Ejabberd as Debian's ejabberd.yml limits it: 3 kB/s, with a burst of 20 kB."""

    def _configure(self):
        command = super()._configure()
        shaper = "shaper:\n  normal:\n    rate: 3000\n    burst_size: 20000\n"
        shaper += "shaper_rules:\n  c2s_shaper:\n    normal: all\n"
        _edit(
            self.folder / "ejabberd.yml",
            ("module: ejabberd_c2s\n", "module: ejabberd_c2s\n    shaper: c2s_shaper\n"),
            ("listen:\n", f"{shaper}listen:\n"),
        )
        return command


LIMITED = {server.name: server for server in (LimitedProsody, LimitedEjabberd)}


@contextmanager
def limited_server(name, certificates, path):
    """A server with the limits that Debian configures, while this lasts."""
    from twisted.internet import reactor

    folder = path / "server"
    folder.mkdir()
    made = LIMITED[name](reactor, folder, certificates.issue(DOMAIN), certificates.file)
    blockon(ensureDeferred(made.start()))
    yield made
    blockon(ensureDeferred(made.stop()))


def _edit(path, *changes):
    text = path.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


class Peer:
    """A stream of somebody else, made of Twisted alone. ``lost`` fires at its end."""

    def __init__(self, reactor, factory, port, jid):
        self.jid = jid
        self.lost = Deferred()
        self.xmlstream = None
        self._ready = Deferred()
        self._offers = 0
        factory.noisy = False
        factory.maxDelay = 0
        factory.addBootstrap(STREAM_AUTHD_EVENT, self._up)
        factory.addBootstrap(STREAM_END_EVENT, self._down)
        self._factory = factory
        reactor.connectTCP("127.0.0.1", port, factory)

    async def start(self):
        await in_time(self._ready)
        return self

    def _up(self, xmlstream):
        self.xmlstream = xmlstream
        self._ready.callback(None)

    def _down(self, _reason):
        self._factory.stopTrying()
        self.lost.callback(None)

    def write(self, text):
        """Write as much as that, without waiting for anything."""
        self.xmlstream.transport.write(text.encode())

    def offer(self, recipient, url):
        """Offer a URL; gives the type of the answer."""
        self._offers += 1
        name = f"offer{self._offers}"
        answer = Deferred()
        self.xmlstream.addOnetimeObserver(f"/iq[@id='{name}']", answer.callback)
        self.write(stanza("offer", recipient, self.jid, name=name, url=url))
        return answer.addCallback(lambda iq: iq["type"])

    async def stop(self):
        if not self.lost.called:
            self.xmlstream.transport.abortConnection()
            await in_time(self.lost)


def client(reactor, server, user, resource):
    """Log in to an account; gives the Peer."""
    root = Certificate.loadPEM(Path(server.ca_file).read_bytes())
    jid = JID(f"{user}@{DOMAIN}/{resource}")
    factory = XMPPClientFactory(jid, ACCOUNTS[user], optionsForClientTLS(DOMAIN, root))
    return Peer(reactor, factory, server.client_port, jid.full()).start()


def component(reactor, port, domain, secret):
    """Connect a component; gives the Peer."""
    return Peer(reactor, componentFactory(domain, secret), port, domain).start()


PAYLOADS = {
    "offer": ("set", "<query xmlns='{NS_IQ_OOB}'><url>{url}</url></query>"),
    "disco": ("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
    "ping": ("get", "<ping xmlns='urn:xmpp:ping'/>"),
    "version": ("get", "<query xmlns='jabber:iq:version'/>"),
    "unknown": ("get", "<query xmlns='urn:example:unknown'/>"),
}
"""What a flood may ask for: the type of each IQ, and its child."""


def stanza(kind, to, sender, *, name="1", url="http://a/"):
    """Give an IQ request as text, as short as it can be."""
    iq_type, payload = PAYLOADS[kind]
    payload = payload.format(NS_IQ_OOB=NS_IQ_OOB, url=url)
    return f"<iq type='{iq_type}' id='{name}' from='{sender}' to='{to}'>{payload}</iq>"
