"""ComponentStream: an external component of a server, as a stream that stays up."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import HostnameEndpoint
from twisted.words.protocols.jabber.component import componentFactory

from twisted_oob._checks import check_not_empty, check_port, checked_reactor
from twisted_oob.xmpp.jid import parse_jid
from twisted_oob.xmpp.ports import COMPONENT_HOST, COMPONENT_PORT
from twisted_oob.xmpp.stream_service import StreamService


class ComponentStream(StreamService):
    """Connects as a component (XEP-0114), and again whenever the stream is lost, until stopped.

    It is a Twisted service and a Wokkel stream manager: add handlers with ``setHandlerParent``,
    then call ``startService``, or ``setServiceParent`` in a ``.tac`` file. Compared with Wokkel's
    ``Component``, a server that is gone or hangs is noticed within two minutes, and what fails says
    why in one line. Nothing is encrypted: let it reach the server over loopback or a safe network.

    Args:
        domain: The component's domain.
        secret: What the server knows it by.
        host: The host of the server.
        port: Its port for components.
        reactor: The reactor; by default the one that is installed.

    Raises:
        TypeError: An argument is of the wrong type; the text names it.
        ValueError: An argument is not good; the text names it.

    Attributes:
        ready: A Deferred of the reader's own, which fires with the domain, as a JID, once the
            stream is up, and fails with StreamRefused if the stream can't be had.
        refused: The StreamRefused, if the stream can't be had; else None.
        on_refused: None, or what is called with the StreamRefused, when the stream can't be had.
    """

    def __init__(
        self,
        domain: str,
        secret: str,
        *,
        host: str = COMPONENT_HOST,
        port: int = COMPONENT_PORT,
        reactor: Any = None,
    ) -> None:
        reactor = checked_reactor(reactor)
        name = _domain(domain)
        check_not_empty("secret", secret)
        StreamService.__init__(
            self,
            componentFactory(name, secret),
            HostnameEndpoint(reactor, check_not_empty("host", host), check_port("port", port)),
            name=name,
            reactor=reactor,
        )

    def change_secret(self, secret: str) -> None:
        """Log in with another secret from the next stream on; one that is up stays.

        Raises:
            TypeError: It is not a str.
            ValueError: It is empty.
        """
        self.factory.authenticator.password = check_not_empty("secret", secret)


def _domain(domain: str) -> str:
    check_not_empty("domain", domain)
    try:
        jid = parse_jid(domain)
    except ValueError as error:
        raise ValueError(f"domain is not an XMPP address: {error}") from None
    if jid.user or jid.resource:
        raise ValueError(f"domain {domain!r} is not a domain alone, such as files.example.org")
    return jid.host
