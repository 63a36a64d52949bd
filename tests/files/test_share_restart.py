"""A share that is begun again."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.support.sharing import MemoryEndpoint
from twisted_oob import FileShare


def test_a_share_that_is_begun_again_before_it_listens_has_one_port():
    ports = []

    class Slow(MemoryEndpoint):
        def listen(self, factory):
            super().listen(factory)
            ports.append(Deferred())
            return ports[-1]

    endpoint = Slow()
    share = FileShare(endpoint, reactor=Clock())
    share.startService()
    share.stopService()
    share.startService()
    for port in ports:
        port.callback(endpoint)
    assert endpoint.factory.numPorts == 1
    assert endpoint.factory.buildProtocol(None) is not None
    share.stopService()
    assert endpoint.factory.numPorts == 0
