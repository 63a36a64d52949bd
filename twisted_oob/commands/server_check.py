"""What ``oob check`` does once its options are read."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from twisted.words.protocols.jabber.error import StanzaError
from twisted.words.protocols.jabber.xmlstream import TimeoutError as IQTimeoutError
from wokkel.ping import NS_PING

from twisted_oob.commands.connection import Connection, NotConnected
from twisted_oob.commands.events import Checked, Reporter
from twisted_oob.commands.modes import ACCOUNT, EMBEDDED
from twisted_oob.transfer.uploads import UploadHandler
from twisted_oob.xmpp.asking import AskingHandler
from twisted_oob.xmpp.basics import attach_basics
from twisted_oob.xmpp.failures import LOST
from twisted_oob.xmpp.stanza import Payload

if TYPE_CHECKING:
    from twisted.words.protocols.jabber.jid import JID

    from twisted_oob.commands.output import Output

ANSWER_LIMIT: Final = 10.0
"""Seconds that the server has for each answer."""


async def check_server(connection: Connection, secret: str, output: Output, reactor: Any) -> int:
    """Connect, tell what is there, and return the exit status.

    Raises:
        NotConnected: There is no stream, or the server does not answer on it.
    """
    stream = connection.make_stream(secret, reactor)
    attach_basics(stream, identity=connection.identity, name="oob")
    asking = AskingHandler(reactor)
    asking.setHandlerParent(stream)
    uploads = UploadHandler(reactor)
    uploads.setHandlerParent(stream)
    try:
        me = await connection.connect(stream, reactor)
        try:
            ping_ms = 1000 * await _ping(asking, connection, me, reactor)
            service = None
            if connection.mode != EMBEDDED:
                service = await uploads.find_service()
        except (*LOST, IQTimeoutError) as error:
            raise NotConnected(f"{connection.name}: the server does not answer any more") from error
        peer = stream.xmlstream.transport.getPeer()
        Reporter(as_json=output.as_json, quiet=output.quiet).tell(
            Checked(
                jid=me.full(),
                server=me.host if connection.mode == ACCOUNT else None,
                address=f"{peer.host}:{peer.port}",
                upload=None if service is None else service.jid.full(),
                max_size=None if service is None else service.max_size,
                ping_ms=ping_ms,
            )
        )
    finally:
        await stream.stopService()
    return 0


async def _ping(asking: AskingHandler, connection: Connection, me: JID, reactor: Any) -> float:
    """Give the seconds that a ping takes (XEP-0199).

    A component asks itself: whatever its server is, the ping goes there and comes back.
    """
    whom = me.host if connection.mode == ACCOUNT else me.full()
    began = reactor.seconds()
    with suppress(StanzaError):  # it was there and back all the same
        await asking.ask("get", Payload(NS_PING, "ping"), whom, timeout=ANSWER_LIMIT)
    return float(reactor.seconds() - began)
