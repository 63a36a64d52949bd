"""The networks of the server that a stream is connected to: uploads may go there.

Whoever logs in to a server trusts it. Its upload service may well be at an address that is not
public: on the same machine, or in the same house.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any

from twisted_oob.files.addresses import LOOPBACK
from twisted_oob.xmpp.stream_handler import StreamHandler

if TYPE_CHECKING:
    from twisted_oob.transfer.uploads import UploadHandler
    from twisted_oob.xmpp.stream import BoundStream


def server_networks(manager: Any) -> tuple[IPv4Network | IPv6Network, ...]:
    """Give the networks that hold the server of a stream.

    That is its address alone; for a server on this machine, all loopback addresses.

    Args:
        manager: The manager of a stream that is up.

    Returns:
        The networks; none if the stream is not over TCP.
    """
    tell = getattr(manager.xmlstream.transport, "getPeer", None)
    host = None if tell is None else getattr(tell(), "host", None)
    try:
        address = ip_address(str(host).partition("%")[0])
    except ValueError:
        return ()
    return LOOPBACK if address.is_loopback else (ip_network(address),)


class OwnServer(StreamHandler):
    """Lets uploads go to the server, at the address that each of its streams is connected to.

    Args:
        uploads: The UploadHandler of the same stream. Its ``allow_networks`` stay allowed.
    """

    def __init__(self, uploads: UploadHandler) -> None:
        StreamHandler.__init__(self)
        self._uploads = uploads
        self._always = uploads.allow_networks

    def _stream_opened(self, stream: BoundStream) -> None:
        self._uploads.allow_networks = (*self._always, *server_networks(self.parent))
