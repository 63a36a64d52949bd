"""The responder on an embedded router: a whole XMPP service in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from twisted_oob.protocol.data import NS_IQ_OOB
from twisted_oob.transfer.responder import Attachable
from twisted_oob.xmpp.component_server import PROBES, ComponentServerFactory
from twisted_oob.xmpp.router import Router
from twisted_oob.xmpp.stanza import Payload

if TYPE_CHECKING:
    from twisted.python.failure import Failure


_log = Logger()


class EmbeddedResponder:
    """Attaches a responder to an embedded router, where external components (XEP-0114) reach it.

    Args:
        responder: What answers the components: an OOBResponder, a Receiver or a FileBot. It is
            attached, started and stopped here.
        domain: The responder's JID.
        endpoint: Where components connect, an IStreamServerEndpoint.
        secret: What components authenticate with.
        reactor: Provides the time limits of the router, IReactorTime.
    """

    def __init__(
        self, responder: Attachable, *, domain: str, endpoint: Any, secret: str, reactor: Any
    ) -> None:
        from wokkel.component import InternalComponent  # noqa: PLC0415  (installs a reactor)

        self._responder = responder
        self._endpoint = endpoint
        router = Router()
        self._component = InternalComponent(router, domain)
        # A plain OOBHandler answers nothing but this.
        probes = (*PROBES, Payload(NS_IQ_OOB, "query"))
        self._factory = ComponentServerFactory(router, secret, reactor, probes=probes)
        self._port: Any = None
        responder.attach(self._component)

    async def start(self) -> Any:
        """Begin to listen, and to answer components.

        Returns:
            The IListeningPort that components connect to.

        Raises:
            Exception: Whatever the endpoint's ``listen`` fails with, such as CannotListenError.
        """
        self._responder.startService()
        try:
            self._port = await self._endpoint.listen(self._factory)
        except Exception:
            # Nothing has come that it would have to answer first, and a daemon must learn at once
            # that it can't start.
            self._responder.stopService().addErrback(_tell_not_stopped)
            raise
        self._component.startService()
        return self._port

    def change_secret(self, secret: str) -> None:
        """Let components in by another secret from now on; those that are connected stay.

        Raises:
            ValueError: The secret is empty.
        """
        self._factory.change_secret(secret)

    async def stop(self) -> None:
        """Accept no more connections, answer all that came, then close each stream."""
        if self._port is None:
            return
        port, self._port = self._port, None
        await port.stopListening()
        # The streams stay up meanwhile: the answers go out on them.
        await self._responder.stopService()
        self._component.stopService()
        await self._factory.stop()


def _tell_not_stopped(failure: Failure) -> None:
    _log.failure("What could not begin to listen could not be stopped either", failure=failure)
