"""The responder on a router of its own: a whole XMPP service in one process."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from twisted_oob.transfer.responder import OOBResponder
from twisted_oob.xmpp.component_server import ComponentServerFactory
from twisted_oob.xmpp.router import Router


class EmbeddedResponder:
    """Attaches a responder to an embedded router, on which external components find it.

    ``responder``: what answers. ``domain``: its JID.
    ``endpoint``: where components connect (XEP-0114), an IStreamServerEndpoint.
    ``secret``: what components authenticate with. ``reactor``: for the router's time limits.
    """

    _log = Logger()

    def __init__(
        self, responder: OOBResponder, *, domain: str, endpoint: Any, secret: str, reactor: Any
    ) -> None:
        from wokkel.component import InternalComponent  # noqa: PLC0415  (installs a reactor)

        self._responder = responder
        self._endpoint = endpoint
        router = Router()
        self._component = InternalComponent(router, domain)
        self._factory = ComponentServerFactory(router, secret, reactor)
        self._port: Any = None
        responder.attach(self._component)

    async def start(self) -> Any:
        """Begin to listen; gives the IListeningPort. Fails as the endpoint's ``listen`` does."""
        self._responder.startService()
        self._port = await self._endpoint.listen(self._factory)
        self._component.startService()
        return self._port

    async def stop(self) -> None:
        """Accept nothing new, answer every offer, then close each stream."""
        if self._port is None:
            return
        port, self._port = self._port, None
        await port.stopListening()
        await self._responder.stopService()
        self._component.stopService()
        await self._factory.stop()
